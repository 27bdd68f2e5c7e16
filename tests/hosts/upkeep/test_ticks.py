"""Reaping and expiring: bounded, for others' rows too, and never by a host's own clock."""

from datetime import timedelta

import pytest

from mainspring import Context, workflow
from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.upkeep.ticks import BATCH, Upkeep
from mainspring.kernel.commands.lease_reap import ReapLease
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import PortError
from mainspring.ports.names import WorkerId
from mainspring.ports.records import Lease, RunStatus
from tests.hosts.parts import Bench, ManualClock, bench

LENGTH = timedelta(seconds=30)


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


def upkeep_of(world: Bench) -> Upkeep:
    return Upkeep(world.store, Executor(world.parts, world.registry, Timing()).dispatch)


async def claimed(world: Bench, count: int) -> list[Lease]:
    for number in range(count):
        await world.start(hello, str(number))
    return await world.store.claim(world.registry.routes(), limit=count, length=LENGTH, worker=WorkerId("dead"))


async def test_one_tick_reaps_more_than_one_batch() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    leases = await claimed(world, BATCH + 20)
    clock.advance(LENGTH * 2)
    assert len(await upkeep_of(world).reap()) == len(leases)


@pytest.mark.fault(31)
async def test_work_with_a_live_lease_is_left_alone() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    await claimed(world, 1)
    clock.advance(LENGTH / 2)
    assert await upkeep_of(world).reap() == []


@pytest.mark.fault(22)
async def test_a_host_whose_clock_is_ahead_takes_nothing_away() -> None:
    """The kernel of that host believes that the lease is over; the store knows better, under its lock."""
    clock = ManualClock()
    world = bench(hello, clock=clock)
    (lease,) = await claimed(world, 1)
    ahead = ManualClock(clock.now() + timedelta(hours=1))
    dispatcher = Dispatcher(world.store, ahead, world.parts.ids)
    with pytest.raises(PortError):
        await dispatcher.dispatch(ReapLease(key=lease.job.key, lease_id=lease.lease_id))
    assert await world.store.job(lease.job.key) == lease.job


@pytest.mark.fault(23)
async def test_a_host_whose_clock_is_behind_still_finds_due_work() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    await world.start(hello, "x", start_at=clock.now() + timedelta(minutes=1))
    clock.advance(timedelta(minutes=2))
    behind = ManualClock(clock.now() - timedelta(hours=1))
    assert behind.now() < clock.now()
    leases = await world.store.claim(world.registry.routes(), limit=1, length=LENGTH, worker=WorkerId("w"))
    assert len(leases) == 1, "due is what the store's time says"


@pytest.mark.fault(24)
async def test_a_jump_of_the_store_s_clock_costs_an_attempt_never_a_second_result() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    (early,) = await claimed(world, 1)
    clock.advance(timedelta(days=1))
    await upkeep_of(world).reap()
    clock.advance(-timedelta(hours=12))
    clock.advance(timedelta(days=1))
    (late,) = await world.store.claim(world.registry.routes(), limit=1, length=LENGTH, worker=WorkerId("other"))
    assert late.job.token > early.job.token
    answers = await world.store.extend([(early.job.key, early.lease_id)], LENGTH)
    assert answers[0].lost


async def test_a_run_past_its_deadline_ends_though_nobody_serves_it() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    run = await world.start(hello, "x", timeout=timedelta(seconds=1))
    clock.advance(timedelta(seconds=2))
    assert await upkeep_of(world).expire() == [run.id]
    assert await run.status() is RunStatus.FAILED
