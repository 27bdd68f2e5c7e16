"""Messages that are no pointers: set aside with the reason, counted, told of without their text; never an error."""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mainspring.adapters.aws.sqs_dead_letters import PUT_OFF
from mainspring.adapters.aws.sqs_job_transport import SqsJobTransport
from mainspring.ports.contracts.job_transport import LONG, pointer
from mainspring.ports.messages import LONGEST_POINTER, MOST_INSTANCES, read_pointer, write_pointer
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Hint, Pointer
from tests.aws.queues import Queue
from tests.aws.servers import AwsServer
from tests.aws.sqs_faults import FaultySqs, Pauses, denied
from tests.aws.sqs_transports import Transports

NOW = timedelta(0)
FORGED = '{"mainspring":1,"run":"../../etc/passwd","stage":"secret-stage","index":0}'


async def first(transport: SqsJobTransport) -> Hint:
    async with asyncio.timeout(30):
        (hint,) = await transport.receive(1, LONG)
    return hint


@pytest.mark.fault(51)
async def test_garbage_goes_to_the_dead_letter_queue_with_the_reason(server: AwsServer, opened: Transports) -> None:
    queue = Queue.fresh(server)
    transport, _ = opened(queue)
    queue.put(FORGED)
    queue.put_pointer(pointer(1))
    with capture_logs() as logs:
        assert (await first(transport)).pointer == pointer(1)
        while not transport.refused:
            assert await transport.receive(1, NOW) == []
        await transport.close()
    (dead,) = queue.dead.drain()
    assert dead["Body"] == FORGED
    assert "a UUID in lower case" in dead["MessageAttributes"]["mainspring-refused"]["StringValue"]
    assert transport.refused == 1
    (told,) = [log for log in logs if log["event"] == "messages_refused"]
    assert told["number"] == 1
    assert "secret" not in str(logs)
    assert queue.drain() == []


@pytest.mark.fault(51)
async def test_garbage_is_put_off_where_there_is_no_dead_letter_queue(server: AwsServer, opened: Transports) -> None:
    queue = Queue.fresh(server, RedrivePolicy="")
    await refused_and_put_off(queue, opened)


@pytest.mark.fault(51)
async def test_garbage_is_put_off_when_the_dead_letter_queue_does_not_take_it(
    server: AwsServer, opened: Transports
) -> None:
    queue = Queue.fresh(server)
    _, client = await refused_and_put_off(queue, opened, refuse="send_message")
    assert client.calls["send_message"] == 1
    assert queue.dead.drain() == []


@pytest.mark.fault(51)
async def test_garbage_is_put_off_when_the_queue_cannot_be_examined(ministack: AwsServer, opened: Transports) -> None:
    await refused_and_put_off(Queue.fresh(ministack), opened, refuse="get_queue_attributes")


async def refused_and_put_off(queue: Queue, opened: Transports, refuse: str = "") -> tuple[SqsJobTransport, FaultySqs]:
    """A message is refused and not set aside; it comes no second time for long, and nothing was deleted."""
    transport, client = opened(queue)
    put_off: list[dict[str, Any]] = []

    def watch(real: Callable[..., Any], parameters: dict[str, Any]) -> Any:
        put_off.extend(parameters["Entries"])
        return real(**parameters)

    client.next("change_message_visibility_batch", watch)
    if refuse:
        client.next(refuse, denied)
    queue.put(FORGED)
    while not transport.refused:
        assert await transport.receive(10, NOW) == []
    await transport.close()
    assert [entry["VisibilityTimeout"] for entry in put_off] == [PUT_OFF]
    assert not client.calls["delete_message_batch"]
    return transport, client


@pytest.mark.fault(49)
async def test_garbage_does_not_block_its_group(server: AwsServer, opened: Transports) -> None:
    queue = Queue.fresh(server, ".fifo")
    transport, _ = opened(queue)
    queue.put(FORGED, MessageGroupId=pointer(1).run_id, MessageDeduplicationId="forged")
    await transport.send([pointer(1)])
    hints: list[Hint] = []
    while not hints:
        hints = await transport.receive(1, NOW)
    assert hints[0].pointer == pointer(1)
    await transport.settle(hints[0])
    await transport.close()
    assert [message["Body"] for message in queue.dead.drain()] == [FORGED]


@pytest.mark.fault(49)
async def test_a_run_given_up_on_does_not_block_its_group(server: AwsServer, opened: Transports) -> None:
    queue = Queue.fresh(server, ".fifo")
    transport, _ = opened(queue)
    one, two = (Pointer(run_id=pointer(1).run_id, stage=StageId(stage)) for stage in ("poison", "next"))
    await transport.send([one])
    await transport.settle(await first(transport))  # as for any job that cannot be claimed any more
    await transport.send([two])
    assert (await first(transport)).pointer == two


