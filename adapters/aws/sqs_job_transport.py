"""JobTransport on SQS: pointers to jobs as messages, on a standard or a FIFO queue.

Rules: the queue may lose, repeat and shuffle everything, and settling may come too late; all of it costs latency only.
Polls run in threads of their own, and outlive who asked for them: what they bring waits for the next receiver, and goes
back to the queue when none comes. A message that is no pointer never gets further than here.

On a FIFO queue the group is the run: a host gets a second pointer to a run once the first one is settled. Each message
has a random deduplication id, because the same job may well be announced twice within five minutes.
"""

import asyncio
import math
import uuid
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from mainspring.adapters.aws.calls import AwsCalls, Sleep
from mainspring.adapters.aws.location import locate
from mainspring.adapters.aws.sqs_dead_letters import set_aside
from mainspring.adapters.aws.sqs_queue import BATCH, SqsQueue, unavailable
from mainspring.ports.errors import MainspringError, UnavailableError
from mainspring.ports.messages import InvalidMessageError, read_pointer, write_pointer
from mainspring.ports.records import Hint, Pointer

LONGEST_DELAY = timedelta(seconds=900)
"""A standard queue keeps a message back no longer."""

LONGEST_PUT_OFF = 43_000
"""Seconds, a little less than the 12 hours that a message may be invisible."""

HELD = 2.0
"""Seconds that a hint waits here for a receiver before it goes back to the queue."""

_LONGEST_POLL = 20  # seconds: the service's limit
_POLLS = 4  # at a time, once the first one came back full
_GATHER = 0.005  # seconds that a settled hint waits for others, to share their call
_PATIENCE = 5.0  # seconds that sending, or closing, may take
_MOST_TASKS = 32  # settling, or setting messages aside; with so many nothing more is received

_DELETE, _CHANGE = "delete_message_batch", "change_message_visibility_batch"

logger = structlog.get_logger("mainspring.transport")


