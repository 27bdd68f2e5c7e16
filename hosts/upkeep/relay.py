"""The relay: publishes committed events to one sink, under one lease per sink for the whole store.

Reads what is there, publishes, waits for the sink's word, settles. A crash in between publishes again; nothing is lost,
and nothing that did not commit is ever seen.
"""

import asyncio
from datetime import timedelta

import structlog

from mainspring.kernel.commands.outbox_settle import OutboxSettled, SettleOutbox
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.outlets import PUBLISHING
from mainspring.kernel.retry import Retry
from mainspring.ports.errors import LeaseLostError, PortError, SettingsError, UnavailableError
from mainspring.ports.event_sink import EventSink, Untried
from mainspring.ports.names import LeaseId, SinkName
from mainspring.ports.observer import Observer
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Event
from mainspring.ports.sinks import DEFAULT_SINK, Sink

PATIENCE = 0.75
"""Share of the relay's lease that a sink may take: another relay must not publish the same meanwhile."""

logger = structlog.get_logger("mainspring.relay")


class Relay:
    """Publishes for one host to one sink; many hosts may have one, a single one holds the sink's lease."""

    def __init__(
        self,
        store: Persistence,
        dispatcher: Dispatcher,
        sink: EventSink,
        lease_id: LeaseId,
        *,
        name: SinkName = DEFAULT_SINK,
        types: tuple[str, ...] = (),
        retry: Retry = PUBLISHING,
        length: timedelta = timedelta(seconds=30),
        batch: int = 500,
        observer: Observer | None = None,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._sink = sink
        self._lease_id = lease_id
        self._name = name
        self._wanted = Sink(name=name, types=types)
        self._retry = retry
        self._length = length
        self._batch = batch
        self._observer = observer
        self.size = batch  #: of the next batch: less than ``batch`` after one that the sink was too slow for

    async def tick(self, longest: timedelta | None = None) -> OutboxSettled | None:
        """Publish one batch; what became of it. None: nothing is there, or another relay holds the lease.

        Args:
            longest: how long the sink may take, if that is less than the lease allows.

        Raises:
            UnavailableError: the sink took nothing, and that tells nothing of the events.
            PortError: the store failed.
        """
        if not await self._store.lease_relay(self._lease_id, self._length, self._name):
            return None
        events = await self._store.unpublished(self.size, self._name)
        if not events:
            return None
        patience = self._length * PATIENCE
        answers = await self._publish(events, patience if longest is None else min(patience, longest))
        command = SettleOutbox(
            sink=self._name,
            lease_id=self._lease_id,
            events=tuple(events),
            answers=tuple(answers),
            retry=self._retry,
        )
        try:
            settled = await self._dispatcher.dispatch(command)
        except LeaseLostError:
            return None
        if settled.published == len(events):
            self.size = min(2 * self.size, self._batch)
        if self._observer is not None:
            self._observer.relayed(self._name, settled.published, settled.postponed, settled.dead)
        if settled.postponed or settled.dead:
            refused = next((answer for answer in answers if answer and not isinstance(answer, Untried)), None)
            logger.warning(
                "events_refused", sink=self._name, postponed=settled.postponed, dead=settled.dead, error=refused
            )
        untried = next((answer for answer in answers if isinstance(answer, Untried)), None)
        if untried is not None and not settled.published:
            raise UnavailableError(f"sink {self._name!r} takes nothing just now: {untried}")
        return settled

    async def _publish(self, events: list[Event], patience: timedelta) -> list[str | None]:
        """The answers: the sink's for the events it wants, and None for the others."""
        wanted = [event for event in events if self._wanted.wants(event.type)]
        told = iter(await self._answers(wanted, patience) if wanted else ())
        return [next(told) if self._wanted.wants(event.type) else None for event in events]

    async def _answers(self, events: list[Event], patience: timedelta) -> list[str | None]:
        """The sink's answers.

        A sink that raises or answers nonsense has confirmed nothing. That it cannot be reached, or takes too long, is
        not held against the events; what took too long is tried with half as many.
        """
        limit = asyncio.timeout(patience.total_seconds())
        try:
            async with limit:
                answers = list(await self._sink.publish(events))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return ["the sink was cancelled"] * len(events)
        except (PortError, SettingsError, OSError) as error:  # a TimeoutError is an OSError
            told = str(error) or type(error).__name__
            if limit.expired():
                self.size = max(1, len(events) // 2)
                told = f"the sink took longer than {patience.total_seconds():g} s for {len(events)} events"
            return [Untried(told)] * len(events)
        except Exception as error:  # noqa: BLE001  whatever a sink raises
            return [f"{type(error).__name__}: {error}"] * len(events)
        if len(answers) != len(events):
            return [f"the sink answered {len(answers)} times for {len(events)} events"] * len(events)
        return answers

    async def close(self) -> None:
        """Give the lease back."""
        await self._store.release_relay(self._lease_id, self._name)
