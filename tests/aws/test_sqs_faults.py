"""What pointers on SQS survive: everything that a queue may do to messages, and a service that fails."""

from datetime import timedelta

import pytest

from mainspring.ports.contracts.job_transport import LONG, pointer
from mainspring.ports.contracts.world import World
from mainspring.ports.errors import UnavailableError
from mainspring.ports.messages import read_pointer
from mainspring.ports.records import Hint, Pointer
from tests.aws.queues import Queue
from tests.aws.servers import AwsServer
from tests.aws.sqs_faults import (
    Pauses,
    Refused,
    anonymous,
    cut_after,
    denied,
    doubled,
    down,
    lost,
    reversed_,
    throttled,
)
from tests.aws.sqs_transports import Transports, claimed, received, settled

NOW = timedelta(0)


@pytest.mark.fault(33)
async def test_a_message_that_comes_twice_leads_to_one_claim(
    server: AwsServer, opened: Transports, world: World
) -> None:
    _, job = await world.with_job()
    transport, client = opened(Queue.fresh(server))
    await transport.send([Pointer.to(job.key)])
    client.next("receive_message", doubled)
    hints = await received(transport, 2)
    leases = [lease for hint in hints for lease in await claimed(world, [hint])]
    assert [lease.job.key for lease in leases] == [job.key]
    await settled(transport, hints)


@pytest.mark.fault(34)
async def test_messages_in_another_order_lead_to_the_same_claims(
    server: AwsServer, opened: Transports, world: World
) -> None:
    run = await world.created()
    keys = [(await world.added(run, index=number)).key for number in range(5)]
    transport, client = opened(Queue.fresh(server))
    await transport.send([Pointer.to(key) for key in keys])
    client.next("receive_message", reversed_)
    assert {lease.job.key for lease in await claimed(world, await received(transport, 5))} == set(keys)


@pytest.mark.fault(35)
@pytest.mark.parametrize("suffix", ["", ".fifo"])
async def test_a_job_is_announced_again_though_its_message_was_lost(
    server: AwsServer, opened: Transports, suffix: str
) -> None:
    transport, client = opened(Queue.fresh(server, suffix))
    client.next("send_message_batch", lost)
    await transport.send([pointer(1)])
    assert await transport.receive(10, NOW) == []
    await transport.send([pointer(1)])
    assert [hint.pointer for hint in await received(transport, 1)] == [pointer(1)]


@pytest.mark.fault(35)
async def test_a_fifo_queue_swallows_no_later_announcement_of_a_job(ministack: AwsServer, opened: Transports) -> None:
    transport, _ = opened(Queue.fresh(ministack, ".fifo"))
    for _ in range(3):
        await transport.send([pointer(1)])
        (hint,) = await received(transport, 1)
        await transport.settle(hint)


@pytest.mark.fault(40)
async def test_a_message_visible_again_during_the_body_leads_to_nothing(
    server: AwsServer, opened: Transports, world: World
) -> None:
    _, job = await world.with_job()
    transport, _ = opened(Queue.fresh(server, VisibilityTimeout="1"))
    await transport.send([Pointer.to(job.key)])
    first = await received(transport, 1)
    assert len(await claimed(world, first)) == 1
    again = await received(transport, 1)
    assert again[0].pointer == first[0].pointer
    assert await claimed(world, again) == []
    await settled(transport, [*first, *again])


@pytest.mark.fault(40)
async def test_settling_by_a_stale_handle_is_harmless(server: AwsServer, opened: Transports) -> None:
    transport, client = opened(Queue.fresh(server))
    await transport.send([pointer(1), pointer(2)])
    hints = await received(transport, 2)
    client.next("delete_message_batch", Refused(hints[0].receipt, "ReceiptHandleIsInvalid", senders_fault=True))
    client.next("change_message_visibility_batch", Refused("Handle", "InvalidParameterValue", senders_fault=True))
    await settled(transport, hints)
    await transport.settle(hints[0], again_after=timedelta(seconds=1))
    await transport.settle(Hint(receipt="never given", pointer=pointer(3)))
    await transport.close()
    assert client.calls["delete_message_batch"] == 1


@pytest.mark.fault(42)
async def test_a_pointer_that_came_too_often_is_kept_in_the_dead_letter_queue(
    ministack: AwsServer, opened: Transports
) -> None:
    queue = Queue.fresh(ministack)
    transport, _ = opened(queue)
    await transport.send([pointer(1)])
    for _ in range(10):
        (hint,) = await received(transport, 1)
        await transport.settle(hint, again_after=NOW)
    dead: list[Pointer] = []
    while not dead:
        assert await transport.receive(10, NOW) == []
        dead = [read_pointer(message["Body"]) for message in queue.dead.drain()]
    assert dead == [pointer(1)]


