"""An idle worker wakes at the moment its own process put a job off to, not at the safety poll after it."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from mainspring import Context, Mainspring, Retry, Workflow, stage

BACK_OFF = timedelta(milliseconds=100)
SAFETY_POLL = 3.75
"""The default's least, in seconds: what a worker that overslept would have waited for, twice."""


@stage(retry=Retry(max_attempts=3, initial=BACK_OFF, maximum=BACK_OFF, jitter=0.0))
async def third_time_lucky(ctx: Context) -> int:
    if ctx.attempt < 3:
        msg = "not yet"
        raise ValueError(msg)
    return ctx.attempt


@stage
async def prompt(ctx: Context) -> int:
    return ctx.attempt


lucky = Workflow("lucky", version="1").pipe(third_time_lucky)
later = Workflow("later", version="1").pipe(prompt)


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"


async def test_a_retry_begins_when_its_back_off_is_over(url: str) -> None:
    async with Mainspring(url, workflows=[lucky]) as engine:
        began = asyncio.get_running_loop().time()
        assert await engine.run(lucky, None, timeout=30) == 3
        assert asyncio.get_running_loop().time() - began < SAFETY_POLL


async def test_a_run_for_later_begins_at_its_moment(url: str) -> None:
    async with Mainspring(url, workflows=[later]) as engine:
        began = asyncio.get_running_loop().time()
        run = await engine.start(later, None, start_at=await engine.parts.store.now() + BACK_OFF)
        assert await run.result(30) == 1
        assert asyncio.get_running_loop().time() - began < SAFETY_POLL
