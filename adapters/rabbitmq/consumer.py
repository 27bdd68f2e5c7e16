"""A consumer that takes no more than somebody waits for, and gives back what nobody came for.

RabbitMQ pushes up to a prefetch of messages to whoever consumes. A worker without free slots must not sit on messages
that an idle one could work on: so consuming begins when somebody receives, with a prefetch of as many as he takes,
grows with him, and ends a moment after the last one left. Rule: messages go back as copies, and the originals are then
acknowledged: what is merely returned counts as a failed delivery, and dies of 20 of them.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from mainspring.adapters.rabbitmq.link import Session, on_close
from mainspring.adapters.rabbitmq.troubles import LostError
from mainspring.ports.messages import InvalidMessageError, read_pointer
from mainspring.ports.records import Hint

logger = structlog.get_logger("mainspring.rabbitmq")


class Consumer:
    """Consumes one queue in one session.

    Args:
        queue: its name.
        most: the highest prefetch.
        heard: called when hints wait to be taken.
        refused: called for each message that was no pointer.
        number: of the session; tells receipts of different sessions apart.
    """

    def __init__(
        self,
        session: Session,
        queue: str,
        *,
        most: int,
        number: int,
        heard: Callable[[], None],
        refused: Callable[[], None],
    ) -> None:
        self.waiting: deque[Hint] = deque()  #: delivered, not yet taken by anybody
        self.prefetch = 0  #: 0: nothing is consumed
        self._session = session
        self._queue = queue
        self._most = most
        self._heard = heard
        self._refused = refused
        self._number = number
        self._channel: AbstractChannel | None = None
        self._tag = ""
        self._tags = 0
        self._unsettled: dict[str, int] = {}  # tags by receipt, in their order
        self._settled: list[int] = []  # to be acknowledged
        self._flushing: asyncio.Task[None] | None = None
        self._over = False

    def suits(self, limit: int) -> bool:
        """Whether ``want`` would do nothing."""
        return self._room(limit) <= self.prefetch if limit else not self.prefetch

    async def want(self, limit: int) -> None:
        """Consume with room for so many more; 0: not at all. Only the session's task asks."""
        if not limit and self.prefetch:
            await self._cancel(self._tag)
            self.prefetch = 0
        elif not self.suits(limit):
            await self._consume(min(self._most, max(self._room(limit), 2 * self.prefetch)))

    def _room(self, limit: int) -> int:
        """What was taken and is not yet settled fills the prefetch too."""
        return min(self._most, limit + len(self._unsettled) - len(self.waiting))

    async def _consume(self, prefetch: int) -> None:
        if self._channel is None:
            self._channel = await self._session.connection.channel(publisher_confirms=False)
            on_close(self._channel, lambda error: self._session.lose(f"the consumer's channel was closed: {error}"))
            self._channel.on_consumer_cancel_callbacks.add(self._cancelled)
        before, self._tags = self._tag if self.prefetch else "", self._tags + 1
        self._tag = f"mainspring-{self._tags}"
        await self._channel.basic_qos(prefetch_count=prefetch)
        await self._channel.basic_consume(self._queue, self._delivered, consumer_tag=self._tag)
        self.prefetch = prefetch
        if before:
            await self._cancel(before)

    async def _cancel(self, tag: str) -> None:
        if self._channel is not None:
            await self._channel.basic_cancel(tag)

    def _cancelled(self, _: Basic.Cancel) -> None:
        self._session.lose("the broker ended the consumer: its queue is gone")

    async def _delivered(self, message: DeliveredMessage) -> None:
        tag = message.delivery_tag
        if tag is None or self._over:
            return
        try:
            pointer = read_pointer(message.body)
        except InvalidMessageError as error:
            self._refused()
            logger.warning("message_refused", queue=self._queue, error=str(error), length=len(message.body))
            await message.channel.basic_reject(tag, requeue=False, wait=False)
            return
        hint = Hint(receipt=f"{self._number}/{tag}", pointer=pointer)
        self._unsettled[hint.receipt] = tag
        self.waiting.append(hint)
        self._heard()

    def acknowledge(self, hint: Hint) -> None:
        """The broker may forget the message; if that gets lost, or the session is over, it comes again."""
        tag = self._unsettled.pop(hint.receipt, None)
        if tag is None or self._over:
            return
        self._settled.append(tag)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def flushed(self) -> None:
        """Return when all acknowledgements are on their way."""
        if self._flushing is not None:
            await asyncio.wait([self._flushing])

    async def _flush(self) -> None:
        """All of one pass of the loop at once: up to the first unsettled message, one acknowledgement says it all."""
        try:
            while self._settled and self._channel is not None:
                tags, self._settled = sorted(self._settled), []
                first = next(iter(self._unsettled.values()), tags[-1] + 1)
                below = bisect_left(tags, first)
                if below:
                    await self._channel.basic_ack(tags[below - 1], multiple=True, wait=False)
                for tag in tags[below:]:
                    await self._channel.basic_ack(tag, wait=False)
        except Exception as error:  # noqa: BLE001  a closed channel raises anything
            self._session.lose(f"a message could not be acknowledged: {type(error).__name__}")
        finally:
            self._flushing = None

    async def put_back(self, hint: Hint) -> None:
        """The broker shall deliver it again at once; that counts as a failed delivery."""
        tag = self._unsettled.pop(hint.receipt, None)
        if tag is not None and self._channel is not None and not self._over:
            with suppress(Exception):
                await self._channel.basic_nack(tag, requeue=True, wait=False)

    def forget_waiting(self) -> list[Hint]:
        """What nobody came for, to be given back."""
        hints = list(self.waiting)
        self.waiting.clear()
        return hints

    def end(self) -> None:
        """The session is over: nothing of it can be taken or settled any more; the broker delivers it again."""
        self._over = True
        self.waiting.clear()
        self._unsettled.clear()

    async def look(self) -> None:
        """Ask the broker whether the queue stands and has us as its consumer.

        Raises:
            LostError: it has none.
        """
        found = await self._session.channel.queue_declare(self._queue, passive=True)
        if self.prefetch and not found.consumer_count:
            raise LostError(f"queue {self._queue} has lost its consumer")
