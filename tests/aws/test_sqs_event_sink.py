"""What events on SQS survive, in which order they are published, and how large they may be."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mainspring.adapters.aws.sqs_event_sink import SqsEventSink
from mainspring.adapters.aws.sqs_queue import LARGE_BATCH, SMALL_MESSAGE
from mainspring.ports.contracts.event_sink import ONE, TWO, event
from mainspring.ports.names import RunId
from tests.aws.queues import Queue, event_in
from tests.aws.servers import AwsServer
from tests.aws.sqs_faults import FaultySqs, Pauses, Refused, cut_after, denied, down, throttled

Opened = Callable[..., tuple[SqsEventSink, FaultySqs]]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    to_close: list[SqsEventSink] = []

    def opened(queue: Queue, pauses: Pauses | None = None) -> tuple[SqsEventSink, FaultySqs]:
        client = FaultySqs(queue.client)
        to_close.append(SqsEventSink(queue.url, client=client, sleep=pauses or Pauses()))
        return to_close[-1], client

    yield opened
    for sink in to_close:
        await sink.close()


def run(number: int) -> RunId:
    return RunId(f"019a0000-0000-7000-8000-{number:012x}")


def of_size(size: int) -> str:
    """Data that makes an event's message about so large."""
    return '"' + "x" * (size - 500) + '"'


async def test_events_of_many_runs_are_published_ten_to_a_call(server: AwsServer, opened: Opened) -> None:
    queue = Queue.fresh(server, ".fifo")
    sink, client = opened(queue)
    events = [event(run(number), seq) for number in range(20) for seq in (1, 2)]
    assert await sink.publish(events) == [None] * 40
    assert client.calls["send_message_batch"] == 4
    arrived = Counter(event_in(message) for message in queue.drain())
    assert arrived == Counter(events)


async def test_an_event_names_its_run_and_itself_to_a_fifo_queue(server: AwsServer, opened: Opened) -> None:
    queue = Queue.fresh(server, ".fifo")
    sink, _ = opened(queue)
    await sink.publish([event(ONE, 1)])
    (message,) = queue.drain()
    assert message["Attributes"]["MessageGroupId"] == ONE
    assert message["Attributes"]["MessageDeduplicationId"] == f"{ONE}/1"


@pytest.mark.fault(38)
async def test_a_lost_confirmation_makes_a_repeat_with_the_same_id(server: AwsServer, opened: Opened) -> None:
    queue = Queue.fresh(server)
    sink, client = opened(queue)
    client.next("send_message_batch", cut_after)
    assert await sink.publish([event(ONE, 1)]) == [None]
    assert [event_in(message).id for message in queue.drain()] == [f"{ONE}/1"] * 2


@pytest.mark.fault(38)
async def test_a_fifo_queue_swallows_the_repeat(ministack: AwsServer, opened: Opened) -> None:
    queue = Queue.fresh(ministack, ".fifo")
    sink, client = opened(queue)
    client.next("send_message_batch", cut_after)
    assert await sink.publish([event(ONE, 1), event(ONE, 2)]) == [None, None]
    assert await sink.publish([event(ONE, 1)]) == [None]
    assert [event_in(message) for message in queue.drain()] == [event(ONE, 1), event(ONE, 2)]


@pytest.mark.fault(36)
async def test_while_the_queue_is_down_every_event_is_answered_and_none_is_lost(
    server: AwsServer, opened: Opened
) -> None:
    queue = Queue.fresh(server, ".fifo")
    pauses = Pauses()
    sink, client = opened(queue, pauses)
    await sink.publish([event(TWO, 9)])
    client.next("send_message_batch", *[down] * 3)
    first, second = await sink.publish([event(ONE, 1), event(ONE, 2)])
    assert first is not None
    assert "cannot be reached" in first
    assert second == f"held up by event {ONE}/1, which was refused"
    assert len(pauses.taken) == 2
    assert await sink.publish([event(ONE, 1), event(ONE, 2)]) == [None, None]
    assert [event_in(message).seq for message in queue.drain()] == [9, 1, 2]


async def test_an_entry_that_failed_in_passing_is_sent_again_before_the_next_of_its_run(
    server: AwsServer, opened: Opened
) -> None:
    queue = Queue.fresh(server, ".fifo")
    sink, client = opened(queue)
    client.next("send_message_batch", throttled, Refused(f"{ONE}/1"))
    assert await sink.publish([event(ONE, 1), event(TWO, 1), event(ONE, 2)]) == [None] * 3
    assert [found.seq for message in queue.drain() if (found := event_in(message)).run_id == ONE] == [1, 2]


@pytest.mark.parametrize("largest", [SMALL_MESSAGE, LARGE_BATCH])
async def test_an_event_too_large_for_the_queue_is_refused_with_both_sizes(
    server: AwsServer, opened: Opened, largest: int
) -> None:
    queue = Queue.fresh(server, MaximumMessageSize=str(largest))
    sink, client = opened(queue)
    large, fits = event(ONE, 1, of_size(largest + 501)), event(TWO, 1, of_size(largest))
    answer, other, held_up = await sink.publish([large, fits, event(ONE, 2)])
    assert answer is not None
    assert f"bytes; sqs '{queue.name}' takes at most {largest}" in answer
    assert other is None
    assert held_up is not None
    assert [event_in(message) for message in queue.drain()] == [fits]
    assert client.calls["send_message_batch"] == 1


@pytest.mark.parametrize(("largest", "calls"), [(SMALL_MESSAGE, 10), (LARGE_BATCH, 3)])
async def test_a_batch_is_no_larger_than_the_service_takes(
    server: AwsServer, opened: Opened, largest: int, calls: int
) -> None:
    queue = Queue.fresh(server, MaximumMessageSize=str(largest))
    sink, client = opened(queue)
    sizes: list[int] = []

    def measure(real: Callable[..., Any], parameters: dict[str, Any]) -> Any:
        sizes.append(sum(len(entry["MessageBody"]) for entry in parameters["Entries"]))
        return real(**parameters)

    client.next("send_message_batch", *[measure] * 10)
    events = [event(run(number), 1, of_size(200_000)) for number in range(10)]
    assert await sink.publish(events) == [None] * 10
    assert len(sizes) == calls if largest == SMALL_MESSAGE else len(sizes) <= calls
    assert max(sizes) <= largest


async def test_a_queue_that_does_not_tell_its_limit_gets_what_every_queue_takes(
    ministack: AwsServer, opened: Opened
) -> None:
    queue = Queue.fresh(ministack)
    sink, client = opened(queue)
    client.next("get_queue_attributes", denied)
    (answer,) = await sink.publish([event(ONE, 1, of_size(SMALL_MESSAGE + 1000))])
    assert answer is not None
    assert await asyncio.to_thread(queue.drain) == []