@pytest.mark.fault(46)
async def test_a_message_given_back_again_and_again_costs_its_job_no_attempt(
    ministack: AwsServer, opened: Transports, world: World
) -> None:
    _, job = await world.with_job()
    transport, client = opened(Queue.fresh(ministack))
    await transport.send([Pointer.to(job.key)])
    hints: list[Hint] = []
    for _ in range(5):
        client.next("receive_message", throttled)
        hints = await received(transport, 1)
        await transport.settle(hints[0], again_after=NOW)
    (lease,) = await claimed(world, hints)
    assert lease.job.attempt == 1


# The service fails.


@pytest.mark.fault(36)
async def test_a_queue_that_is_down_is_told_of_after_some_attempts_and_used_when_it_is_back(
    ministack: AwsServer, opened: Transports
) -> None:
    pauses = Pauses()
    transport, client = opened(Queue.fresh(ministack), pauses)
    client.next("send_message_batch", *[down] * 5)
    with pytest.raises(UnavailableError, match="1 of 1 messages were not sent"):
        await transport.send([pointer(1)])
    client.next("receive_message", *[down] * 5)
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await transport.receive(10, LONG)
    assert len(pauses.taken) == 8
    await transport.send([pointer(2)])
    assert [hint.pointer for hint in await received(transport, 1)] == [pointer(2)]


@pytest.mark.fault(36)
async def test_a_queue_that_throttles_is_asked_again(ministack: AwsServer, opened: Transports) -> None:
    pauses = Pauses()
    transport, client = opened(Queue.fresh(ministack), pauses)
    for operation in ("get_queue_url", "send_message_batch", "receive_message", "delete_message_batch"):
        client.next(operation, throttled, throttled)
    await transport.send([pointer(1)])
    await settled(transport, await received(transport, 1))
    await transport.close()
    assert len(pauses.taken) == 8
    assert client.calls["delete_message_batch"] == 3


async def test_a_queue_we_may_not_use_is_told_of_at_once(ministack: AwsServer, opened: Transports) -> None:
    pauses = Pauses()
    transport, client = opened(Queue.fresh(ministack), pauses)
    client.next("receive_message", denied)
    with pytest.raises(UnavailableError, match="AccessDenied"):
        await transport.receive(10, LONG)
    assert not pauses.taken


async def test_credentials_that_are_missing_for_a_moment_end_no_host(ministack: AwsServer, opened: Transports) -> None:
    transport, client = opened(Queue.fresh(ministack))
    client.next("receive_message", anonymous)
    with pytest.raises(UnavailableError, match="AWS_ACCESS_KEY_ID"):
        await transport.receive(10, LONG)


async def test_a_queue_that_is_gone_is_told_of(server: AwsServer, opened: Transports) -> None:
    transport, _ = opened(Queue(server, "never-made"))
    with pytest.raises(UnavailableError, match="create it, or mend the URL"):
        await transport.receive(10, LONG)
    with pytest.raises(UnavailableError, match="create it, or mend the URL"):
        await transport.send([pointer(1)])


@pytest.mark.fault(38)
async def test_a_confirmation_that_was_lost_doubles_messages_and_loses_none(
    server: AwsServer, opened: Transports
) -> None:
    transport, client = opened(Queue.fresh(server))
    client.next("send_message_batch", cut_after)
    await transport.send([pointer(1), pointer(2)])
    hints = await received(transport, 4)
    assert {hint.pointer for hint in hints} == {pointer(1), pointer(2)}


@pytest.mark.fault(38)
async def test_on_a_fifo_queue_a_lost_confirmation_doubles_nothing(ministack: AwsServer, opened: Transports) -> None:
    queue = Queue.fresh(ministack, ".fifo")
    transport, client = opened(queue)
    client.next("send_message_batch", cut_after)
    await transport.send([pointer(1), pointer(2)])
    assert len(queue.drain()) == 2


async def test_entries_that_failed_in_passing_are_sent_again_without_the_others(
    server: AwsServer, opened: Transports
) -> None:
    queue = Queue.fresh(server)
    transport, client = opened(queue)
    client.next("send_message_batch", *[Refused('"index":3')] * 2)
    await transport.send([pointer(number) for number in range(5)])
    assert client.calls["send_message_batch"] == 3
    assert sorted(read_pointer(message["Body"]).index for message in queue.drain()) == [0, 1, 2, 3, 4]


async def test_an_entry_refused_for_good_is_told_of_and_the_others_are_sent(
    server: AwsServer, opened: Transports
) -> None:
    queue = Queue.fresh(server)
    transport, client = opened(queue)
    client.next("send_message_batch", *[Refused('"index":3', "InvalidMessageContents", senders_fault=True)] * 2)
    with pytest.raises(UnavailableError, match=r"1 of 15 messages were not sent; the first: .*InvalidMessageContents"):
        await transport.send([pointer(number) for number in range(15)])
    assert len(queue.drain()) == 14
