"""JobTransport on RabbitMQ: pointers in a quorum queue that survives its broker.

Rule: a hint is settled by an acknowledgement on the channel it came by; when that channel is gone, the broker brings
the hint again, and the row it points at tells whether it is still worth anything. What was sent and confirmed is not
lost by a restart, and may come twice. Sending and consuming have a connection each: a broker that is short of memory
or disk blocks those that publish, and must not keep us from consuming.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial

from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity

from mainspring.adapters.rabbitmq.consumer import Consumer
from mainspring.adapters.rabbitmq.link import Link, Session, Sleep, Timing
from mainspring.adapters.rabbitmq.location import locate, named
from mainspring.adapters.rabbitmq.publishing import Message, publish_all
from mainspring.adapters.rabbitmq.topology import LONGEST, declare, job_topology, way
from mainspring.ports.errors import UnavailableError
from mainspring.ports.messages import write_pointer
from mainspring.ports.records import Hint, Pointer

_PROPERTIES = {"content_type": "application/json", "app_id": "mainspring"}
_NOW = timedelta(0)


class RabbitJobTransport:
    """Pointers for the processes that share a queue. Connects when it is first used, and by itself from then on.

    Args:
        url: ``amqp://user:password@host/vhost?queue=mainspring``; ``heartbeat`` in seconds.
        prefetch: the most messages that this process holds without having settled them.
        timing: how long things may take.
        sleep: between tries to connect.

    Raises:
        SettingsError: the URL is wrong.
    """

    carries_pointers = True

    def __init__(
        self, url: str, *, prefetch: int = 200, timing: Timing | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        location = locate(url, known={"queue"})
        self.queue = named(location.options, "queue", "mainspring")
        self.shown = f"{location.shown}?queue={self.queue}"
        self.garbage = 0  #: messages that were no pointers, and went to the dead letter queue
        link = partial(Link, location, timing=timing or Timing(), sleep=sleep)
        self.sending = link(prepare=self._declare, attend=self._watch)  #: the connection that publishes
        self.receiving = link(prepare=self._find, attend=self._consume)  #: the one that consumes
        self._prefetch = prefetch
        self._consumer: Consumer | None = None
        self._news: dict[asyncio.Future[None], None] = {}  # of receivers that wait, in their order
        self._receivers = 0
        self._wanted = 0  # how many hints are worth consuming; 0: nobody has received for a while
        self._leaving: asyncio.TimerHandle | None = None
        self._at_rest = asyncio.Event()  # nothing is consumed, nothing waits here
        self._closed = False

    @property
    def waiting(self) -> int:
        """Hints that were delivered and that nobody has taken yet."""
        return len(self._consumer.waiting) if self._consumer is not None else 0

    async def ready(self) -> None:
        """Connect, and make sure that everything stands. Need not be called.

        Raises:
            SettingsError: the broker refuses us, or a queue is there with other properties.
            UnavailableError: the broker cannot be reached.
        """
        await self.sending.session()

    async def send(self, pointers: Sequence[Pointer], after: timedelta = _NOW) -> None:
        if self._closed or after > LONGEST or not pointers:
            return
        await self._publish(pointers, after)

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait.total_seconds()
        if limit <= 0:
            return []
        self._arrive(limit)
        try:
            if self.receiving.current is None:
                try:
                    await self.receiving.session(wait.total_seconds())
                except UnavailableError:
                    if self.receiving.failing and not self._closed:
                        raise
            while not (hints := self._take(limit)) and not self._closed and await self._more_until(deadline):
                pass
        finally:
            self._leave()
        return hints

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        if again_after is not None and hint.pointer is not None:
            try:
                await self._publish([hint.pointer], again_after)
            except BaseException:
                await consumer.put_back(hint)
                raise
        consumer.acknowledge(hint)

    async def close(self) -> None:
        """Give back what nobody took, and say goodbye. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        self._wanted = 0
        self._wake(len(self._news))
        if self._leaving is not None:
            self._leaving.cancel()
        session = self.receiving.current
        if session is not None:
            session.stir()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._at_rest.wait()
        await self.receiving.close()
        await self.sending.close()

    # Sending.

    async def _publish(self, pointers: Sequence[Pointer], after: timedelta) -> None:
        route = way(self.queue, after)
        bodies = (write_pointer(pointer).encode() for pointer in pointers)
        await publish_all(self.sending, [Message(route, body, _PROPERTIES) for body in bodies])

    async def _declare(self, channel: AbstractChannel) -> None:
        for declared in job_topology(self.queue):
            await declare(channel, declared)

    async def _watch(self, session: Session) -> None:
        while True:
            await session.rest(self.sending.timing.look)
            async with asyncio.timeout(self.sending.timing.answer):
                await session.channel.queue_declare(self.queue, passive=True)

    # Consuming.

    async def _find(self, channel: AbstractChannel) -> None:
        """Only one of the two declares: RabbitMQ stumbles when a queue is made twice at once."""
        out = await self.sending.session()
        try:
            await channel.queue_declare(self.queue, passive=True)
        except ChannelNotFoundEntity:
            self.sending.lose(out, f"queue {self.queue} is gone")
            raise

    async def _consume(self, session: Session) -> None:
        consumer = self._consumer = Consumer(
            session,
            self.queue,
            most=self._prefetch,
            number=self.receiving.sessions,
            heard=partial(self._wake, 1),
            refused=self._refused,
        )
        loop = asyncio.get_running_loop()
        look_at = loop.time() + self.receiving.timing.look
        try:
            while True:
                async with asyncio.timeout(self.receiving.timing.answer):
                    await consumer.want(self._wanted)
                    if loop.time() >= look_at:
                        await consumer.look()
                        look_at = loop.time() + self.receiving.timing.look
                if not self._wanted:
                    await self._give_back(consumer)
                if consumer.suits(self._wanted):
                    await session.rest(look_at - loop.time())
        finally:
            consumer.end()

    async def _give_back(self, consumer: Consumer) -> None:
        hints = consumer.forget_waiting()
        if hints:
            await self._publish([hint.pointer for hint in hints if hint.pointer is not None], _NOW)
            for hint in hints:
                consumer.acknowledge(hint)
        await consumer.flushed()
        if not self._wanted:
            self._at_rest.set()

    def _refused(self) -> None:
        self.garbage += 1

    # Receiving.

    def _arrive(self, limit: int) -> None:
        self._wanted = max(limit, self._wanted if self._receivers else 0)
        self._receivers += 1
        self._at_rest.clear()
        if self._leaving is not None:
            self._leaving.cancel()
        session, consumer = self.receiving.current, self._consumer
        if session is not None and (consumer is None or not consumer.suits(self._wanted)):
            session.stir()

    def _leave(self) -> None:
        self._receivers -= 1
        if not self._receivers and not self._closed:
            self._leaving = asyncio.get_running_loop().call_later(self.receiving.timing.idle, self._left)

    def _left(self) -> None:
        self._wanted = 0
        if self.receiving.current is not None:
            self.receiving.current.stir()

    def _take(self, limit: int) -> list[Hint]:
        if self._consumer is None:
            return []
        waiting = self._consumer.waiting
        return [waiting.popleft() for _ in range(min(limit, len(waiting)))]

    async def _more_until(self, deadline: float) -> bool:
        """Wait for hints; False when the deadline passed without."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._news[news] = None
        try:
            async with asyncio.timeout_at(deadline):
                await news
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if news.done() and not news.cancelled():
                self._wake(1)  # the news was not taken: let another receiver have it
            raise
        finally:
            self._news.pop(news, None)
        return True

    def _wake(self, receivers: int) -> None:
        for news in list(self._news)[:receivers]:
            del self._news[news]
            if not news.done():
                news.set_result(None)
