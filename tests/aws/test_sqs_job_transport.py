"""Pointers on SQS: how many calls they take, what a receiver that leaves leaves behind, and how a transport closes."""

import asyncio
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest

from mainspring.adapters.aws import sqs_job_transport
from mainspring.adapters.aws.sqs_job_transport import LONGEST_DELAY, SqsJobTransport
from mainspring.ports.contracts.job_transport import LONG, pointer
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.records import Hint
from tests.aws.queues import Queue
from tests.aws.servers import AwsServer
from tests.aws.sqs_faults import Call, doubled, throttled
from tests.aws.sqs_transports import Transports, received, settled


async def test_receiving_ten_and_settling_ten_takes_two_calls(server: AwsServer, opened: Transports) -> None:
    queue = Queue.fresh(server)
    transport, client = opened(queue)
    await transport.send([pointer(number) for number in range(10)])
    assert client.calls == {"get_queue_url": 1, "send_message_batch": 1}
    hints = await transport.receive(10, LONG)
    assert len(hints) == 10
    await settled(transport, hints)
    await transport.close()
    assert client.calls == {
        "get_queue_url": 1, "send_message_batch": 1, "receive_message": 1, "delete_message_batch": 1,
    }  # fmt: skip
    assert queue.drain() == []


async def test_many_hints_come_in_one_call_of_ours(server: AwsServer, opened: Transports) -> None:
    transport, client = opened(Queue.fresh(server))
    await transport.send([pointer(number) for number in range(45)])
    hints = await transport.receive(1000, LONG)
    assert {hint.pointer for hint in hints} == {pointer(number) for number in range(45)}
    assert client.calls["receive_message"] <= 1 + 2 + 4
    await settled(transport, hints)


async def test_no_more_is_taken_from_the_queue_than_wanted(server: AwsServer, opened: Transports) -> None:
    queue = Queue.fresh(server)
    transport, _ = opened(queue)
    await transport.send([pointer(number) for number in range(30)])
    hints = await transport.receive(13, LONG)
    assert len(hints) == 13
    assert len(await asyncio.to_thread(queue.drain)) == 17


async def test_a_pointer_given_twice_is_sent_once(server: AwsServer, opened: Transports) -> None:
    queue = Queue.fresh(server)
    transport, _ = opened(queue)
    await transport.send([pointer(1), pointer(1)])
    assert len(queue.drain()) == 1


@pytest.mark.parametrize("suffix", ["", ".fifo"])
async def test_of_jobs_due_too_late_nothing_is_sent(ministack: AwsServer, opened: Transports, suffix: str) -> None:
    transport, client = opened(Queue.fresh(ministack, suffix))
    await transport.send([pointer(1)], after=LONGEST_DELAY + timedelta(seconds=1))
    if suffix:
        await transport.send([pointer(1)], after=timedelta(seconds=1))
    assert not client.calls


# Receivers that leave, and closing.


async def test_what_nobody_takes_goes_back_to_the_queue(
    server: AwsServer, opened: Transports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs_job_transport, "HELD", 0.01)
    queue = Queue.fresh(server)
    transport, _ = opened(queue)
    assert await transport.receive(10, timedelta(milliseconds=1)) == []  # its poll goes on
    queue.put_pointer(pointer(1))
    other, _ = opened(queue)
    assert [hint.pointer for hint in await received(other, 1)] == [pointer(1)]


async def test_closing_gives_back_what_nobody_took(server: AwsServer, opened: Transports) -> None:
    queue = Queue.fresh(server)
    transport, client = opened(queue)
    client.next("receive_message", doubled)
    await transport.send([pointer(1)])
    assert len(await transport.receive(1, LONG)) == 1  # its double waits here
    await transport.close()
    other, _ = opened(queue)
    assert [hint.pointer for hint in await received(other, 1)] == [pointer(1)]


async def test_a_poll_that_outlives_its_transport_gives_back_what_it_brings(
    server: AwsServer, opened: Transports
) -> None:
    queue = Queue.fresh(server)
    transport, client = opened(queue)
    queue.put_pointer(pointer(1))
    asked, closed = threading.Event(), threading.Event()

    def slow(real: Call, parameters: dict[str, Any]) -> Any:
        asked.set()
        closed.wait(30)
        return real(**parameters)

    client.next("receive_message", slow)
    waiting = asyncio.create_task(transport.receive(10, LONG))
    assert await asyncio.to_thread(asked.wait, 30)
    await transport.close()
    assert await waiting == []
    closed.set()
    while not client.calls["change_message_visibility_batch"]:
        await asyncio.sleep(0)
    other, _ = opened(queue)
    assert [hint.pointer for hint in await received(other, 1)] == [pointer(1)]


async def test_a_closed_transport_sends_and_receives_nothing(ministack: AwsServer, opened: Transports) -> None:
    transport, client = opened(Queue.fresh(ministack))
    await transport.close()
    await transport.close()
    await transport.send([pointer(1)])
    await transport.settle(Hint(receipt="some"))
    assert await transport.receive(10, LONG) == []
    assert not client.calls


async def test_closing_while_calls_are_under_way_leaves_none_hanging(ministack: AwsServer, opened: Transports) -> None:
    transport, client = opened(Queue.fresh(ministack))
    client.next("send_message_batch", *[throttled] * 50)
    sending = [asyncio.create_task(transport.send([pointer(number)])) for number in range(20)]
    receiving = asyncio.create_task(transport.receive(10, LONG))
    while not client.calls["send_message_batch"]:
        await asyncio.sleep(0)
    await transport.close()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*sending, return_exceptions=True)
    assert all(answer is None or isinstance(answer, UnavailableError) for answer in answers)
    assert await receiving == []


PROGRAM = """
import asyncio, sys
from datetime import timedelta
from mainspring.adapters.aws.sqs_job_transport import SqsJobTransport

async def main():
    transport = SqsJobTransport(sys.argv[1])
    await transport.receive(1, timedelta(0))
    waiting = asyncio.create_task(transport.receive(1, timedelta(seconds=20)))
    await asyncio.sleep(0.2)
    await transport.close()
    assert await waiting == []

asyncio.run(main())
"""


def test_a_poll_under_way_does_not_keep_the_process(ministack: AwsServer) -> None:
    queue = Queue.fresh(ministack)
    subprocess.run([sys.executable, "-c", PROGRAM, queue.url], check=True, timeout=15)


@pytest.mark.parametrize("name", ["", "jobs.fi", "a" * 81, "jobs.fifo.fifo", "jo%20bs", "jobs:80"])
def test_a_name_that_no_queue_can_have_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        SqsJobTransport(f"sqs://{name}?region=eu-central-1")
