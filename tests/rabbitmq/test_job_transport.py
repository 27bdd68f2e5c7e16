"""What pointers at RabbitMQ promise beyond the contract."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta

import pytest
import structlog
from pamqp.commands import Basic
from structlog.testing import capture_logs

from mainspring.adapters.rabbitmq.job_transport import RabbitJobTransport
from mainspring.adapters.rabbitmq.link import Timing
from mainspring.adapters.rabbitmq.topology import DELIVERIES, job_topology
from mainspring.ports.contracts.job_transport import LONG, pointer
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.records import Hint
from tests.postgres.daemons import free_port
from tests.rabbitmq.looking import channel, depth, take
from tests.rabbitmq.proxy import proxied
from tests.rabbitmq.server import RabbitServer

Opening = Callable[..., RabbitJobTransport]

GARBAGE = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[" * 1000,
    b"{}",
    b'{"mainspring":2,"run":"019a0000-0000-7000-8000-000000000001","stage":"s","index":0}',
    b'{"mainspring":1,"run":"../../etc/passwd","stage":"s","index":0}',
    b'{"mainspring":1,"run":"019a0000-0000-7000-8000-000000000001","stage":"s","index":1e9}',
    b"x" * 1_000_000,
]


@pytest.fixture
async def opening(rabbit_queue: str) -> AsyncGenerator[Opening]:
    """Makes transports on the test's queue, each as another process has it; closes them."""
    opened: list[RabbitJobTransport] = []

    def make(url: str = rabbit_queue, *, prefetch: int = 200, timing: Timing | None = None) -> RabbitJobTransport:
        opened.append(RabbitJobTransport(url, prefetch=prefetch, timing=timing))
        return opened[-1]

    yield make
    for transport in opened:
        await transport.close()


async def received(transport: RabbitJobTransport, number: int) -> list[Hint]:
    hints: list[Hint] = []
    async with asyncio.timeout(30):
        while len(hints) < number:
            hints += await transport.receive(number - len(hints), LONG)
    return hints


def indexes(hints: list[Hint]) -> list[int]:
    return sorted(hint.pointer.index for hint in hints if hint.pointer is not None)


