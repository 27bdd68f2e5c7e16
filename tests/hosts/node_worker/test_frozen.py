"""A worker whose process was stopped for longer than its leases last, and goes on: all its timers are due at once."""

import asyncio
from datetime import timedelta

import attrs
import pytest

from mainspring import Context, Workflow, stage
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker
from mainspring.ports.names import StageId, WorkerId
from mainspring.ports.records import Lease
from tests.hosts.parts import Bench, bench

LEASE = timedelta(seconds=30)
PAST = 60.0  # seconds: past the end of any lease


class Freezer:
    """Moves the running loop's clock on, as if the process had been stopped."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        awake, self.frozen = loop.time, 0.0
        self.called: list[str] = []
        patch.setattr(loop, "time", lambda: awake() + self.frozen)

    def freeze(self, seconds: float = PAST) -> None:
        self.frozen += seconds


freezer: Freezer


@pytest.fixture(autouse=True)
async def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    global freezer  # noqa: PLW0603  bodies are module functions; each test has a loop of its own
    freezer = Freezer(monkeypatch)


@stage
async def first(ctx: Context, freezes: bool) -> bool:
    freezer.called.append("first")
    if freezes:
        freezer.freeze()
    return freezes


@stage
async def second(ctx: Context, freezes: bool) -> bool:
    freezer.called.append("second")
    return freezes


two = Workflow("two", version="1").pipe(first).pipe(second)


def worker_on(world: Bench) -> Worker:
    return Worker(world.parts, world.registry, WorkerSettings(timing=Timing(lease=LEASE)))


async def leased(world: Bench, *, freezes: bool = False) -> Lease:
    await world.start(two, freezes)
    (lease,) = await world.store.claim(world.registry.routes(), limit=1, length=LEASE, worker=WorkerId("w"))
    return lease


async def beat(worker: Worker) -> None:
    """One heartbeat."""
    await worker._heartbeat._beat(now())  # pyright: ignore[reportPrivateUsage]


async def pause_of(worker: Worker, seconds: float) -> None:
    """The pause before the next heartbeat."""
    await worker._heartbeat._wait(seconds)  # pyright: ignore[reportPrivateUsage]


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.fault(17)
async def test_a_pause_between_heartbeats_is_over_when_the_process_goes_on() -> None:
    waiting = asyncio.ensure_future(pause_of(worker_on(bench(two)), 20.0))
    await asyncio.sleep(0)
    freezer.freeze()
    await asyncio.wait([waiting], timeout=1.0)
    assert waiting.done()
    await waiting


@pytest.mark.fault(17)
async def test_an_answer_from_before_the_process_was_stopped_is_asked_for_again() -> None:
    freezes = [PAST]

    async def stopped(point: str) -> None:
        if point == "extend:after" and freezes:
            freezer.freeze(freezes.pop())

    world = bench(two, point=stopped)
    worker, lease = worker_on(world), await leased(world)
    with worker.executor.live.join(lease.job, lease.lease_id, now() + 30.0) as seat:
        await beat(worker)
        assert (seat.stop, seat.until > now()) == (None, False)
        await beat(worker)
        assert (seat.stop, seat.until > now()) == (None, True)


@pytest.mark.fault(17)
async def test_answers_that_always_come_too_late_keep_no_body_going() -> None:
    async def stopped(point: str) -> None:
        if point == "extend:after":
            freezer.freeze()

    world = bench(two, point=stopped)
    worker, lease = worker_on(world), await leased(world)
    with worker.executor.live.join(lease.job, lease.lease_id, now() + 30.0) as seat:
        await beat(worker)
        await beat(worker)
        assert seat.stop is Stop.LEASE_LOST


@pytest.mark.parametrize(("frozen", "stop"), [(0.0, None), (PAST, Stop.LEASE_LOST)])
@pytest.mark.fault(17)
async def test_a_lease_that_was_not_found_where_it_stood_is_trusted_until_it_runs_out(
    frozen: float, stop: Stop | None
) -> None:
    async def moves(point: str) -> None:
        if point == "extend:after":
            seat.turn_to(lease.job)

    world = bench(two, point=moves)
    worker, lease = worker_on(world), await leased(world)
    elsewhere = attrs.evolve(lease.job, stage=StageId("second"))
    with worker.executor.live.join(elsewhere, lease.lease_id, now() + 30.0) as seat:
        freezer.freeze(frozen)
        for _ in range(2):  # it has moved on whenever it is asked about
            seat.turn_to(elsewhere)
            await beat(worker)
        assert (seat.stop, worker.executor.live.missed) == (stop, 1)


async def test_a_lease_that_ran_out_by_our_clock_but_was_not_taken_away_is_kept() -> None:
    world = bench(two)
    worker, lease = worker_on(world), await leased(world)
    with worker.executor.live.join(lease.job, lease.lease_id, now() + 30.0) as seat:
        freezer.freeze()
        await beat(worker)
        assert seat.stop is None
        assert seat.until > now()


async def test_an_end_that_is_being_recorded_is_left_to_its_guard() -> None:
    world = bench(two)
    worker, lease = worker_on(world), await leased(world)
    elsewhere = attrs.evolve(lease.job, stage=StageId("second"))
    with worker.executor.live.join(elsewhere, lease.lease_id, now() - 1.0) as seat:
        seat.recording = True
        await beat(worker)
        assert seat.stop is None


@pytest.mark.fault(17)
async def test_a_body_is_not_called_under_a_lease_that_has_run_out() -> None:
    world = bench(two)
    worker, lease = worker_on(world), await leased(world)
    assert await worker.executor.execute(lease, now() - 1.0) == "lease_lost"
    assert freezer.called == []
    (job,) = await world.store.jobs(lease.job.run_id)
    assert (job.lease_id, job.attempt) == (None, 0), "the store thought it was ours: it is given back"


@pytest.mark.fault(17)
async def test_a_run_is_handed_over_freely_by_a_worker_whose_lease_has_run_out() -> None:
    world = bench(two)
    worker, lease = worker_on(world), await leased(world, freezes=True)
    assert await worker.executor.execute(lease, now() + 30.0) == "completed"
    (job,) = await world.store.jobs(lease.job.run_id)
    assert (job.stage, job.lease_id, freezer.called) == ("second", None, ["first"])


async def test_what_was_overdue_and_has_ended_is_not_asked_about_for_ever() -> None:
    async def stopped(point: str) -> None:
        if point == "extend:after":
            freezer.freeze()

    world = bench(two, point=stopped)
    worker, lease = worker_on(world), await leased(world)
    with worker.executor.live.join(lease.job, lease.lease_id, now() + 30.0):
        await beat(worker)
        assert worker._heartbeat._overdue  # pyright: ignore[reportPrivateUsage]
    await beat(worker)
    assert not worker._heartbeat._overdue  # pyright: ignore[reportPrivateUsage]
