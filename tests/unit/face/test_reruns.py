"""Beginning a run anew: what is made again, what is taken over, what is refused."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mainspring import Context, Retry, RunStatus, Workflow, stage
from mainspring.client import Client
from mainspring.errors import ConflictError, NotFoundError, UnfinishedError
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.serverless.host import ServerlessHost
from mainspring.hosts.upkeep.collector import Collector
from mainspring.hosts.upkeep.sweeper import Sweeper
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.codec import Limits
from mainspring.ports.records import RunFilter
from mainspring.testing import TestEngine

ONCE = Retry(max_attempts=1)
CALLS: list[str] = []
BROKEN: set[str] = set()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    CALLS.clear()
    BROKEN.clear()
    yield
    BROKEN.clear()


def called(name: str) -> None:
    CALLS.append(name)
    if name in BROKEN:
        raise ValueError(f"{name} has a bug")


@stage
async def split(ctx: Context, text: str) -> list[str]:
    called("split")
    return text.split()


@stage(retry=ONCE)
async def length(ctx: Context, word: str) -> int:
    called(f"length {word}")
    return len(word)


@stage(retry=ONCE)
async def count(ctx: Context, words: list[str]) -> int:
    called("count")
    return len(words)


@stage(retry=ONCE)
async def total(ctx: Context, lengths: list[int]) -> int:
    called("total")
    return sum(lengths)


flow = (
    Workflow("words", version="1")
    .pipe(split)
    .add(length, after=split, mapped=True, max_parallel=2)
    .add(count, after=split)
    .add(total, after=length)
)


class Deployed:
    """Other code on the same store."""

    def __init__(self, engine: TestEngine, *workflows: Workflow[Any, Any]) -> None:
        parts = engine.parts
        registry = WorkflowRegistry(workflows, parts.codec)
        self.client = Client(parts, registry, Dispatcher(parts.store, parts.clock, parts.ids))
        self.host = ServerlessHost(parts, registry)


@pytest.mark.fault(84)
async def test_once_the_bug_is_mended_a_rerun_goes_on_from_the_stage_that_failed() -> None:
    async with TestEngine(flow) as engine:
        BROKEN.add("total")
        failed = await engine.start(flow, "a bb ccc", tags=["books"], key="k")
        before = await engine.ended(failed)
        assert before.status is RunStatus.FAILED
        CALLS.clear()
        BROKEN.clear()
        again = await failed.rerun()
        assert dict(await engine.finish(again)) == {"count": 3, "total": 6}
        assert CALLS == ["total"]
        assert await failed.describe() == before, "the old run stays as it ended"
        run = await again.describe()
        assert (run.rerun_of, run.rerun_from, run.tags, run.key) == (failed.id, "total", ("books",), None)


async def test_instances_of_a_map_that_failed_are_all_made_again_with_their_elements() -> None:
    async with TestEngine(flow) as engine:
        BROKEN.add("length bb")
        failed = await engine.start(flow, "a bb ccc")
        await engine.ended(failed)
        CALLS.clear()
        BROKEN.clear()
        assert dict(await engine.finish(await failed.rerun(length))) == {"count": 3, "total": 6}
        assert sorted(CALLS) in (
            ["length a", "length bb", "length ccc", "total"],
            ["count", "length a", "length bb", "length ccc", "total"],
        )


async def test_a_completed_run_may_be_begun_anew_from_any_stage_and_from_its_first() -> None:
    async with TestEngine(flow) as engine:
        done = await engine.start(flow, "a bb")
        await engine.finish(done)
        CALLS.clear()
        assert dict(await engine.finish(await done.rerun("count"))) == {"count": 2, "total": 3}
        assert CALLS == ["count"]
        CALLS.clear()
        await engine.finish(await done.rerun(split))
        assert CALLS[0] == "split"
        assert len(CALLS) == 5
        with pytest.raises(UnfinishedError, match="name the one to begin with"):
            await done.rerun()


async def test_a_workflow_that_begins_with_a_map_is_begun_anew_with_its_input_taken_apart() -> None:
    first = Workflow("first", version="1").map(length).pipe(total)
    async with TestEngine(first) as engine:
        done = await engine.start(first, ["a", "bb"])
        await engine.finish(done)
        assert await engine.finish(await done.rerun(length)) == 3


async def test_a_rerun_of_a_rerun_takes_over_what_that_one_took_over() -> None:
    async with TestEngine(flow) as engine:
        BROKEN.update({"total"})
        first = await engine.start(flow, "a bb")
        await engine.ended(first)
        second = await first.rerun()
        await engine.ended(second)
        BROKEN.clear()
        CALLS.clear()
        assert dict(await engine.finish(await second.rerun())) == {"count": 2, "total": 3}
        assert CALLS == ["total"]


async def test_the_same_key_begins_one_run_and_another_wish_under_it_is_a_conflict() -> None:
    async with TestEngine(flow) as engine:
        BROKEN.add("length a")
        failed = await engine.start(flow, "a", key="start")
        await engine.ended(failed)
        first = await failed.rerun(key="again")
        same = await failed.rerun(key="again")
        assert (first.created, same.created, same.id) == (True, False, first.id)
        with pytest.raises(ConflictError, match="another key"):
            await failed.rerun(split, key="again")
        with pytest.raises(ConflictError, match="another key"):
            await failed.rerun(total, key="again")
        with pytest.raises(ConflictError, match="belongs to run"):
            await failed.rerun(key="start")


@pytest.mark.fault(85)
async def test_an_active_run_is_refused_with_what_it_is_doing() -> None:
    async with TestEngine(flow) as engine:
        run = await engine.start(flow, "a", start_at=engine.clock.now() + timedelta(days=1))
        with pytest.raises(UnfinishedError, match=r"is pending \(split\[0\] is scheduled\)"):
            await run.rerun()


async def test_what_there_is_not_is_refused() -> None:
    async with TestEngine(flow) as engine:
        with pytest.raises(NotFoundError, match="no run"):
            await engine.client.handle("019a0000-0000-7000-8000-000000000001").rerun()
        BROKEN.add("length a")
        failed = await engine.start(flow, "a")
        await engine.ended(failed)
        with pytest.raises(NotFoundError, match="no stage 'nothing'"):
            await failed.rerun("nothing")
        with pytest.raises(UnfinishedError, match="before it 'length' never completed"):
            await failed.rerun(total)


async def test_only_another_version_of_the_workflow_goes_on_with_what_it_still_has() -> None:
    newer = Workflow("words", version="2").pipe(split).map(length).pipe(total)
    async with TestEngine(flow) as engine:
        BROKEN.add("total")
        failed = await engine.start(flow, "a bb")
        await engine.ended(failed)
        BROKEN.clear()
        deployed = Deployed(engine, newer)
        again = await deployed.client.handle(failed.id).rerun()
        await deployed.host.process_available_jobs(10)
        assert await again.result() == 3
        assert (await again.describe()).version == "2"


async def test_a_workflow_that_is_not_known_here_is_refused() -> None:
    async with TestEngine(flow) as engine:
        done = await engine.start(flow, "a")
        await engine.finish(done)
        with pytest.raises(NotFoundError, match="unknown workflow 'words'"):
            await Deployed(engine).client.handle(done.id).rerun(split)


async def test_large_outputs_are_shared_and_kept_until_the_last_who_names_them_is_gone() -> None:
    day = timedelta(days=1)
    async with TestEngine(flow, limits=Limits(inline=8)) as engine:
        BROKEN.add("total")
        failed = await engine.start(flow, "many words of some length")
        await engine.ended(failed)
        BROKEN.clear()
        await engine.advance(20 * day)
        again = await failed.rerun()
        parts = engine.parts
        sweeper = Sweeper(parts.store, parts.blobs, runs=30 * day, linger=timedelta(0))
        await engine.advance(15 * day)
        await sweeper.round()
        await Collector(parts.store, parts.blobs).round()
        assert dict(await again.result()) == {"count": 5, "total": 21}
        third = await again.rerun(count)
        assert dict(await engine.finish(third)) == {"count": 5, "total": 21}
        await engine.advance(31 * day)
        for _ in range(3):
            await sweeper.round()
        assert (await engine.client.runs(RunFilter())).runs == ()
        assert [key async for key in parts.blobs.list()] == []