@pytest.mark.fault(51)
async def test_garbage_goes_to_the_dead_letter_queue_and_stops_nothing(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    transport = opening()
    await transport.ready()
    async with channel(rabbitmq.address) as made:
        for body in GARBAGE:
            await made.basic_publish(body, routing_key=rabbit_name, properties=Basic.Properties(expiration=None))
    structlog.reset_defaults()  # another test may have left a level behind
    with capture_logs() as logs:
        await transport.send([pointer(1)])
        assert indexes(await received(transport, 1)) == [1]
    dead = await take(rabbitmq.address, f"{rabbit_name}.dead", len(GARBAGE))
    assert sorted(message.body for message in dead) == sorted(GARBAGE)
    assert transport.garbage == len(GARBAGE)
    told = [log for log in logs if log["event"] == "message_refused"]
    assert len(told) == len(GARBAGE)
    assert "passwd" not in str(told)


async def test_a_queue_with_other_properties_is_refused_with_what_is_and_what_is_wanted(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    async with channel(rabbitmq.address) as made:
        await made.queue_declare(rabbit_name, durable=True)
    transport = opening()
    told = r"inequivalent arg .* received the value .* but current is none; use another name, or delete it"
    with pytest.raises(SettingsError, match=told):
        await transport.ready()
    with pytest.raises(SettingsError, match=told):
        await transport.send([pointer(1)])
    with pytest.raises(SettingsError, match=told):
        await transport.receive(1, LONG)


@pytest.mark.fault(42)
async def test_a_queue_that_gives_messages_up_too_early_is_refused(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    async with channel(rabbitmq.address) as made:
        wanted = next(declared for declared in job_topology(rabbit_name) if declared.name == rabbit_name)
        await made.queue_declare(rabbit_name, durable=True, arguments=wanted.arguments | {"x-delivery-limit": 3})
    with pytest.raises(SettingsError, match=r"x-delivery-limit"):
        await opening().ready()


async def test_a_process_that_has_worked_is_not_ended_by_a_queue_that_somebody_changed(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    transport = opening(timing=Timing(patience=0.5))
    await transport.ready()
    async with channel(rabbitmq.address) as made:
        await made.queue_delete(rabbit_name)
        await made.queue_declare(rabbit_name, durable=True)
        transport.sending.lose(await transport.sending.session(), "for this test")
        with pytest.raises(UnavailableError, match=r"inequivalent arg"):
            await transport.send([pointer(1)])
        await made.queue_delete(rabbit_name)
    await opening().send([pointer(1)])


@pytest.mark.fault(42)
async def test_what_is_delivered_too_often_is_kept_among_the_dead_letters(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    await opening().send([pointer(1)])
    async with channel(rabbitmq.address) as made, asyncio.timeout(30):
        tries: asyncio.Queue[int] = asyncio.Queue()

        async def refuse(message: object) -> None:
            tag = getattr(message, "delivery_tag", 0)
            await tries.put(tag)
            await made.basic_nack(tag, requeue=True)

        await made.basic_consume(rabbit_name, refuse)
        for _ in range(DELIVERIES + 1):
            await tries.get()
    assert len(await take(rabbitmq.address, f"{rabbit_name}.dead", 1)) == 1
    assert tries.empty()


async def test_calls_at_the_same_time_wait_side_by_side_for_their_confirmations(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    async with proxied(rabbitmq.address) as way:
        transport = opening(f"{way.url}?queue={rabbit_name}", timing=Timing(patience=30.0, answer=30.0))
        await transport.ready()
        session = await transport.sending.session()
        way.hold_answers()
        sending = [asyncio.create_task(transport.send([pointer(number)])) for number in range(50)]
        async with asyncio.timeout(30):
            while session.unconfirmed < 50:
                await asyncio.sleep(0)
        way.pass_on()
        await asyncio.gather(*sending)
        assert transport.sending.sessions == 1
        await transport.close()


async def test_a_short_wait_is_not_held_up_by_a_longer_one(opening: Opening) -> None:
    transport = opening()
    await transport.ready()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await transport.send([pointer(2)], after=timedelta(seconds=2.2))
    await transport.send([pointer(1)], after=timedelta(seconds=0.7))
    (first,) = await received(transport, 1)
    after_first = loop.time() - began
    (second,) = await received(transport, 1)
    assert (indexes([first]), indexes([second])) == ([1], [2])
    assert after_first >= 0.7
    assert loop.time() - began >= 2.2


async def test_a_job_due_in_many_minutes_is_not_told_of(opening: Opening, rabbit_name: str) -> None:
    transport = opening()
    await transport.send([pointer(1)], after=timedelta(minutes=9))
    assert transport.sending.sessions == 0


@pytest.mark.fault(41)
async def test_a_hint_that_was_not_settled_comes_again_and_one_that_was_never(opening: Opening) -> None:
    lost, other = opening(), opening()
    await lost.send([pointer(1), pointer(2)])
    hints = await received(lost, 2)
    settled = next(hint for hint in hints if indexes([hint]) == [2])
    await lost.settle(settled)
    await lost.close()
    assert indexes(await received(other, 1)) == [1]
    assert await other.receive(10, timedelta(0)) == []


async def test_settling_twice_or_after_a_break_does_no_harm(opening: Opening) -> None:
    transport = opening()
    await transport.send([pointer(1), pointer(2)])
    hints = await received(transport, 2)
    await transport.settle(hints[0])
    await transport.settle(hints[0])
    session = transport.receiving.current
    assert session is not None
    transport.receiving.lose(session, "for this test")
    await transport.send([pointer(3)])
    await transport.settle(hints[1])
    again: list[Hint] = []
    while 3 not in indexes(again):
        again += await received(transport, 1)
    assert 2 in indexes(again)
    assert transport.receiving.sessions == 2


async def test_a_worker_without_free_slots_holds_back_nothing(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    busy, idle = opening(), opening()
    await idle.send([pointer(1)])
    (mine,) = await received(busy, 1)
    await busy.receive(100, timedelta(0))  # room for many, just before its slots fill up
    await idle.send([pointer(number) for number in range(2, 12)])
    taken = await received(idle, 10)
    assert indexes(taken) == list(range(2, 12))
    await busy.settle(mine)


async def test_what_nobody_took_goes_back_when_a_worker_closes(opening: Opening, rabbitmq: RabbitServer) -> None:
    closing, other = opening(timing=Timing(idle=60.0)), opening()
    await other.ready()
    await closing.receive(100, timedelta(0))
    await closing.receive(100, timedelta(seconds=0.2))  # it consumes
    await other.send([pointer(1), pointer(2)])
    while closing.waiting < 2:
        await asyncio.sleep(0.01)
    await closing.close()
    messages = await take(rabbitmq.address, other.queue, 2)
    assert [message.redelivered for message in messages] == [False, False]


@pytest.mark.fault(36)
async def test_sending_to_a_broker_that_is_down_ends_after_a_while_and_names_it(opening: Opening) -> None:
    transport = opening(f"amqp://me:secret@127.0.0.1:{free_port()}/?queue=jobs", timing=Timing(patience=0.2))
    with pytest.raises(UnavailableError, match=r"amqp://me@127\.0\.0\.1.* cannot be used for 0\.2 s: ") as told:
        await transport.send([pointer(1)])
    assert "secret" not in str(told.value)
    with pytest.raises(UnavailableError) as told:
        await transport.receive(10, timedelta(seconds=0.5))
    assert "secret" not in str(told.value)


async def test_a_wrong_password_is_told_at_once_and_not_repeated(opening: Opening, rabbitmq: RabbitServer) -> None:
    url = rabbitmq.url(queue="jobs").replace("guest:guest@", "guest:wrong-secret@")
    with pytest.raises(SettingsError, match=r"user or password is wrong") as told:
        await opening(url).ready()
    assert "wrong-secret" not in str(told.value)


@pytest.mark.fault(39)
async def test_a_pointer_that_no_queue_takes_is_sent_again_to_a_queue_that_is_declared_again(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    transport = opening()
    await transport.ready()
    async with channel(rabbitmq.address) as made:
        await made.queue_delete(rabbit_name)
    await transport.send([pointer(1)])
    assert await depth(rabbitmq.address, rabbit_name) == 1


@pytest.mark.fault(37)
async def test_a_way_that_swallows_everything_is_noticed_and_left(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    timing = Timing(look=0.1, answer=0.5, patience=10.0)
    async with proxied(rabbitmq.address) as way:
        transport = opening(f"{way.url}?queue={rabbit_name}", timing=timing)
        await transport.send([pointer(1)])
        await transport.settle((await received(transport, 1))[0])
        receiving = asyncio.create_task(received(transport, 1))
        way.swallow()
        async with asyncio.timeout(15):  # heartbeats alone take 30 s and more
            while transport.receiving.current is not None or transport.sending.current is not None:
                await asyncio.sleep(0.01)
        way.pass_on()
        await transport.send([pointer(2)])
        found = await receiving
        while indexes(found)[-1] != 2:  # what was acknowledged last may come again
            found += await received(transport, 1)
        await transport.close()
