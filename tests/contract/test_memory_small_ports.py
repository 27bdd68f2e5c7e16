"""What the memory adapters of the small ports promise beyond their contracts."""

import asyncio
from datetime import timedelta

import pytest

from mainspring.adapters.memory import (
    ManualClock,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryRunFeed,
    MemoryScheduler,
    SeededIds,
)
from mainspring.ports.contracts.event_sink import event
from mainspring.ports.contracts.job_transport import LONG, pointer
from mainspring.ports.contracts.run_feed import RUN
from mainspring.ports.contracts.scheduler import MOMENT
from mainspring.ports.contracts.world import SECOND
from mainspring.ports.errors import PortError


async def test_a_pointer_waits_at_most_once() -> None:
    transport = MemoryJobTransport()
    await transport.send([pointer(1), pointer(1)])
    await transport.send([pointer(1)])
    assert [hint.pointer for hint in await transport.receive(10, LONG)] == [pointer(1)]
    assert await transport.receive(10, timedelta(0)) == []


async def test_a_full_transport_forgets_pointers_and_says_look() -> None:
    transport = MemoryJobTransport(capacity=3)
    await transport.send([pointer(number) for number in range(100)])
    hints = await transport.receive(100, LONG)
    assert [hint.pointer for hint in hints] == [None, pointer(0), pointer(1), pointer(2)]
    assert await transport.receive(100, timedelta(0)) == []


async def test_receivers_compete_and_none_sleeps_while_hints_wait() -> None:
    transport = MemoryJobTransport()
    waiting = [asyncio.create_task(transport.receive(1, LONG)) for _ in range(3)]
    await asyncio.sleep(0)
    await transport.send([pointer(1), pointer(2), pointer(3)])
    received = [hint.pointer for hints in await asyncio.gather(*waiting) for hint in hints]
    assert sorted(found.index for found in received if found is not None) == [1, 2, 3]


async def test_a_receiver_cancelled_as_its_hint_came_lets_another_have_it() -> None:
    transport = MemoryJobTransport()
    first, second = (asyncio.create_task(transport.receive(1, LONG)) for _ in range(2))
    await asyncio.sleep(0)
    await transport.send([pointer(1)])
    first.cancel()
    assert [hint.pointer for hint in await second] == [pointer(1)]
    await asyncio.gather(first, return_exceptions=True)


async def test_an_end_told_before_the_wait_is_not_missed() -> None:
    feed = MemoryRunFeed()
    await feed.ended([RUN])
    await feed.wait([RUN], LONG)


async def test_a_feed_forgets_the_oldest_ends() -> None:
    feed = MemoryRunFeed(capacity=2)
    ids = [pointer(number).run_id for number in range(3)]
    await feed.ended(ids)
    await feed.wait(ids[1:], LONG)
    await feed.wait(ids[:1], timedelta(0))


async def test_a_lost_confirmation_leaves_the_events_published() -> None:
    async def lose(point: str) -> None:
        if point == "publish:after":
            raise PortError("the confirmation was lost")

    sink = MemoryEventSink(point=lose)
    with pytest.raises(PortError):
        await sink.publish([event(RUN, 1)])
    assert sink.published == [event(RUN, 1)]


async def test_a_scheduler_fires_once_when_the_moment_has_come() -> None:
    scheduler = MemoryScheduler()
    await scheduler.wake_at(MOMENT)
    assert not scheduler.take_due(MOMENT - SECOND)
    assert scheduler.take_due(MOMENT)
    assert not scheduler.take_due(MOMENT)


def test_a_seed_decides_the_ids() -> None:
    one, again, other = (SeededIds(ManualClock(), seed) for seed in (1, 1, 2))
    assert [one.new_run_id(), one.new_lease_id()] == [again.new_run_id(), again.new_lease_id()]
    assert one.new_lease_id() != other.new_lease_id()


def test_run_ids_follow_the_clock() -> None:
    clock = ManualClock()
    ids = SeededIds(clock)
    first = ids.new_run_id()
    clock.advance(SECOND)
    second = ids.new_run_id()
    assert int(second.replace("-", "")[:12], 16) - int(first.replace("-", "")[:12], 16) == 1000


def test_a_manual_clock_goes_where_it_is_set() -> None:
    clock = ManualClock()
    clock.set(MOMENT)
    assert clock.now() == MOMENT
    clock.advance(-SECOND)
    assert clock.now() == MOMENT - SECOND
