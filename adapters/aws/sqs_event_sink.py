"""EventSink on SQS: events as CloudEvents, on a FIFO queue in the order of their run.

Rule: a batch holds one event of a run at most, so that one that is refused lets no later one of its run by. On a FIFO
queue the group is the run and the deduplication id is the event's: a repeat within five minutes is swallowed there. A
standard queue keeps no order: its consumers go by ``sequence``.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from mainspring.adapters.aws.calls import AwsCalls, Sleep
from mainspring.adapters.aws.location import locate
from mainspring.adapters.aws.rounds import PATIENCE, TOO_LONG, in_rounds
from mainspring.adapters.aws.sqs_queue import BATCH, LARGE_BATCH, SMALL_MESSAGE, SqsQueue
from mainspring.ports.messages import write_event
from mainspring.ports.records import Event

_ATTEMPTS, _READ_TIMEOUT = 3, 10.0  # seconds: a relay's lease does not last long


@attrs.frozen
class _Message:
    place: int  #: of the event in its round
    event: Event
    body: str  #: ASCII


class SqsEventSink:
    """Publishes to one queue, for one event loop at a time.

    Args:
        url: ``sqs://queue?region=…&endpoint=…``.
        source: the CloudEvents' ``source``: which Mainspring they come from.
        patience: seconds for a batch; what is not taken by then was not tried.
        sleep: between two attempts at a call.
        client: another than boto3's own, with the same methods.

    Raises:
        SettingsError: the URL names no queue, or no region is known.
    """

    def __init__(
        self,
        url: str,
        *,
        source: str = "mainspring",
        patience: float = PATIENCE,
        sleep: Sleep = asyncio.sleep,
        client: Any = None,
    ) -> None:
        location = locate(url, "sqs")
        calls = AwsCalls("sqs", location, attempts=_ATTEMPTS, read_timeout=_READ_TIMEOUT, sleep=sleep, client=client)
        self._queue = SqsQueue(location, calls)
        self._source = source
        self._patience = patience

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        """As the port says. An event larger than the queue's largest message is refused, whenever it comes."""
        return await in_rounds(events, self._round, self._patience)

    async def _round(self, events: Sequence[Event], until: float) -> list[str | None]:
        """Publish events of different runs; what became of each."""
        try:
            async with asyncio.timeout_at(until):
                largest = await self._queue.largest_message()
        except TimeoutError:
            return [TOO_LONG] * len(events)
        messages = [_Message(place, event, write_event(event, self._source)) for place, event in enumerate(events)]
        answers: list[str | None] = [None] * len(messages)
        for message in messages:
            if len(message.body) > largest:
                size = f"event {message.event.id} makes a message of {len(message.body)} bytes"
                answers[message.place] = f"{size}; {self._queue.calls.shown} takes at most {largest}"
        room = LARGE_BATCH if largest > SMALL_MESSAGE else SMALL_MESSAGE
        batches = list(_batches([message for message in messages if answers[message.place] is None], room))
        sent = await asyncio.gather(*(self._send(batch, until) for batch in batches))
        for batch, told in zip(batches, sent, strict=True):
            for message, answer in zip(batch, told, strict=True):
                answers[message.place] = answer
        return answers

    async def _send(self, batch: "list[_Message]", until: float) -> list[str | None]:
        try:
            async with asyncio.timeout_at(until):
                return await self._queue.batch("send_message_batch", [self._entry(one) for one in batch])
        except TimeoutError:
            return [TOO_LONG] * len(batch)

    def _entry(self, message: _Message) -> dict[str, Any]:
        entry: dict[str, Any] = {"MessageBody": message.body}
        if self._queue.fifo:
            entry |= {"MessageGroupId": message.event.run_id, "MessageDeduplicationId": message.event.id}
        return entry

    async def close(self) -> None:
        """Let go of threads and connections. Closing twice does nothing."""
        self._queue.close()


def _batches(messages: Sequence[_Message], room: int) -> Iterator[list[_Message]]:
    """The messages in their order, in batches that the service takes: ten at most, and ``room`` bytes."""
    batch: list[_Message] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == BATCH or size + len(message.body) > room):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message.body)
    if batch:
        yield batch
