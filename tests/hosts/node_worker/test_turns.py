"""Whose turn it is: a run whose stages are handed over in place does not keep older jobs of other runs waiting."""

import asyncio
from datetime import timedelta

import pytest

from mainspring import Context, Stage, Workflow, stage
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.claiming import LOCAL_TURN
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker
from tests.hosts.parts import Bench, bench

SOON = 10.0
LENGTH = 6


class Course:
    """What bodies were called, in order, and what the first of a chain does while its slot is taken."""

    def __init__(self, world: Bench, *, passes: timedelta) -> None:
        self.world = world
        self.passes = passes
        self.called: list[str] = []
        self.tokens: set[int] = set()
        self.loop = asyncio.get_running_loop()
        self._awake, self._passed = self.loop.time, 0.0

    def time(self) -> float:
        return self._awake() + self._passed

    async def link(self, ctx: Context) -> None:
        """One stage of a chain. At the first one another run becomes due, and time passes."""
        self.called.append("chain")
        self.tokens.add(ctx.fencing_token)
        if len(self.called) == 1:
            await self.world.start(other, "x")
            self._passed += self.passes.total_seconds()


course: Course


@stage
async def comes(ctx: Context, name: str) -> str:
    course.called.append("other")
    return name


other = Workflow("other", version="1").pipe(comes)


def link(number: int) -> Stage[str, str]:
    """One of the stages in line."""

    @stage(id=f"link-{number}")
    async def body(ctx: Context, name: str) -> str:
        await course.link(ctx)
        return name

    return body


def chain() -> Workflow[str, str]:
    """A workflow of many stages in line."""
    flow = Workflow("chain", version="1").pipe(link(0))
    for number in range(1, LENGTH):
        flow = flow.pipe(link(number))
    return flow


async def run_through(monkeypatch: pytest.MonkeyPatch, *, concurrency: int, passes: timedelta) -> Course:
    """A chain on a worker with so many slots; another run becomes due during its first stage."""
    global course  # noqa: PLW0603  bodies are module functions; each test has a loop of its own
    long = chain()
    world = bench(long, other)
    course = Course(world, passes=passes)
    monkeypatch.setattr(course.loop, "time", course.time)
    timing = Timing(safety_poll=timedelta(seconds=0.05))
    worker = Worker(world.parts, world.registry, WorkerSettings(concurrency=concurrency, timing=timing))
    handle = await world.start(long, "x")
    running = course.loop.create_task(worker.run())
    try:
        async with asyncio.timeout(SOON + passes.total_seconds()):
            await handle.result()
            while "other" not in course.called:
                await asyncio.sleep(0)
    finally:
        worker.hurry()
        await running
    return course


async def test_when_its_turn_is_over_a_chain_lets_an_older_job_have_the_only_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = await run_through(monkeypatch, concurrency=1, passes=LOCAL_TURN * 1.1)
    assert seen.called[:3] == ["chain", "other", "chain"]


async def test_a_chain_keeps_its_slot_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = await run_through(monkeypatch, concurrency=1, passes=timedelta(0))
    assert seen.called == ["chain"] * LENGTH + ["other"]
    assert len(seen.tokens) == 1


async def test_a_chain_keeps_its_slot_while_another_one_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = await run_through(monkeypatch, concurrency=3, passes=LOCAL_TURN * 1.1)
    assert len(seen.tokens) == 1
