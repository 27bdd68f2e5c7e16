"""The executor: what it records, and what may never reach the next stage."""

import asyncio
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mainspring import NO_RETRY, Context, Mainspring, NonRetryable, Retry, RunStatus, Workflow, stage
from mainspring.errors import RunFailedError
from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.live import LiveList, Stop
from mainspring.hosts.execution.mailboxes import Mailboxes
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.change import Change
from mainspring.ports.names import Payload, RunId, StageId, WorkerId
from tests.hosts.execution.test_live import JOB, LEASE
from tests.hosts.parts import bench

SOON = 20.0
QUICK = WorkerSettings(
    timing=Timing(
        lease=timedelta(seconds=1),
        heartbeat=timedelta(seconds=0.1),
        reap=timedelta(seconds=0.1),
        safety_poll=timedelta(seconds=0.2),
        cancel_grace=timedelta(seconds=0.3),
    )
)


@stage(retry=NO_RETRY, timeout=timedelta(milliseconds=50))
async def blocks_past_its_time(ctx: Context, value: int) -> int:
    time.sleep(0.15)
    return value


@stage(retry=NO_RETRY)
async def follows(ctx: Context, value: int) -> int:
    return value + 1


@stage(retry=NO_RETRY)
async def tells_decimals(ctx: Context, value: int) -> int:
    ctx.progress(Decimal("0.5"), Decimal(1))  # type: ignore[arg-type]
    return value


@stage(retry=Retry(max_attempts=2, initial=timedelta(milliseconds=1)))
async def raises_a_group(ctx: Context, value: int) -> int:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_refuse())
    return value


async def _refuse() -> None:
    raise NonRetryable("no")


@stage
async def numbers(ctx: Context, value: int) -> set[int]:
    return {value, value + 1}


@stage(timeout=timedelta(seconds=0.4), retry=NO_RETRY)
async def takes_long(ctx: Context, value: int) -> int:
    await asyncio.sleep(0.2)
    return value


@stage
async def many(ctx: Context, count: int) -> list[int]:
    return list(range(count))


@stage
async def slow(ctx: Context, number: int) -> int:
    await asyncio.sleep(0.001)
    return number


late = Workflow("late", version="1").pipe(blocks_past_its_time).pipe(follows)
decimals = Workflow("decimals", version="1").pipe(tells_decimals)
grouped = Workflow("grouped", version="1").pipe(raises_a_group)
over_a_set = Workflow("over-a-set", version="1").pipe(numbers).add(follows, after=numbers, mapped=True)
patient = Workflow("patient", version="1").pipe(takes_long)
wide = Workflow("wide", version="1").pipe(many).map(slow)


async def test_a_time_out_that_falls_due_as_the_body_returns_is_not_the_next_stage_s() -> None:
    async with Mainspring("memory://", workflows=[late], settings=QUICK) as engine:
        assert await engine.run(late, 1, timeout=SOON) == 2


async def test_numbers_of_any_kind_tell_progress() -> None:
    async with Mainspring("memory://", workflows=[decimals], settings=QUICK) as engine:
        assert await engine.run(decimals, 1, timeout=SOON) == 1


async def test_a_refusal_in_an_exception_group_ends_the_retries() -> None:
    async with Mainspring("memory://", workflows=[grouped], settings=QUICK) as engine:
        run = await engine.start(grouped, 1)
        with pytest.raises(RunFailedError):
            await run.result(SOON)
        assert await engine.parts.store.attempts(run.id) == []


async def test_a_set_can_be_mapped_over() -> None:
    async with Mainspring("memory://", workflows=[over_a_set], settings=QUICK) as engine:
        assert sorted(await engine.run(over_a_set, 1, timeout=SOON)) == [2, 3]


async def test_a_stage_s_own_time_out_outweighs_the_worker_s_maximum() -> None:
    short = WorkerSettings(timing=Timing(attempt_maximum=timedelta(seconds=0.05)))
    async with Mainspring("memory://", workflows=[patient], settings=short) as engine:
        assert await engine.run(patient, 1, timeout=SOON) == 1


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/store.db"])
async def test_a_busy_run_can_be_cancelled(url: str, tmp_path: Any) -> None:
    async with Mainspring(url.format(tmp_path), workflows=[wide], settings=QUICK) as engine:
        run = await engine.start(wide, 4000)
        async with asyncio.timeout(SOON):
            while len(await engine.parts.store.stages(run.id)) < 50:
                await asyncio.sleep(0.005)
        assert await run.cancel() in {RunStatus.CANCELLING, RunStatus.CANCELLED}
        async with asyncio.timeout(SOON):
            while await run.status() is not RunStatus.CANCELLED:
                await asyncio.sleep(0.01)
        assert await engine.parts.store.jobs(run.id) == []


