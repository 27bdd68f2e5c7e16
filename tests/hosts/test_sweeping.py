"""Both hosts sweep when they are told to, and go on with everything else when it fails."""

import asyncio
from datetime import timedelta

import attrs
import pytest

from mainspring import Context, workflow
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker
from mainspring.hosts.serverless import ServerlessHost
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.names import RunId
from mainspring.settings import from_environment
from tests.hosts.parts import Bench, ManualClock, bench

KEPT = timedelta(days=30)
QUICK = timedelta(seconds=0.01)
SOON = 10.0


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


async def ended(world: Bench, clock: ManualClock) -> RunId:
    """A run that ended so long ago that it may go."""
    run = await world.start(hello, "x")
    await run.cancel()
    clock.advance(KEPT)
    return run.id


class Weather:
    """A store hook: sweeps fail while it is bad."""

    def __init__(self) -> None:
        self.bad = False
        self.failed = asyncio.Event()
        self.swept = asyncio.Event()

    async def __call__(self, point: str) -> None:
        if point == "sweep:before" and self.bad:
            self.failed.set()
            raise UnavailableError("down")
        if point == "tombstones:after":
            self.swept.set()


@pytest.mark.fault(105)
async def test_a_worker_sweeps_again_after_a_sweep_that_failed() -> None:
    clock, weather = ManualClock(), Weather()
    weather.bad = True
    world = bench(hello, clock=clock, point=weather)
    run_id = await ended(world, clock)
    settings = WorkerSettings(timing=Timing(retention=KEPT, sweep=QUICK, safety_poll=QUICK))
    worker = Worker(world.parts, world.registry, settings)
    working = asyncio.get_running_loop().create_task(worker.run())
    await asyncio.wait_for(weather.failed.wait(), SOON)
    weather.bad = False
    assert await (await world.start(hello, "y")).result(SOON) == "hello y"
    await asyncio.wait_for(weather.swept.wait(), SOON)
    assert await world.store.run(run_id) is None
    worker.hurry()
    await asyncio.wait_for(working, SOON)


async def test_a_worker_that_keeps_everything_never_sweeps() -> None:
    clock, weather = ManualClock(), Weather()
    weather.bad = True
    world = bench(hello, clock=clock, point=weather)
    run_id = await ended(world, clock)
    worker = Worker(world.parts, world.registry, WorkerSettings(timing=Timing(sweep=QUICK, safety_poll=QUICK)))
    working = asyncio.get_running_loop().create_task(worker.run())
    assert await (await world.start(hello, "y")).result(SOON) == "hello y"
    worker.hurry()
    await asyncio.wait_for(working, SOON)
    assert not weather.failed.is_set()
    assert await world.store.run(run_id) is not None


async def test_a_maintenance_tick_sweeps_and_tells_how_many() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    run_id = await ended(world, clock)
    assert (await ServerlessHost(world.parts, world.registry).run_maintenance_tick()).swept == 0
    host = ServerlessHost(world.parts, world.registry, timing=Timing(retention=KEPT))
    assert (await host.run_maintenance_tick(lambda: timedelta(seconds=1))).swept == 0, "there is no time left"
    assert await world.store.run(run_id) is not None
    assert (await host.run_maintenance_tick()).swept == 1
    assert await world.store.run(run_id) is None


async def test_a_sweep_that_fails_leaves_the_rest_of_the_tick_its_turn() -> None:
    clock, weather = ManualClock(), Weather()
    weather.bad = True
    world = bench(hello, clock=clock, point=weather)
    await ended(world, clock)
    late = await world.start(hello, "late", timeout=timedelta(seconds=1))
    clock.advance(timedelta(minutes=1))
    report = await ServerlessHost(world.parts, world.registry, timing=Timing(retention=KEPT)).run_maintenance_tick()
    assert weather.failed.is_set()
    assert (report.expired, report.swept) == (1, 0)
    assert (await late.describe()).finished_at is not None


@pytest.mark.parametrize(
    ("environment", "kept"),
    [
        ({}, (timedelta(0), None)),
        ({"MAINSPRING_RETENTION": "86400"}, (timedelta(days=1), None)),
        ({"MAINSPRING_ANSWER_RETENTION": "60"}, (timedelta(0), timedelta(minutes=1))),
        ({"MAINSPRING_RETENTION": "1", "MAINSPRING_ANSWER_RETENTION": "0"}, (timedelta(seconds=1), timedelta(0))),
    ],
)
def test_the_environment_tells_how_long_runs_and_answers_are_kept(
    environment: dict[str, str], kept: tuple[timedelta, timedelta | None]
) -> None:
    timing = from_environment(environment).worker().timing
    assert (timing.retention, timing.answer_retention) == kept


@pytest.mark.parametrize(
    "wrong",
    [{"retention": timedelta(-1)}, {"answer_retention": timedelta(-1)}, {"sweep": timedelta(0)}],
)
def test_a_time_that_cannot_be_is_refused(wrong: dict[str, timedelta]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        WorkerSettings(timing=attrs.evolve(Timing(), **wrong))
