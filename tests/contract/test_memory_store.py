"""What memory persistence offers beyond its contract: points to step in at, and any driver."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from mainspring.adapters.memory import (
    Fault,
    ManualClock,
    MemoryPersistence,
    MemoryStore,
    Passed,
    SeededIds,
    one_after_another,
)
from mainspring.ports.change import Change, RunPatch
from mainspring.ports.contracts.run_feed import RUN
from mainspring.ports.contracts.world import LEASE_LENGTH, ROUTE, WORKER, World
from mainspring.ports.errors import PortError, StaleChange, UnavailableError
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import RunFilter, RunStatus
from mainspring.ports.sinks import DEFAULT_SINK, Sink

T = TypeVar("T")


EVERY_METHOD: dict[str, Callable[[Persistence, World], Awaitable[object]]] = {
    "now": lambda store, world: store.now(),
    "commit": lambda store, world: store.commit(Change(create=world.run())),
    "run": lambda store, world: store.run(RUN),
    "run_by_key": lambda store, world: store.run_by_key(world.run().workflow, "k"),
    "run_state": lambda store, world: store.run_state(RUN),
    "runs": lambda store, world: store.runs(RunFilter(), limit=1),
    "finished": lambda store, world: store.finished([RUN]),
    "jobs": lambda store, world: store.jobs(RUN),
    "job": lambda store, world: store.job(world.job(world.run()).key),
    "stages": lambda store, world: store.stages(RUN),
    "attempts": lambda store, world: store.attempts(RUN),
    "inbox": lambda store, world: store.inbox(RUN),
    "signal": lambda store, world: store.signal(RUN, world.signal(world.run()).id),
    "answer": lambda store, world: store.answer("c", "k"),
    "graph": lambda store, world: store.graph(world.run().fingerprint),
    "claim": lambda store, world: store.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER),
    "extend": lambda store, world: store.extend([], LEASE_LENGTH),
    "next_due": lambda store, world: store.next_due((ROUTE,)),
    "expired_leases": lambda store, world: store.expired_leases(1),
    "overdue_runs": lambda store, world: store.overdue_runs(1),
    "next_upkeep": lambda store, world: store.next_upkeep(),
    "forget_worker": lambda store, world: store.forget_worker(WORKER),
    "workers": lambda store, world: store.workers(),
    "backlog": lambda store, world: store.backlog(),
    "sweep": lambda store, world: store.sweep(runs=LEASE_LENGTH, answers=None, limit=1),
    "tombstones": lambda store, world: store.tombstones(LEASE_LENGTH, 1),
    "lift_tombstones": lambda store, world: store.lift_tombstones([RUN]),
    "sinks": lambda store, world: store.sinks(),
    "add_sink": lambda store, world: store.add_sink(Sink()),
    "lease_relay": lambda store, world: store.lease_relay(world.lease_id(), LEASE_LENGTH),
    "release_relay": lambda store, world: store.release_relay(world.lease_id()),
    "unpublished": lambda store, world: store.unpublished(1),
    "dead_letters": lambda store, world: store.dead_letters(1),
    "waiting_events": lambda store, world: store.waiting_events(1),
    "remove_sink": lambda store, world: store.remove_sink(DEFAULT_SINK),
}


@pytest.mark.parametrize("name", EVERY_METHOD)
async def test_every_effect_can_be_met_before_and_after(world: World, name: str) -> None:
    met: list[str] = []

    async def note(point: str) -> None:
        met.append(point)

    assert isinstance(world.store, MemoryPersistence)
    await EVERY_METHOD[name](world.store.another(note), world)
    assert met == [f"{name}:before", f"{name}:after"]


def run_without_a_loop(call: Coroutine[Any, Any, T]) -> T:
    """The driver that a synchronous host may use: nothing it awaits ever suspends."""
    try:
        call.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    raise AssertionError("it suspended")


def test_the_store_can_be_driven_without_an_event_loop() -> None:
    clock = ManualClock()
    store = MemoryPersistence(clock, SeededIds(clock))
    other = store.another()

    async def advance(by: timedelta) -> None:
        clock.advance(by)

    world = World(store=store, other=other, clock=clock, advance=advance)
    _, job = run_without_a_loop(world.with_job())
    assert run_without_a_loop(world.leased(job)).job.key == job.key


async def test_a_reader_may_be_told_what_is_no_longer_true(world: World) -> None:
    run = await world.created()
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def wait_after_reading(point: str) -> None:
        if point == "run:after":
            arrived.set()
            await go_on.wait()

    assert isinstance(world.store, MemoryPersistence)
    reading = asyncio.create_task(world.store.another(wait_after_reading).run(run.id))
    await arrived.wait()
    change = Change(run=RunPatch(run_id=run.id, revision=0, status=RunStatus.RUNNING))
    await world.store.commit(change)
    go_on.set()
    assert await reading == run
    with pytest.raises(StaleChange):
        await world.store.commit(change)


async def test_a_write_that_fails_in_the_middle_is_taken_back_whole(world: World) -> None:
    await world.store.add_sink(Sink())
    run, job = await world.with_job()
    before = await world.everything()
    patch = RunPatch(run_id=run.id, revision=0, status=RunStatus.RUNNING)
    clash = Change(
        run=patch,
        stages=(world.stage(run, index=5),),
        signals=(world.signal(run),),
        job_deletes=(job.key,),
        jobs=(world.job(run, index=1, token=9), world.job(run, index=2), world.job(run, index=2)),
    )
    with pytest.raises(PortError, match="has a row"):
        await world.store.commit(clash)
    assert await world.everything() == before
    assert (await world.leased(job)).job.token == 2
    await world.store.commit(Change(run=patch, signals=(world.signal(run),), events=(world.event(run),)))
    assert [signal.seq for signal in await world.store.inbox(run.id)] == [1]
    assert [event.seq for event in await world.store.unpublished(10)] == [1]


async def test_clients_made_for_one_store_share_it() -> None:
    clock = ManualClock()
    shared = MemoryStore(clock)
    one, two = (MemoryPersistence(clock, SeededIds(clock, seed), store=shared) for seed in (1, 2))
    await one.add_sink(Sink())
    assert await two.sinks()


async def test_claims_stay_fast_among_many_jobs(world: World) -> None:
    run = world.run()
    jobs = tuple(world.job(run, index=index, priority=index % 5) for index in range(20_000))
    await world.store.commit(Change(create=run, jobs=jobs))
    leases = [lease for _ in range(200) for lease in await world.claimed(limit=100)]
    assert len(leases) == 20_000
    assert [lease.job.priority for lease in leases] == sorted((job.priority for job in jobs), reverse=True)


async def test_what_a_reader_does_to_its_answer_does_not_reach_the_store(world: World) -> None:
    run, _ = await world.with_job()
    state = await world.store.run_state(run.id)
    assert state is not None
    state.stages.clear()
    (await world.store.jobs(run.id)).clear()
    again = await world.store.run_state(run.id)
    assert again is not None
    assert again.active == len(await world.store.jobs(run.id)) == 1


async def test_a_fault_strikes_once_at_the_time_it_is_told_to(world: World) -> None:
    fault, passed = Fault("now:before", UnavailableError("down"), nth=2), Passed()
    assert isinstance(world.store, MemoryPersistence)
    store = world.store.another(one_after_another(passed, fault))
    await store.now()
    assert not fault.met
    with pytest.raises(UnavailableError):
        await store.now()
    await store.now()
    assert fault.met
    assert passed.points == {"now:before": 3, "now:after": 2}
