"""The worker's loops: claiming, heartbeats that fail, upkeep that raises, draining."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import attrs
import pytest

from mainspring import Context, Retry, Workflow, stage, workflow
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.chores import Chores
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker, WorkerDiedError
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.records import RunStatus
from tests.hosts.parts import Bench, bench

QUICK = Timing(
    lease=timedelta(seconds=0.6),
    heartbeat=timedelta(seconds=0.05),
    reap=timedelta(seconds=0.05),
    safety_poll=timedelta(seconds=0.05),
    cancel_grace=timedelta(seconds=0.2),
    shutdown_grace=timedelta(seconds=5),
)
SETTINGS = WorkerSettings(timing=QUICK)
SOON = 10.0


class Stage:
    """What the bodies of one test tell."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended: list[str] = []


told = Stage()


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@stage(retry=Retry(max_attempts=100, initial=timedelta(milliseconds=1)))
async def waits(ctx: Context, name: str) -> str:
    told.began.set()
    try:
        await asyncio.Event().wait()
    finally:
        told.ended.append(name)
    return name


@stage
async def short(ctx: Context, seconds: float) -> str:
    told.began.set()
    await asyncio.sleep(seconds)
    return "done"


waiting = Workflow("waiting", version="1").pipe(waits)
brief = Workflow("brief", version="1").pipe(short)