class Bodies:
    """A client whose queue holds messages with these bodies, as SQS gives them, and has no dead letter queue."""

    def __init__(self, bodies: list[str]) -> None:
        self.waiting = bodies
        self.sent: list[str] = []

    def get_queue_url(self, **_: Any) -> Any:
        return {"QueueUrl": "https://sqs.test/jobs"}

    def get_queue_attributes(self, **_: Any) -> Any:
        return {"Attributes": {}}

    def receive_message(self, **parameters: Any) -> Any:
        limit: int = parameters["MaxNumberOfMessages"]
        given, self.waiting = self.waiting[:limit], self.waiting[limit:]
        messages = [{"MessageId": str(n), "ReceiptHandle": str(n), "Body": body} for n, body in enumerate(given)]
        return {"Messages": messages} if messages else {}

    def send_message_batch(self, **parameters: Any) -> Any:
        self.sent += [entry["MessageBody"] for entry in parameters["Entries"]]
        return self.change_message_visibility_batch(**parameters)

    def change_message_visibility_batch(self, **parameters: Any) -> Any:
        return {"Successful": [{"Id": entry["Id"]} for entry in parameters["Entries"]]}

    def close(self) -> None:
        pass


class SilentDeadLetters(Bodies):
    """Does not tell where its dead letter queue is until it may."""

    def __init__(self, bodies: list[str]) -> None:
        super().__init__(bodies)
        self.may_tell = threading.Event()

    def get_queue_attributes(self, **parameters: Any) -> Any:
        self.may_tell.wait(30)
        return super().get_queue_attributes(**parameters)


URL = "sqs://jobs?region=eu-central-1"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["mainspring", "run", "stage", "index", "x"]), inner)
    ),
    max_leaves=20,
)
GARBAGE = st.one_of(
    st.text(),
    JSON.map(json.dumps),
    st.integers(1, 10_000).map(lambda depth: "[" * depth),
    st.integers(1, 3000).map(lambda length: write_pointer(pointer(1)) + " " * length),
    st.tuples(st.integers(0, 80), st.characters()).map(lambda at: write_pointer(pointer(1))[: at[0]] + at[1]),
)
POINTERS = st.builds(
    Pointer,
    run_id=st.uuids().map(lambda made: RunId(str(made))),
    stage=st.from_regex(r"[A-Za-z0-9~_][A-Za-z0-9._~-]{0,199}", fullmatch=True).map(StageId),
    index=st.integers(0, MOST_INSTANCES - 1),
)


@pytest.mark.fault(51)
async def test_no_more_garbage_is_received_than_can_be_set_aside() -> None:
    client = SilentDeadLetters(["garbage"] * 1000)
    transport = SqsJobTransport(URL, client=client, sleep=Pauses())
    for _ in range(60):
        assert await transport.receive(10, timedelta(milliseconds=10)) == []
    assert 0 < transport.refused <= 330
    client.may_tell.set()
    while client.waiting:
        assert await transport.receive(1000, NOW) == []
    await transport.close()
    assert transport.refused == 1000


@pytest.mark.fault(51)
@given(bodies=st.lists(GARBAGE, max_size=25))
def test_whatever_is_in_a_queue_receiving_does_not_fail(bodies: list[str]) -> None:
    async def run() -> None:
        client = Bodies([*bodies, write_pointer(pointer(7))])
        transport = SqsJobTransport(URL, client=client, sleep=Pauses())
        hints: list[Hint] = []
        while client.waiting:
            hints += await transport.receive(100, NOW)
        await transport.close()
        assert pointer(7) in [hint.pointer for hint in hints]
        assert transport.refused == len(bodies) + 1 - len(hints)

    asyncio.run(run())


@pytest.mark.fault(50)
@given(pointers=st.lists(POINTERS, min_size=1, max_size=25, unique=True))
def test_no_message_is_larger_than_a_kilobyte_and_each_is_read_again(pointers: list[Pointer]) -> None:
    async def run() -> None:
        client = Bodies([])
        transport = SqsJobTransport(URL, client=client, sleep=Pauses())
        await transport.send(pointers)
        await transport.close()
        assert max(len(body.encode()) for body in client.sent) <= LONGEST_POINTER
        assert {read_pointer(body) for body in client.sent} == set(pointers)

    asyncio.run(run())