class SqsJobTransport:
    """The pointers of one queue, for one event loop at a time.

    Args:
        url: ``sqs://queue?region=…&endpoint=…``.
        sleep: between two attempts at a call.
        client: another than boto3's own, with the same methods.
        patience: seconds after which a message that is to be sent is given up, though the call may go on.

    Raises:
        SettingsError: the URL names no queue, or no region is known.
    """

    carries_pointers = True

    def __init__(
        self, url: str, *, sleep: Sleep = asyncio.sleep, client: Any = None, patience: float = _PATIENCE
    ) -> None:
        location = locate(url, "sqs")
        self._queue = SqsQueue(location, AwsCalls("sqs", location, sleep=sleep, client=client))
        self._patience = patience
        #: Messages that were no pointers, so far.
        self.refused = 0
        self._held: deque[Hint] = deque()
        self._fetching: asyncio.Task[None] | None = None
        self._give_up: asyncio.TimerHandle | None = None
        self._settled: dict[str, dict[str, dict[str, Any]]] = {_DELETE: {}, _CHANGE: {}}
        self._flush_at: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        """As the port says; of jobs due later, only a standard queue tells, and only up to ``LONGEST_DELAY``.

        Raises:
            UnavailableError: the queue did not take all of them, or did not answer in time; it may have taken some.
        """
        delay = math.ceil(max(after, timedelta(0)).total_seconds())
        if self._closed or (delay and (self._queue.fifo or after > LONGEST_DELAY)):
            return
        entries = [self._message(pointer, delay) for pointer in dict.fromkeys(pointers)]
        try:
            async with asyncio.timeout(self._patience):
                answers = await self._queue.batches("send_message_batch", entries)
        except TimeoutError as error:
            raise UnavailableError(f"queue {self._queue.name} did not answer for {self._patience:g} s") from error
        refused = [answer for answer in answers if answer is not None]
        if refused:
            msg = f"{len(refused)} of {len(entries)} messages were not sent; the first: {refused[0]}"
            raise UnavailableError(msg)

    def _message(self, pointer: Pointer, delay: int) -> dict[str, Any]:
        message: dict[str, Any] = {"MessageBody": write_pointer(pointer)}
        if self._queue.fifo:
            message |= {"MessageGroupId": pointer.run_id, "MessageDeduplicationId": uuid.uuid4().hex}
        elif delay:
            message["DelaySeconds"] = delay
        return message

    # Receiving.

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        """As the port says. Without a ``wait`` the queue is asked once, and may miss a message that is there.

        Raises:
            UnavailableError: the queue cannot be asked.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait.total_seconds()
        once = wait <= timedelta(0) and self._fetching is None
        while limit > 0 and not self._held and not self._closed:
            if self._fetching is None:
                self._fetching = loop.create_task(self._fetch(limit, self._seconds(until - loop.time())))
                self._fetching.add_done_callback(self._fetched)
            fetching = self._fetching
            await asyncio.wait([fetching], timeout=_PATIENCE if once else max(until - loop.time(), 0))
            if fetching.done() and not fetching.cancelled():
                fetching.result()
            if once or loop.time() >= until:
                break
        return self._take(limit)

    @staticmethod
    def _seconds(left: float) -> int:
        return max(0, min(math.ceil(left), _LONGEST_POLL))

    def _take(self, limit: int) -> list[Hint]:
        taken = [self._held.popleft() for _ in range(min(limit, len(self._held)))] if not self._closed else []
        self._hold()
        return taken

    def _hold(self) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None
        if self._held:
            self._give_up = asyncio.get_running_loop().call_later(HELD, self._give_back)

    def _give_back(self) -> None:
        while self._held:
            self._settle(_CHANGE, self._held.popleft().receipt, VisibilityTimeout=0)

    def _fetched(self, fetching: "asyncio.Task[None]") -> None:
        self._fetching = None
        if not fetching.cancelled() and (error := fetching.exception()) is not None:
            logger.debug("poll_failed", queue=self._queue.name, error=str(error))  # who waits is told, if somebody does

    async def _fetch(self, limit: int, seconds: int) -> None:
        """Up to ``limit`` hints: one poll that waits, and if it came back full, more that do not."""
        while len(self._tasks) >= _MOST_TASKS:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        try:
            limit, full = await self._poll(limit, seconds)
        except (ClientError, MainspringError) as error:
            raise unavailable(error, self._queue.calls.shown) from error
        polls = 1
        with suppress(ClientError, MainspringError):  # what came is there; the next poll tells
            while full and limit > 0 and not self._closed:
                polls = min(2 * polls, _POLLS)
                shares = [min(BATCH, limit - start) for start in range(0, limit, BATCH)][:polls]
                answers = await asyncio.gather(*(self._poll(share, 0) for share in shares))
                limit -= sum(shares)
                full = all(full for _, full in answers)

    async def _poll(self, limit: int, seconds: int) -> tuple[int, bool]:
        """Ask once; how many hints are still wanted, and whether as many came as one answer may hold."""
        asked: dict[str, Any] = {
            "QueueUrl": await self._queue.url(),
            "MaxNumberOfMessages": min(limit, BATCH),
            "WaitTimeSeconds": seconds,
        }
        if self._queue.fifo:  # an answer that was lost comes again, instead of blocking its groups for a while
            asked["ReceiveRequestAttemptId"] = uuid.uuid4().hex

        def work(client: Any) -> list[dict[str, Any]]:
            messages: list[dict[str, Any]] = client.receive_message(**asked).get("Messages", [])
            if self._closed and messages:
                _return(client, asked["QueueUrl"], messages)
            return messages

        messages = await self._queue.calls.repeat(work, detached=True)
        self._read(messages)
        return limit - len(messages), len(messages) == asked["MaxNumberOfMessages"]

    def _read(self, messages: Sequence[dict[str, Any]]) -> None:
        refused: list[tuple[dict[str, Any], str]] = []
        for message in messages:
            try:
                pointer = read_pointer(message.get("Body", ""))
            except InvalidMessageError as error:
                refused.append((message, str(error)))
            else:
                self._held.append(Hint(receipt=message["ReceiptHandle"], pointer=pointer))
        self._hold()
        if refused:
            self.refused += len(refused)
            first, reason = refused[0]
            logger.warning(
                "messages_refused",
                queue=self._queue.name,
                number=len(refused),
                message=first.get("MessageId"),
                reason=reason,
            )
            self._go_on(self._set_aside(refused))

    async def _set_aside(self, refused: Sequence[tuple[dict[str, Any], str]]) -> None:
        for receipt, again_after in await set_aside(self._queue, refused):
            if again_after is None:
                self._settle(_DELETE, receipt)
            else:
                self._settle(_CHANGE, receipt, VisibilityTimeout=again_after)

    # Settling.

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        """As the port says; returns before the queue knows. Settling what is visible again changes nothing."""
        if self._closed:
            return
        if again_after is None:
            self._settle(_DELETE, hint.receipt)
        else:
            seconds = math.ceil(max(again_after.total_seconds(), 0))
            self._settle(_CHANGE, hint.receipt, VisibilityTimeout=min(seconds, LONGEST_PUT_OFF))

    def _settle(self, operation: str, receipt: str, **more: Any) -> None:
        waiting = self._settled[operation]
        waiting[receipt] = {"ReceiptHandle": receipt, **more}
        if len(waiting) >= BATCH:
            self._flush(operation)
        elif self._flush_at is None:
            self._flush_at = asyncio.get_running_loop().call_later(_GATHER, self._flush, *self._settled)

    def _flush(self, *operations: str) -> None:
        if len(operations) == len(self._settled) and self._flush_at is not None:
            self._flush_at.cancel()
            self._flush_at = None
        for operation in operations:
            entries, self._settled[operation] = list(self._settled[operation].values()), {}
            if entries:
                self._go_on(self._tell(operation, entries))

    async def _tell(self, operation: str, entries: Sequence[dict[str, Any]]) -> None:
        refused = [answer for answer in await self._queue.batches(operation, entries) if answer is not None]
        if refused:  # the messages come again
            logger.info("hints_not_settled", queue=self._queue.name, number=len(refused), error=refused[0])

    def _go_on(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Let receivers go, give back what nobody took, and settle what is to be settled. Closing twice does nothing.

        A poll under way ends by itself; what it brings goes back to the queue. Takes a few seconds at most.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._fetching is not None:
                self._fetching.cancel()
            self._give_back()
            self._hold()
            self._flush(*self._settled)
            until = asyncio.get_running_loop().time() + _PATIENCE
            while self._tasks and (left := until - asyncio.get_running_loop().time()) > 0:
                await asyncio.wait(self._tasks, timeout=left)
                self._flush(*self._settled)
        finally:
            for task in self._tasks:
                task.cancel()
            self._queue.close()


def _return(client: Any, queue_url: str, messages: Sequence[dict[str, Any]]) -> None:
    entries = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
        for number, message in enumerate(messages)
    ]
    with suppress(ClientError, BotoCoreError, OSError):  # they come again by themselves, only later
        client.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)