class Weather:
    """A store hook: which calls fail just now."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.seen: list[str] = []

    async def __call__(self, point: str) -> None:
        name, _, when = point.partition(":")
        if when == "before":
            self.seen.append(name)
            if name in self.failing:
                raise UnavailableError(f"{name} is down")


@asynccontextmanager
async def working(world: Bench, settings: WorkerSettings = SETTINGS) -> AsyncGenerator[Worker]:
    """A worker that runs while the block lasts."""
    global told  # noqa: PLW0603  bodies are module functions; each test has a loop of its own
    told = Stage()
    worker = Worker(world.parts, world.registry, settings)
    running = asyncio.get_running_loop().create_task(worker.run())
    try:
        yield worker
    finally:
        worker.hurry()
        await asyncio.wait_for(running, SOON)


async def until(condition: Any) -> None:
    """Wait for a condition that no event tells of."""
    async with asyncio.timeout(SOON):
        while not await condition():
            await asyncio.sleep(0.005)


@pytest.mark.fault(20)
async def test_a_worker_whose_heartbeats_fail_ends_its_bodies_and_claims_nothing() -> None:
    weather = Weather()
    world = bench(waiting, hello, point=weather)
    async with working(world):
        run = await world.start(waiting, "a")
        await told.began.wait()
        weather.failing = {"extend", "record_worker"}

        async def body_ended() -> bool:
            return told.ended == ["a"]

        await until(body_ended)
        assert await run.status() in {RunStatus.PENDING, RunStatus.RUNNING}
        weather.failing = {"extend", "record_worker"}
        other = await world.start(hello, "x")
        claims = weather.seen.count("claim")
        await asyncio.sleep(0.1)
        assert weather.seen.count("claim") <= claims + 1
        weather.failing = set()
        assert await other.result(SOON) == "hello x"


async def test_upkeep_that_raises_is_tried_again_and_stops_nothing_else() -> None:
    weather = Weather()
    weather.failing = {"next_upkeep"}
    world = bench(hello, point=weather)
    async with working(world):
        assert await (await world.start(hello, "x")).result(SOON) == "hello x"

        async def tried_twice() -> bool:
            return weather.seen.count("next_upkeep") >= 2

        await until(tried_twice)


async def test_claims_that_fail_are_tried_again() -> None:
    weather = Weather()
    weather.failing = {"claim"}
    world = bench(hello, point=weather)
    async with working(world):
        run = await world.start(hello, "x")

        async def tried() -> bool:
            return weather.seen.count("claim") >= 2

        await until(tried)
        weather.failing = set()
        assert await run.result(SOON) == "hello x"


@pytest.mark.fault(105)
async def test_a_loop_that_ends_takes_the_worker_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(self: Chores) -> None:
        return

    monkeypatch.setattr(Chores, "upkeep_loop", ends)
    world = bench(hello)
    with pytest.raises(WorkerDiedError, match="upkeep loop ended"):
        await asyncio.wait_for(Worker(world.parts, world.registry, SETTINGS).run(), SOON)


@pytest.mark.fault(104)
async def test_a_body_that_ends_within_the_grace_is_recorded_at_a_shutdown() -> None:
    world = bench(brief)
    async with working(world) as worker:
        run = await world.start(brief, 0.2)
        await told.began.wait()
        worker.stop()
        assert await run.result(SOON) == "done"


@pytest.mark.fault(104)
async def test_a_body_that_does_not_is_given_back_with_its_attempt_refunded() -> None:
    world = bench(waiting)
    async with working(world) as worker:
        run = await world.start(waiting, "a")
        await told.began.wait()
        worker.hurry()
    (job,) = await world.store.jobs(run.id)
    assert (job.lease_id, job.attempt) == (None, 0)


@pytest.mark.fault(90)
async def test_a_cancel_by_another_process_reaches_the_body_by_heartbeat() -> None:
    world = bench(waiting)
    async with working(world):
        run = await world.start(waiting, "a")
        await told.began.wait()
        await run.cancel()

        async def cancelled() -> bool:
            return await run.status() is RunStatus.CANCELLED

        await until(cancelled)
    assert told.ended == ["a"]


@pytest.mark.fault(17)
async def test_a_body_whose_lease_was_taken_away_is_told() -> None:
    world = bench(waiting)
    async with working(world):
        run = await world.start(waiting, "a", timeout=timedelta(seconds=0.2))
        await told.began.wait()

        async def ended() -> bool:
            return told.ended == ["a"] and await run.status() is RunStatus.FAILED

        await until(ended)


@pytest.mark.promise(1)
@pytest.mark.fault(7, 8, 35)
async def test_an_idle_worker_finds_work_though_every_hint_is_lost() -> None:
    world = bench(hello)
    async with working(world):
        run = await world.start(hello, "x")
        assert await run.result(SOON) == "hello x"


async def test_a_worker_shows_itself_and_goes_without_a_trace() -> None:
    world = bench(hello)
    async with working(world) as worker:

        async def shown() -> bool:
            return [one.id for one in await world.store.workers()] == [worker.id]

        await until(shown)
    assert await world.store.workers() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"max_stuck": 0},
        {"timing": Timing(lease=timedelta(seconds=1), heartbeat=timedelta(seconds=1))},
        {"timing": Timing(lease=timedelta(0), heartbeat=timedelta(0))},
        {"timing": Timing(collect=timedelta(seconds=-1))},
    ],
)
def test_settings_that_cannot_be_followed_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        WorkerSettings(**wrong)


@pytest.mark.fault(20)
async def test_a_store_that_hangs_fences_a_body_before_its_lease_runs_out() -> None:
    hanging = False

    async def hangs(point: str) -> None:
        if hanging and point == "extend:before":
            await asyncio.Event().wait()

    world = bench(waiting, point=hangs)
    async with working(world):
        run = await world.start(waiting, "a")
        await told.began.wait()
        hanging = True

        async def ended() -> bool:
            return told.ended == ["a"]

        await until(ended)
        (job,) = await world.store.jobs(run.id)
        if job.lease_until is not None:
            assert world.parts.clock.now() <= job.lease_until
        hanging = False


@pytest.mark.fault(104)
async def test_a_claim_under_way_at_a_stop_is_given_back_and_its_body_never_called() -> None:
    claimed, answer = asyncio.Event(), asyncio.Event()

    async def holds(point: str) -> None:
        if point == "claim:after" and (await world.store.jobs(run.id))[0].lease_id is not None:
            claimed.set()
            await answer.wait()

    world = bench(waiting)
    run = await world.start(waiting, "a")
    world = attrs.evolve(world, parts=attrs.evolve(world.parts, store=world.store.another(holds)))
    async with working(world) as worker:
        await claimed.wait()
        worker.stop()
        answer.set()
    (job,) = await world.store.jobs(run.id)
    assert (job.lease_id, job.attempt) == (None, 0)
    assert not told.began.is_set()


@pytest.mark.fault(90)
async def test_a_cancel_is_told_though_the_first_look_at_the_run_failed() -> None:
    weather = Weather()
    world = bench(waiting, point=weather)
    async with working(world):
        run = await world.start(waiting, "a")
        await told.began.wait()
        weather.failing = {"run"}
        await run.cancel()
        looks = weather.seen.count("run")

        async def looked() -> bool:
            return weather.seen.count("run") > looks

        await until(looked)
        weather.failing = set()

        async def ended() -> bool:
            return told.ended == ["a"] and await run.status() is RunStatus.CANCELLED

        await until(ended)