async def test_an_output_that_was_never_recorded_reaches_no_stage() -> None:
    """The lease is lost while the body runs: what it returned is not kept for the stages that follow here."""
    world = bench(late)
    run = await world.start(late, 1)
    routes = world.registry.routes()
    (lease,) = await world.store.claim(routes, limit=1, length=timedelta(seconds=30), worker=WorkerId("w"))
    boxes = Mailboxes(Dispatcher(world.parts.store, world.parts.clock, world.parts.ids))
    box = boxes.open(run.id, 0)  # held open, as by a sibling on this worker
    executor = Executor(world.parts, world.registry, QUICK.timing, mailboxes=boxes)
    await world.store.commit(Change(job_deletes=(lease.job.key,)))
    assert await executor.execute(lease, asyncio.get_running_loop().time() + 30) == "lease_lost"
    assert box.outputs == {}


async def test_a_mistake_about_one_finish_is_not_its_siblings_fault() -> None:
    class Fragile:
        calls = 0

        async def dispatch_all(self, run_id: RunId, commands: list[Any], state: Any) -> tuple[list[Any], Any]:
            await asyncio.sleep(0)
            Fragile.calls += 1
            if "bad" in commands:
                raise TypeError("a mistake")
            return list(commands), None

    boxes = Mailboxes(Fragile())  # type: ignore[arg-type]
    box = boxes.open(RunId("run"), 0)
    commands: list[Any] = ["first", "good", "bad", "well"]
    answers = await asyncio.gather(*(box.finish(command) for command in commands), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, str)] == ["first", "good", "well"]
    assert isinstance(answers[2], TypeError)


async def test_what_is_recorded_is_kept_for_the_stages_that_follow_unless_it_is_large() -> None:
    world = bench(late)
    box = Mailboxes(Dispatcher(world.store, world.parts.clock, world.parts.ids)).open(RunId("run"), 0)
    box.keep_output(StageId("a"), Payload("1"))
    box.keep_output(StageId("b"), Payload("@run/lease/hash"))
    assert box.outputs == {"a": ("1",)}


@pytest.mark.parametrize(("reason", "left"), [(Stop.TIMED_OUT, None), (Stop.CANCELLED, Stop.CANCELLED)])
def test_a_seat_that_goes_on_forgets_a_time_out_but_no_cancel(reason: Stop, left: Stop | None) -> None:
    with LiveList().join(JOB, LEASE, 1.0) as seat:
        seat.tell(reason)
        seat.turn_to(JOB)
        assert seat.stop is left


@stage(retry=Retry(max_attempts=5, initial=timedelta(hours=1), maximum=timedelta(hours=1)))
async def fails_when_told(ctx: Context, value: int) -> int:
    await gate.wait()
    raise ValueError("later")


gate = asyncio.Event()
backing_off = Workflow("backing-off", version="1").pipe(fails_when_told)


async def test_a_cancel_does_not_wait_out_a_back_off() -> None:
    """The body fails before its worker hears of the cancel; the retry meets the newer wake count and is cancelled."""
    global gate  # noqa: PLW0603  bodies are module functions; each test has a loop of its own
    gate = asyncio.Event()
    world = bench(backing_off)
    run = await world.start(backing_off, 1)
    routes = world.registry.routes()
    (lease,) = await world.store.claim(routes, limit=1, length=timedelta(seconds=30), worker=WorkerId("w"))
    executor = Executor(world.parts, world.registry, QUICK.timing)
    working = asyncio.ensure_future(executor.execute(lease, asyncio.get_running_loop().time() + 30))
    await asyncio.sleep(0.01)
    assert await run.cancel() is RunStatus.CANCELLING
    gate.set()
    await working
    assert await run.status() is RunStatus.CANCELLED


async def test_a_box_drops_a_state_that_a_newer_claim_has_outrun() -> None:
    world = bench(late)
    run = await world.start(late, 1)
    state = await world.store.run_state(run.id)
    assert state is not None
    boxes = Mailboxes(Dispatcher(world.store, world.parts.clock, world.parts.ids))
    box = boxes.open(run.id, 0, state)
    assert boxes.open(run.id, 0) is box
    assert box.state is state
    boxes.open(run.id, state.run.revision + 1)
    assert box.state is None


async def test_a_hundred_instances_that_begin_at_once_read_what_is_upstream_once() -> None:
    reads = 0

    async def counts(point: str) -> None:
        nonlocal reads
        reads += point == "stages:before"

    world = bench(wide, point=counts)
    run = await world.start(wide, 60)
    routes, length = world.registry.routes(), timedelta(seconds=30)
    until = asyncio.get_running_loop().time() + 30
    first = await world.store.claim(routes, limit=1, length=length, worker=WorkerId("one"))
    await Executor(world.parts, world.registry, QUICK.timing).execute(first[0], until)
    instances = await world.store.claim(routes, limit=60, length=length, worker=WorkerId("other"))
    other = Executor(world.parts, world.registry, QUICK.timing)
    await asyncio.gather(*(other.execute(lease, until) for lease in instances))
    assert (len(instances), reads) == (60, 1)
    assert await run.status() is RunStatus.COMPLETED
