"""EventSink on RabbitMQ: a topic exchange whose routing keys are the events' types (``run.completed``).

Rule: an event counts as taken when a queue keeps it. An exchange without a queue for an event drops it and says
nothing; here that is a failure, unless ``mandatory=false`` asks for it. ``queue=name`` makes a queue for all events.

A message is a CloudEvent in JSON; its message id is the event's id, by which consumers recognise a repeat.
"""

import asyncio
from collections.abc import Iterable, Sequence

from aiormq.abc import AbstractChannel

from mainspring.adapters.rabbitmq.link import Link, Session, Sleep, Timing
from mainspring.adapters.rabbitmq.location import locate, named, switched
from mainspring.adapters.rabbitmq.publishing import Message, publish
from mainspring.adapters.rabbitmq.topology import Declared, Way, declare, quorum
from mainspring.adapters.rabbitmq.troubles import LostError, RefusedError, UnroutableError
from mainspring.ports.errors import PortError
from mainspring.ports.event_sink import Untried
from mainspring.ports.messages import write_event
from mainspring.ports.names import RunId
from mainspring.ports.records import Event

_CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class RabbitEventSink:
    """Publishes events; connects when it is first used, and by itself from then on.

    Args:
        url: ``amqp://user:password@host/vhost?exchange=mainspring.events``; ``queue`` makes a durable quorum queue of
            that name and binds it to all events; ``mandatory=false`` lets events go that no queue takes.
        source: who the events are from, as CloudEvents want it told.
        timing: how long things may take.
        sleep: between tries to connect.

    Raises:
        SettingsError: the URL is wrong.
    """

    def __init__(
        self, url: str, *, source: str = "mainspring", timing: Timing | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        location = locate(url, known={"exchange", "queue", "mandatory"})
        self.exchange = named(location.options, "exchange", "mainspring.events")
        self.queue = named(location.options, "queue", "") if "queue" in location.options else None
        self.shown = f"{location.shown}?exchange={self.exchange}"
        self._mandatory = switched(location.options, "mandatory", default=True)
        self._source = source
        self.link = Link(location, prepare=self._declare, attend=self._watch, timing=timing or Timing(), sleep=sleep)

    async def ready(self) -> None:
        """Connect, and make sure that everything stands. Need not be called.

        Raises:
            SettingsError: the broker refuses us, or the exchange or queue is there with other properties.
            UnavailableError: the broker cannot be reached.
        """
        await self.link.session()

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        """As the port says; runs beside each other, the events of one run one after the other.

        Raises:
            SettingsError, UnavailableError: there is no connection; nothing was published.
        """
        if not events:
            return []
        session = await self.link.session()
        by_run: dict[RunId, list[tuple[int, Event]]] = {}
        for place, event in enumerate(events):
            by_run.setdefault(event.run_id, []).append((place, event))
        answers: list[str | None] = ["not published"] * len(events)
        await asyncio.gather(*(self._publish_run(session, ones, answers) for ones in by_run.values()))
        return answers

    async def close(self) -> None:
        """Say goodbye. Closing twice does nothing."""
        await self.link.close()

    async def _publish_run(
        self, session: Session, events: Iterable[tuple[int, Event]], answers: list[str | None]
    ) -> None:
        failed: str | None = None
        for place, event in events:
            if failed is None:
                answers[place] = answer = await self._publish_one(session, event)
                if answer is not None:
                    failed = f"event {event.id} of its run was not taken: {answer}"
            else:
                answers[place] = failed

    async def _publish_one(self, session: Session, event: Event) -> str | None:
        try:
            async with asyncio.timeout(self.link.timing.patience):
                await publish(session.channel, self._message(event), self.shown)
        except UnroutableError:
            return (
                f"{self.shown}: no queue is bound for {event.type!r}: bind one, or add queue=name to the URL, which "
                "makes one for all events; mandatory=false lets such events go"
            )
        except TimeoutError:
            return Untried(f"{self.shown}: the broker did not confirm it in {self.link.timing.patience:g} s")
        except LostError as error:
            self.link.lose(session, str(error))
            return Untried(error)
        except RefusedError as error:  # a queue is full, or too few of its replicas are up: nothing is wrong with it
            return Untried(error)
        except PortError as error:
            return str(error)
        return None

    def _message(self, event: Event) -> Message:
        properties = {
            "content_type": _CONTENT_TYPE,
            "message_id": event.id,
            "message_type": event.type,
            "timestamp": event.at,
            "app_id": "mainspring",
        }
        body = write_event(event, self._source).encode()
        return Message(Way(self.exchange, event.type), body, properties, mandatory=self._mandatory)

    async def _declare(self, channel: AbstractChannel) -> None:
        bound: tuple[tuple[str, str], ...] = ()
        if self.queue is not None:
            await declare(channel, Declared(self.queue, arguments=quorum()))
            bound = ((self.queue, "#"),)
        await declare(channel, Declared(self.exchange, kind="topic", queues=bound))

    async def _watch(self, session: Session) -> None:
        while True:
            await session.rest(self.link.timing.look)
            async with asyncio.timeout(self.link.timing.answer):
                await session.channel.exchange_declare(self.exchange, passive=True)
                if self.queue is not None:
                    await session.channel.queue_declare(self.queue, passive=True)
