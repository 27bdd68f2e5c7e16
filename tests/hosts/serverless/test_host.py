"""The serverless host's core: bounded work, and nothing that is lost when time runs out."""

import asyncio
from datetime import timedelta

import attrs
import pytest

from mainspring import Context, Retry, Workflow, stage, workflow
from mainspring.adapters.memory.scheduler import MemoryScheduler
from mainspring.hosts.execution.store_clock import StoreClock
from mainspring.hosts.serverless import ServerlessHost
from mainspring.ports.errors import UnavailableError
from mainspring.ports.names import RunId, StageId, WorkerId
from mainspring.ports.records import Pointer, RunStatus
from mainspring.ports.sinks import Sink
from tests.hosts.parts import Bench, ManualClock, bench


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@stage
async def one(ctx: Context, number: int) -> int:
    return number + 1


@stage
async def two(ctx: Context, number: int) -> int:
    return number * 10


@stage(retry=Retry(max_attempts=5))
async def endless(ctx: Context, number: int) -> int:
    await asyncio.Event().wait()
    return number


chain = Workflow("chain", version="1").pipe(one).pipe(two)
waiting = Workflow("waiting", version="1").pipe(endless)

NOWHERE = Pointer(run_id=RunId("00000000-0000-7000-8000-000000000000"), stage=StageId("endless"))


def host_on(world: Bench, **options: timedelta) -> ServerlessHost:
    return ServerlessHost(world.parts, world.registry, **options)  # type: ignore[arg-type]


async def test_a_pointer_is_worked_off_to_the_end_of_its_chain() -> None:
    world = bench(chain)
    run = await world.start(chain, 1)
    pointer = Pointer(run_id=run.id, stage=StageId("one"))
    assert await host_on(world).handle_job(pointer) == "completed"
    assert await run.result(1) == 20


@pytest.mark.fault(6, 33)
async def test_a_pointer_to_finished_work_is_acknowledged_without_a_call() -> None:
    world = bench(hello)
    run = await world.start(hello, "x")
    host = host_on(world)
    pointer = Pointer(run_id=run.id, stage=StageId("hello"))
    assert await host.handle_job(pointer) == "completed"
    assert await host.handle_job(pointer) == "nothing"


async def test_a_pointer_to_nowhere_does_nothing() -> None:
    world = bench(hello)
    assert await host_on(world).handle_job(Pointer(run_id=(await world.start(hello, "x")).id, stage=StageId("y"))) == (
        "nothing"
    )


async def test_as_many_jobs_are_taken_as_were_asked_for_and_counted() -> None:
    world = bench(hello)
    for number in range(5):
        await world.start(hello, str(number))
    host = host_on(world)
    report = await host.process_available_jobs(3)
    assert (report.claimed, report.outcomes) == (3, {"completed": 3})
    assert (await host.process_available_jobs(10)).claimed == 2
    assert (await host.process_available_jobs(10)).claimed == 0


async def test_nothing_is_taken_that_cannot_be_finished() -> None:
    world = bench(hello)
    run = await world.start(hello, "x")
    host = host_on(world, margin=timedelta(seconds=2))
    assert (await host.process_available_jobs(1, lambda: timedelta(seconds=2))).claimed == 0
    assert await host.handle_job(Pointer(run_id=run.id, stage=StageId("hello")), lambda: timedelta(seconds=1)) == (
        "nothing"
    )
    assert await run.status() is RunStatus.PENDING


@pytest.mark.fault(45, 104)
async def test_what_runs_out_of_time_is_given_back_with_its_attempt_refunded() -> None:
    world = bench(waiting)
    run = await world.start(waiting, 1)
    host = host_on(world, margin=timedelta(milliseconds=50))
    await host.handle_job(NOWHERE, lambda: timedelta(seconds=10))  # whole invocations are longer
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.15
    report = await host.process_available_jobs(1, lambda: timedelta(seconds=until - loop.time()))
    assert report.outcomes == {"shutdown": 1}
    (job,) = await world.store.jobs(run.id)
    assert (job.lease_id, job.attempt) == (None, 0)


@pytest.mark.promise(7, 11)
async def test_a_tick_reaps_expires_and_publishes() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    await world.store.add_sink(Sink())
    dead = await world.start(hello, "dead")
    late = await world.start(hello, "late", timeout=timedelta(seconds=10), start_at=clock.now() + timedelta(days=1))
    await world.store.claim(world.registry.routes(), limit=1, length=timedelta(seconds=5), worker=_worker())
    clock.advance(timedelta(days=2))
    report = await host_on(world).run_maintenance_tick()
    assert (report.reaped, report.expired) == (1, 1)
    assert report.published > 0
    assert await dead.status() is RunStatus.PENDING
    assert await late.status() is RunStatus.FAILED


async def test_a_tick_asks_for_the_next_one_that_is_needed() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    due = clock.now() + timedelta(hours=3)
    await world.start(hello, "x", start_at=due)
    await host_on(world).run_maintenance_tick()
    scheduler = world.parts.scheduler
    assert isinstance(scheduler, MemoryScheduler)
    assert scheduler.asked == due


