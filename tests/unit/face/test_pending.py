"""Stages whose work goes on elsewhere: begun by the body, asked about by the check, holding no worker meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from mainspring import Context, Pending, Retry, RunStatus, Workflow, stage
from mainspring.errors import RunFailedError
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.serverless.host import ServerlessHost
from mainspring.testing import TestEngine

SECONDS = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@attrs.frozen
class Batch:
    """What the provider gave."""

    id: str
    ready_after: int  #: checks
    seen: int = 0


CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    CALLS.clear()


async def check(ctx: Context, batch: Batch) -> Pending[Batch] | str:
    CALLS.append(f"check {batch.id}")
    if batch.seen < batch.ready_after:
        return Pending(attrs.evolve(batch, seen=batch.seen + 1))
    return f"{batch.id} after {batch.seen}"


@stage(poll=check)
async def submit(ctx: Context, name: str) -> Pending[Batch]:
    CALLS.append(f"submit {name}")
    return Pending(Batch(name, 2), every=10 * SECONDS, until=HOUR)


@stage
async def shout(ctx: Context, text: str) -> str:
    return text.upper()


flow = Workflow("batches", version="1").pipe(submit).pipe(shout)


async def test_the_check_is_asked_with_the_newest_state_until_it_is_ready_and_the_run_goes_on() -> None:
    async with TestEngine(flow) as engine:
        began = engine.clock.now()
        assert await engine.run(flow, "b1") == "B1 AFTER 2"
        assert CALLS == ["submit b1", "check b1", "check b1", "check b1"]
        passed = engine.clock.now() - began
        assert 30 * SECONDS <= passed < 31 * SECONDS


async def test_nothing_is_asked_before_it_is_due_and_no_worker_is_held() -> None:
    async with TestEngine(flow) as engine:
        run = await engine.start(flow, "b1")
        await engine.advance(9 * SECONDS)
        assert CALLS == ["submit b1"]
        (job,) = await engine.parts.store.jobs(run.id)
        assert (job.lease_id, job.attempt) == (None, 0)
        assert job.polling is not None
        assert job.polling.state == '{"id":"b1","ready_after":2,"seen":0}'
        await engine.advance(SECONDS)
        assert CALLS == ["submit b1", "check b1"]


async def test_instances_of_a_map_and_stages_side_by_side_wait_each_for_its_own() -> None:
    wide = Workflow("wide", version="1").map(submit, max_parallel=2)
    group = Workflow("group", version="1").parallel(submit, shout)
    async with TestEngine(wide, group) as engine:
        assert await engine.run(wide, ["a", "b", "c"]) == ["a after 2", "b after 2", "c after 2"]
        assert dict(await engine.run(group, "x")) == {"submit": "x after 2", "shout": "X"}


async def test_a_body_that_is_ready_at_once_needs_no_check() -> None:
    @stage(poll=check)
    def cached(ctx: Context, name: str) -> Pending[Batch] | str:
        return f"{name} from the cache"

    quick = Workflow("quick", version="1").pipe(cached)
    async with TestEngine(quick) as engine:
        assert await engine.run(quick, "b1") == "b1 from the cache"
        assert CALLS == []


async def test_a_plain_check_and_one_without_an_end_work_too() -> None:
    def plain(ctx: Context, left: int) -> Pending[int] | str:
        return Pending(left - 1) if left else f"{ctx.run_input} is ready"

    @stage(poll=plain)
    def begin(ctx: Context, name: str) -> Pending[int]:
        return Pending(3)

    slow = Workflow("slow", version="1").pipe(begin)
    async with TestEngine(slow) as engine:
        began = engine.clock.now()
        assert await engine.run(slow, "b1") == "b1 is ready"
        assert timedelta(minutes=4) <= engine.clock.now() - began < timedelta(minutes=5)


async def test_a_stage_that_is_never_ready_fails_at_its_end_after_a_last_check() -> None:
    def never(ctx: Context, state: int) -> Pending[int] | str:
        CALLS.append("check")
        return Pending(state)

    @stage(poll=never)
    def begin(ctx: Context) -> Pending[int]:
        return Pending(1, every=40 * SECONDS, until=engine.clock.now() + 100 * SECONDS)

    endless = Workflow("endless", version="1").pipe(begin)
    async with TestEngine(endless) as engine:
        run = await engine.start(endless, None)
        ended = await engine.ended(run)
        assert ended.failure is not None
        assert (ended.failure.code, ended.failure.stage) == ("timed_out", "begin")
        assert "after 3 checks" in ended.failure.message
        assert ended.finished_at is not None
        assert ended.finished_at - ended.created_at < 101 * SECONDS


async def test_an_error_in_a_check_is_retried_by_the_stage_s_policy_and_the_state_stays() -> None:
    fails = [True, True, False, True, True]

    def flaky(ctx: Context, state: str) -> Pending[str] | str:
        CALLS.append(f"{state} {ctx.attempt}")
        if fails.pop(0):
            raise ConnectionError("provider away")
        return Pending(state + "!")

    @stage(poll=flaky, retry=Retry(max_attempts=3, initial=SECONDS))
    def begin(ctx: Context) -> Pending[str]:
        return Pending("s")

    away = Workflow("away", version="1").pipe(begin)
    async with TestEngine(away) as engine:
        fails.append(True)
        run = await engine.start(away, None)
        ended = await engine.ended(run)
        assert CALLS == ["s 1", "s 2", "s 3", "s! 1", "s! 2", "s! 3"]
        assert ended.failure is not None
        assert ended.failure.type == "ConnectionError"
        assert len(await engine.parts.store.attempts(run.id)) == 4


async def test_a_cancel_ends_what_waits_at_once() -> None:
    async with TestEngine(flow) as engine:
        run = await engine.start(flow, "b1")
        await engine.settle()
        assert await run.cancel() is RunStatus.CANCELLED
        await engine.advance(HOUR)
        assert CALLS == ["submit b1"]


async def test_a_signal_makes_the_next_check_due_at_once() -> None:
    async with TestEngine(flow) as engine:
        run = await engine.start(flow, "b1")
        await engine.settle()
        await run.signal("ready")
        await engine.settle()
        assert CALLS == ["submit b1", "check b1"]


async def test_the_stage_is_told_as_begun_suspended_and_completed_once() -> None:
    async with TestEngine(flow) as engine:
        await engine.run(flow, "b1")
        kinds = [event.type for event in engine.events if '"submit"' in event.data]
        assert kinds == ["stage.started", "stage.suspended", "stage.completed"]


async def test_a_large_state_lies_in_the_blob_store_and_comes_back() -> None:
    large = "x" * 100_000

    def grown(ctx: Context, state: str) -> Pending[str] | int:
        return len(state) if len(state) > len(large) else Pending(state + "y")

    @stage(poll=grown)
    def begin(ctx: Context) -> Pending[str]:
        return Pending(large)

    growing = Workflow("growing", version="1").pipe(begin)
    async with TestEngine(growing) as engine:
        run = await engine.start(growing, None)
        await engine.settle()
        (job,) = await engine.parts.store.jobs(run.id)
        assert job.polling is not None
        assert job.polling.state.startswith("@")
        assert await engine.finish(run) == len(large) + 1


async def test_a_state_that_its_check_cannot_take_fails_the_stage_where_it_is_produced() -> None:
    def typed(ctx: Context, state: int) -> Pending[int] | str:
        return "ready"

    untyped: Any = "no number"

    @stage(poll=typed)
    def begin(ctx: Context) -> Pending[int]:
        return Pending(untyped)

    wrong = Workflow("wrong", version="1").pipe(begin)
    async with TestEngine(wrong) as engine:
        with pytest.raises(RunFailedError, match=r"invalid_output.*state of stage begin"):
            await engine.run(wrong, None)


async def test_new_code_without_the_check_says_what_is_missing() -> None:
    @stage(id="submit")
    async def changed(ctx: Context, name: str) -> str:
        return name

    newer = Workflow("batches", version="1").pipe(changed).pipe(shout)
    assert newer.plan.fingerprint == flow.plan.fingerprint
    async with TestEngine(flow) as engine:
        run = await engine.start(flow, "b1")
        await engine.settle()
        deployed = ServerlessHost(engine.parts, WorkflowRegistry([newer], engine.parts.codec))
        engine.clock.advance(HOUR)
        await deployed.process_available_jobs(10)
        deployed.close()
        failed = await run.describe()
        assert failed.failure is not None
        assert "bring back poll=" in failed.failure.message


async def test_an_until_is_a_moment_of_the_world_not_of_the_process() -> None:
    late = datetime(2020, 1, 1, tzinfo=UTC)

    @stage(poll=check)
    def begin(ctx: Context) -> Pending[Batch]:
        return Pending(Batch("b", 1), until=late)

    past = Workflow("past", version="1").pipe(begin)
    async with TestEngine(past) as engine:
        with pytest.raises(RunFailedError, match="timed_out"):
            await engine.run(past, None)


async def collect(ctx: Context, batch: Batch) -> Pending[Batch] | str:
    await ctx.artifact("part.txt", b"so far")
    return "done" if batch.seen else Pending(attrs.evolve(batch, seen=1))


@stage(poll=collect)
async def hand_in(ctx: Context, seen: int) -> Pending[Batch]:
    return Pending(Batch("b", 0, seen=seen), every=SECONDS)


async def test_what_a_call_leaves_beside_pending_is_refused_and_beside_an_output_it_is_kept() -> None:
    flow = Workflow("collecting", version="1").pipe(hand_in)
    async with TestEngine(flow) as engine:
        run = await engine.start(flow, 1)
        await engine.finish(run)
        assert [one.name for one in await run.artifacts()] == ["part.txt"]
        with pytest.raises(RunFailedError, match=r"'part\.txt': leave them in the check"):
            await engine.run(flow, 0)
