"""The test engine: virtual time over memory adapters."""

from datetime import timedelta

import pytest

from mainspring import Context, NonRetryable, Retry, Workflow, stage, workflow
from mainspring.errors import RunFailedError
from mainspring.testing import TestEngine


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@stage(retry=Retry(max_attempts=4, initial=timedelta(hours=1), maximum=timedelta(hours=9)))
async def flaky(ctx: Context, value: int) -> int:
    if ctx.attempt < 3:
        raise ValueError("not yet")
    return value + ctx.attempt


@stage
async def refuses(ctx: Context, value: int) -> int:
    raise NonRetryable("never")


async def test_a_workflow_is_tested_in_three_lines() -> None:
    async with TestEngine(hello) as engine:
        assert await engine.run(hello, "Ada") == "hello Ada"


async def test_hours_of_back_off_take_no_time() -> None:
    patient = Workflow("patient", version="1").pipe(flaky)
    async with TestEngine(patient) as engine:
        before = engine.clock.now()
        assert await engine.run(patient, 1) == 4
        assert engine.clock.now() > before
        assert [event.type for event in engine.events].count("stage.retrying") == 2


async def test_a_start_next_week_begins_then() -> None:
    async with TestEngine(hello) as engine:
        start_at = engine.clock.now() + timedelta(days=7)
        run = await engine.start(hello, "Ada", start_at=start_at)
        await engine.advance(timedelta(days=6))
        assert await run.status() == "pending"
        await engine.advance(timedelta(days=2))
        assert (await run.describe()).started_at is not None
        assert await run.result() == "hello Ada"


async def test_a_non_retryable_failure_ends_the_run_at_once() -> None:
    refusing = Workflow("refusing", version="1").pipe(refuses)
    async with TestEngine(refusing) as engine:
        run = await engine.start(refusing, 1)
        with pytest.raises(RunFailedError, match="never"):
            await engine.finish(run)
        types = [event.type for event in engine.events]
        assert types == ["run.created", "run.started", "stage.started", "stage.failed", "run.failed"]
        assert [event.seq for event in engine.events] == [1, 2, 3, 4, 5]