async def test_a_part_that_fails_leaves_the_others_their_turn() -> None:
    async def fails(name: str) -> None:
        if name == "expired_leases:before":
            raise UnavailableError("down")

    clock = ManualClock()
    world = bench(hello, clock=clock, point=fails)
    late = await world.start(hello, "late", timeout=timedelta(seconds=10))
    clock.advance(timedelta(minutes=1))
    report = await host_on(world).run_maintenance_tick()
    assert (report.reaped, report.expired) == (0, 1)
    assert await late.status() is RunStatus.FAILED


async def test_a_store_that_is_down_makes_the_message_come_again() -> None:
    async def down(name: str) -> None:
        if name == "claim:before":
            raise UnavailableError("down")

    world = bench(hello, point=down)
    run = await world.start(hello, "x")
    with pytest.raises(UnavailableError):
        await host_on(world).handle_job(Pointer(run_id=run.id, stage=StageId("hello")))


def _worker() -> WorkerId:
    return WorkerId("dead-worker")


async def test_what_was_given_back_is_not_taken_again_by_the_same_invocation() -> None:
    world = bench(waiting)
    await world.start(waiting, 1)
    host = host_on(world, margin=timedelta(milliseconds=100))
    await host.handle_job(NOWHERE, lambda: timedelta(seconds=10))  # whole invocations are longer
    until = asyncio.get_running_loop().time() + 0.4
    report = await host.process_available_jobs(
        1000, lambda: timedelta(seconds=until - asyncio.get_running_loop().time())
    )
    assert report.outcomes == {"shutdown": 1}


async def test_what_a_whole_invocation_was_too_short_for_has_used_an_attempt_up() -> None:
    world = bench(waiting)
    run = await world.start(waiting, 1)
    host = host_on(world, margin=timedelta(milliseconds=100))
    until = asyncio.get_running_loop().time() + 0.4
    report = await host.process_available_jobs(
        1000, lambda: timedelta(seconds=until - asyncio.get_running_loop().time())
    )
    assert sum(report.outcomes.values()) == 1
    assert "shutdown" not in report.outcomes
    (told,) = await world.store.attempts(run.id)
    assert told.failure is not None
    assert told.failure.code == "timed_out"
    assert "whole invocation" in told.failure.message


async def test_an_invocation_that_runs_out_of_time_leaves_the_jobs_of_another_alone() -> None:
    world = bench(waiting)
    first = await world.start(waiting, 1)
    second = await world.start(waiting, 2)
    host = host_on(world, margin=timedelta(milliseconds=50))
    loop = asyncio.get_running_loop()

    def invoked(run_id: RunId, until: float) -> asyncio.Future[str]:
        pointer = Pointer(run_id=run_id, stage=StageId("endless"))
        return asyncio.ensure_future(host.handle_job(pointer, lambda: timedelta(seconds=until - loop.time())))

    brief, long = invoked(first.id, loop.time() + 0.2), invoked(second.id, loop.time() + 60)
    assert await brief == "shutdown"
    assert not long.done()
    (job,) = await world.store.jobs(second.id)
    assert job.lease_id is not None
    long.cancel()
    await asyncio.gather(long, return_exceptions=True)


@workflow(version="1", attempt_timeout=timedelta(minutes=1))
async def tells_its_deadline(ctx: Context) -> str:
    return str(ctx.deadline)


@pytest.mark.fault(22, 23)
async def test_each_handler_asks_for_the_stores_time_first() -> None:
    """The store's clock stands at New Year; the machine has no other, and does not know before it has asked."""
    truth = ManualClock()
    world = bench(tells_its_deadline, clock=truth)
    asked: list[str] = []

    async def told(point: str) -> None:
        asked.append(point)

    def another_host() -> ServerlessHost:
        clock = StoreClock(world.store.another(told), lambda: 4_711.0)
        parts = attrs.evolve(world.parts, clock=clock, refresh_clock=clock.refresh)
        return ServerlessHost(parts, world.registry)

    first, second = await world.start(tells_its_deadline, None), await world.start(tells_its_deadline, None)
    pointer = Pointer(run_id=first.id, stage=StageId("tells_its_deadline"))
    assert await another_host().handle_job(pointer) == "completed"
    assert (await another_host().process_available_jobs(1)).claimed == 1
    for run in (first, second):
        assert await run.result(1) == str(truth.now() + timedelta(minutes=1))
    await another_host().run_maintenance_tick()
    assert asked.count("now:before") == 2 * 3, "once to connect, once to measure"


async def test_a_handler_that_is_cancelled_leaves_no_attempt_behind() -> None:
    world = bench(waiting)
    run = await world.start(waiting, 1)
    before = asyncio.all_tasks()
    host = host_on(world)
    pointer = Pointer(run_id=run.id, stage=StageId("endless"))
    handling = asyncio.ensure_future(host.handle_jobs([pointer], lambda: timedelta(seconds=60)))
    while not host._executor.live:  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0)
    handling.cancel()
    await asyncio.gather(handling, return_exceptions=True)
    assert asyncio.all_tasks() <= before
