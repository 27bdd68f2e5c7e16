"""The engine's life: opening, closing, and a worker that dies in it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mainspring import Context, Mainspring, workflow
from mainspring.errors import SettingsError, UnavailableError
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.chores import Chores
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import WorkerDiedError

SOON = 10.0


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@workflow(version="1")
async def nothing_needed(ctx: Context) -> int:
    return 7


@workflow(version="1")
async def endless(ctx: Context, name: str) -> str:
    await asyncio.Event().wait()
    return name


async def test_a_workflow_without_input_starts_without_one() -> None:
    async with Mainspring("memory://", workflows=[nothing_needed]) as engine:
        assert await engine.run(nothing_needed, timeout=SOON) == 7
        assert await (await engine.start(nothing_needed)).result(SOON) == 7


async def test_an_engine_that_is_not_open_says_how_to_open_it() -> None:
    with pytest.raises(UnavailableError, match="async with"):
        await Mainspring("memory://", workflows=[hello]).start(hello, "x")


@pytest.mark.fault(105)
async def test_an_engine_opens_once() -> None:
    engine = Mainspring("memory://", workflows=[hello])
    async with engine:
        with pytest.raises(SettingsError, match="open already"):
            await engine.__aenter__()


async def test_closing_twice_is_harmless() -> None:
    engine = Mainspring("memory://", workflows=[hello])
    async with engine:
        await engine.close()
    await engine.close()


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/store.db"])
async def test_who_waits_when_the_engine_closes_is_told(url: str, tmp_path: Any) -> None:
    engine = Mainspring(url.format(tmp_path), workflows=[endless], worker=False)
    async with engine:
        run = await engine.start(endless, "x")
        waiting = asyncio.ensure_future(run.result())
        await asyncio.sleep(0.05)
    with pytest.raises(UnavailableError, match="closed"):
        await asyncio.wait_for(waiting, SOON)
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(run.result(), SOON)


@pytest.mark.fault(105)
async def test_a_worker_that_dies_is_told_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(self: Chores) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Chores, "upkeep_loop", dies)
    brief = WorkerSettings(timing=Timing(shutdown_grace=timedelta(0), cancel_grace=timedelta(seconds=0.1)))
    engine = Mainspring("memory://", workflows=[endless], settings=brief)
    with pytest.raises(WorkerDiedError, match="upkeep"):
        await _ask_the_dead(engine)


async def _ask_the_dead(engine: Mainspring) -> None:
    async with engine:
        with pytest.raises(UnavailableError, match="worker in this process died"):
            await (await engine.start(endless, "x")).result(SOON)
        with pytest.raises(UnavailableError, match="worker in this process died"):
            await engine.start(endless, "x")


async def _fail_inside(engine: Mainspring) -> None:
    async with engine:
        await asyncio.sleep(0.01)
        raise KeyError("the caller's")


async def test_the_caller_s_own_error_outweighs_a_dead_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(self: Chores) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Chores, "upkeep_loop", dies)
    with pytest.raises(KeyError):
        await _fail_inside(Mainspring("memory://", workflows=[endless]))


async def test_arguments_that_contradict_each_other_are_refused() -> None:
    async with Mainspring("memory://", workflows=[hello]) as engine:
        parts = engine.parts
    with pytest.raises(SettingsError, match="parts="):
        Mainspring("memory://", parts=parts)
    with pytest.raises(SettingsError, match="concurrency="):
        Mainspring("memory://", settings=WorkerSettings(), concurrency=3)


@pytest.mark.fault(105)
async def test_a_loop_that_ends_cancelled_is_a_dead_worker_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(self: Chores) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(Chores, "upkeep_loop", dies)
    brief = WorkerSettings(timing=Timing(shutdown_grace=timedelta(0), cancel_grace=timedelta(seconds=0.1)))
    with pytest.raises(WorkerDiedError, match="upkeep"):
        await _ask_the_dead(Mainspring("memory://", workflows=[endless], settings=brief))


async def test_a_cancelled_close_leaves_no_body_behind() -> None:
    before = asyncio.all_tasks()
    engine = Mainspring("memory://", workflows=[endless])
    async with engine:
        run = await engine.start(endless, "x")
        async with asyncio.timeout(SOON):
            while not (await engine.parts.store.jobs(run.id))[0].lease_id:
                await asyncio.sleep(0.005)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await engine.close()
    assert asyncio.all_tasks() == before
