"""Whole workflows through the public API, on every deployment."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mainspring import RunHandle, RunStatus, Workflow, results
from mainspring.errors import (
    ConflictError,
    FinishedError,
    InvalidValueError,
    NotFoundError,
    RunCancelledError,
    RunFailedError,
)
from tests.acceptance import workflows as w
from tests.acceptance.conftest import Engines

SOON = 20.0


async def failure_of(run: RunHandle[Any]) -> RunFailedError:
    """How the run failed."""
    with pytest.raises(RunFailedError) as caught:
        await run.result(SOON)
    return caught.value


async def until(run: RunHandle[Any], status: RunStatus) -> None:
    """Wait until the run stands at a status that no waiting method tells of."""
    async with asyncio.timeout(SOON):
        while await run.status() is not status:
            await asyncio.sleep(0.01)


async def test_a_graph_with_a_parallel_group_joins(engine_with: Engines) -> None:
    async with engine_with(w.averaging) as engine:
        assert await engine.run(w.averaging, w.Order("a", [1, 2, 6]), timeout=SOON) == 3.0


async def test_a_map_runs_one_instance_per_element_and_keeps_their_order(engine_with: Engines) -> None:
    async with engine_with(w.mapping, w.mapped_last, w.mapped_twice) as engine:
        order = w.Order("a", list(range(12)))
        assert await engine.run(w.mapping, order, timeout=SOON) == 132
        assert await engine.run(w.mapped_last, order, timeout=SOON) == list(range(0, 24, 2))
        assert await engine.run(w.mapped_twice, order, timeout=SOON) == 264


async def test_a_map_over_an_empty_list_joins_at_once(engine_with: Engines) -> None:
    async with engine_with(w.mapping, w.mapped_last, w.mapped_twice) as engine:
        empty = w.Order("a", [])
        assert await engine.run(w.mapping, empty, timeout=SOON) == 0
        assert await engine.run(w.mapped_last, empty, timeout=SOON) == []
        assert await engine.run(w.mapped_twice, empty, timeout=SOON) == 0


async def test_several_last_stages_give_a_mapping(engine_with: Engines) -> None:
    async with engine_with(w.two_ends) as engine:
        run = await engine.start(w.two_ends, w.Order("a", [4, 5]))
        assert dict(await run.result(SOON)) == {"total": 9, "count": 2}


async def test_a_map_can_come_first(engine_with: Engines) -> None:
    first = Workflow("map-first", version="1").map(w.double).pipe(w.total)
    async with engine_with(first) as engine:
        assert await engine.run(first, [1, 2, 3], timeout=SOON) == 12
        assert await engine.run(first, list[int](), timeout=SOON) == 0


@pytest.mark.promise(3)
async def test_a_failing_stage_is_tried_again_and_its_tries_are_kept(engine_with: Engines) -> None:
    flow = Workflow("flaky", version="1").pipe(w.fails_twice)
    async with engine_with(flow) as engine:
        run = await engine.start(flow, 4)
        assert await run.result(SOON) == 7
        tries = await engine.parts.store.attempts(run.id)
        assert [one.attempt for one in tries] == [1, 2]
        assert tries[0].failure is not None
        assert tries[0].failure.message == "attempt 1"


async def test_a_run_fails_with_its_stage_after_the_last_try(engine_with: Engines) -> None:
    flow = Workflow("failing", version="1").pipe(w.always_fails)
    async with engine_with(flow) as engine:
        error = await failure_of(await engine.start(flow, 1))
        assert error.failure is not None
        assert (error.failure.code, error.failure.type, error.failure.stage) == (
            "failed",
            "LookupError",
            "always_fails",
        )
        assert "hunter2" not in str(error)
        assert "hunter2" not in (error.failure.traceback or "")


async def test_a_non_retryable_failure_is_not_tried_again(engine_with: Engines) -> None:
    flow = Workflow("refusing", version="1").pipe(w.refuses)
    async with engine_with(flow) as engine:
        run = await engine.start(flow, 1)
        await failure_of(run)
        assert await engine.parts.store.attempts(run.id) == []


@pytest.mark.parametrize("kind", range(7))
async def test_nothing_a_body_raises_stops_the_host(engine_with: Engines, kind: int) -> None:
    flow = Workflow("exits", version="1").pipe(w.exits)
    async with engine_with(flow, w.hello) as engine:
        error = await failure_of(await engine.start(flow, kind))
        assert error.failure is not None
        assert error.failure.code == "failed"
        assert await engine.run(w.hello, "still here", timeout=SOON) == "hello still here"


async def test_a_thread_that_calls_exit_fails_its_stage_only(engine_with: Engines) -> None:
    flow = Workflow("exits", version="1").pipe(w.exits_in_thread)
    async with engine_with(flow, w.hello) as engine:
        error = await failure_of(await engine.start(flow, 1))
        assert error.failure is not None
        assert error.failure.type == "SystemExit"


@pytest.mark.fault(19)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a coroutine that ignores its closing
@pytest.mark.parametrize("body", [w.never_ends, w.swallows, w.stuck_thread], ids=lambda body: body.id)
async def test_a_time_out_ends_any_body(engine_with: Engines, body: Any) -> None:
    flow = Workflow("endless", version="1").pipe(body)
    async with engine_with(flow, w.hello) as engine:
        error = await failure_of(await engine.start(flow, 1))
        assert error.failure is not None
        assert error.failure.code == "timed_out"
        assert await engine.run(w.hello, "x", timeout=SOON) == "hello x"


@pytest.mark.fault(90)
@pytest.mark.parametrize("body", [w.waits_for_cancel, w.waits_in_thread], ids=lambda body: body.id)
async def test_cancelling_ends_a_body_under_way(engine_with: Engines, body: Any) -> None:
    flow = Workflow("waiting", version="1").pipe(body)
    async with engine_with(flow) as engine:
        run = await engine.start(flow, 1)
        await until(run, RunStatus.RUNNING)
        assert await run.cancel("enough") is RunStatus.CANCELLING
        with pytest.raises(RunCancelledError, match="enough"):
            await run.result(SOON)
        assert await run.cancel() is RunStatus.CANCELLED
        assert await engine.parts.store.jobs(run.id) == []


async def test_a_run_that_has_not_begun_is_cancelled_at_once(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        later = engine.parts.clock.now() + timedelta(hours=1)
        run = await engine.start(w.hello, "x", start_at=later)
        assert await run.cancel() is RunStatus.CANCELLED


@pytest.mark.promise(2)
async def test_a_finished_run_takes_neither_cancel_nor_signal(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        run = await engine.start(w.hello, "x")
        await run.result(SOON)
        with pytest.raises(FinishedError, match=run.id):
            await run.cancel()
        with pytest.raises(FinishedError, match=run.id):
            await run.signal("go")


@pytest.mark.fault(78, 79)
@pytest.mark.parametrize("body", [w.not_a_number, w.wrong_type], ids=lambda body: body.id)
async def test_a_result_that_does_not_fit_fails_the_stage_without_retry(engine_with: Engines, body: Any) -> None:
    flow = Workflow("bad-output", version="1").pipe(body)
    async with engine_with(flow) as engine:
        run = await engine.start(flow, 1)
        error = await failure_of(run)
        assert error.failure is not None
        assert error.failure.code == "invalid_output"
        assert body.id in error.failure.message
        assert await engine.parts.store.attempts(run.id) == []


@pytest.mark.fault(77)
async def test_large_payloads_go_through_the_blob_store(engine_with: Engines) -> None:
    async with engine_with(w.large_payloads) as engine:
        run = await engine.start(w.large_payloads, 300_000)
        assert await run.result(SOON) == 300_000
        keys = [key async for key in engine.parts.blobs.list()]
        assert [key.split("/")[0] for key in keys] == [run.id]


@pytest.mark.fault(77)
async def test_an_oversized_result_is_refused(engine_with: Engines) -> None:
    async with engine_with(w.large_payloads) as engine:
        error = await failure_of(await engine.start(w.large_payloads, 17 * 1024 * 1024))
        assert error.failure is not None
        assert error.failure.code == "invalid_output"


async def test_a_config_is_validated_and_its_defaults_are_kept(engine_with: Engines) -> None:
    async with engine_with(w.configured) as engine:
        run = await engine.start(w.configured, [1, 5, 50], config={"filtered": {"most": 10}})
        assert await run.result(SOON) == [5]
        plain = await engine.start(w.configured, [1, 5, 500])
        assert await plain.result(SOON) == [5]
        with pytest.raises(InvalidValueError) as caught:
            await engine.start(w.configured, [1], config={"filtered": {"most": "x"}, "other": {}})
        paths = [problem.path for problem in caught.value.problems]
        assert paths == ["$.other", "$.filtered.most"]


async def test_wrong_input_writes_nothing_and_frees_its_key(engine_with: Engines) -> None:
    async with engine_with(w.averaging) as engine:
        wrong: Any = {"id": 7, "amounts": ["x", 1]}
        with pytest.raises(InvalidValueError) as caught:
            await engine.start(w.averaging, wrong, key="k")
        assert [problem.path for problem in caught.value.problems] == ["$.id", "$.amounts[0]"]
        assert (await engine.runs()).runs == ()
        run = await engine.start(w.averaging, w.Order("a", [2]), key="k")
        assert run.created


@pytest.mark.promise(8)
@pytest.mark.fault(14, 93)
async def test_a_key_starts_one_run(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        runs = await asyncio.gather(*(engine.start(w.hello, "x", key="k") for _ in range(20)))
        assert len({run.id for run in runs}) == 1
        assert [run.created for run in runs].count(True) == 1
        with pytest.raises(ConflictError, match="'k'"):
            await engine.start(w.hello, "y", key="k")
        assert await runs[0].result(SOON) == "hello x"


async def test_an_unknown_workflow_is_named(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        with pytest.raises(NotFoundError, match=r"nobody.*hello@1"):
            await engine.start("nobody", 1)
        with pytest.raises(NotFoundError, match="no run"):
            await engine.handle("01900000-0000-7000-8000-000000000000").result(5)


@pytest.mark.promise(9)
async def test_a_signal_is_kept_and_recognised(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        run = await engine.start(w.hello, "x", start_at=engine.parts.clock.now() + timedelta(hours=1))
        assert await run.signal("go", {"n": 1}, id="s-1")
        assert not await run.signal("go", {"n": 1}, id="s-1")
        with pytest.raises(ConflictError):
            await run.signal("go", {"n": 2}, id="s-1")
        assert [signal.name for signal in await engine.parts.store.inbox(run.id)] == ["go"]


async def test_a_run_past_its_deadline_fails_as_timed_out(engine_with: Engines) -> None:
    flow = Workflow("waiting", version="1").pipe(w.waits_for_cancel)
    async with engine_with(flow) as engine:
        run = await engine.start(flow, 1, timeout=timedelta(seconds=0.4))
        error = await failure_of(run)
        assert error.failure is not None
        assert error.failure.code == "timed_out"


async def test_runs_are_listed_in_pages_newest_first(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        handles = await engine.start_many(w.hello, [str(n) for n in range(7)], tags=["t"])
        await asyncio.gather(*(handle.result(SOON) for handle in handles))
        seen: list[str] = []
        before = None
        while True:
            page = await engine.runs(tag="t", status=RunStatus.COMPLETED, limit=3, before=before)
            seen += [run.id for run in page.runs]
            if page.next is None:
                break
            before = page.next
        assert seen == sorted((handle.id for handle in handles), reverse=True)
        assert (await engine.runs(tag="other")).runs == ()


async def test_priorities_go_first(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        run = await engine.start(w.hello, "x", priority=8)
        assert (await run.describe()).priority == 8
        with pytest.raises(InvalidValueError, match="priority"):
            await engine.start(w.hello, "x", priority=100_000)


async def test_a_result_that_is_waited_for_too_briefly_leaves_the_run_alone(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        run = await engine.start(w.hello, "x", start_at=engine.parts.clock.now() + timedelta(seconds=0.5))
        with pytest.raises(TimeoutError, match="still pending"):
            await run.result(0.05)
        assert await run.result(SOON) == "hello x"


async def test_the_end_of_a_run_is_heard_of_without_polling(
    engine_with: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine_with(w.hello) as engine:
        later = await engine.start(w.hello, "x", start_at=engine.parts.clock.now() + timedelta(hours=1))
        waiting = asyncio.ensure_future(later.result())
        await engine.run(w.hello, "the first one opens whatever hints come by", timeout=SOON)
        monkeypatch.setattr(results, "SAFETY_POLL", timedelta(hours=1))
        async with asyncio.timeout(SOON):
            for name in ("a", "b", "c"):  # though another run is waited for already
                assert await engine.run(w.hello, name) == f"hello {name}"
        waiting.cancel()


async def test_wrong_options_are_all_told(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        wrong: Any = {"timeout": 30, "tags": 5, "start_at": "tomorrow", "priority": 1.5, "key": ""}
        with pytest.raises(InvalidValueError) as caught:
            await engine.start(w.hello, "x", **wrong)
        paths = {problem.path for problem in caught.value.problems}
        assert paths == {"$.timeout", "$.tags", "$.start_at", "$.priority", "$.key"}


async def test_of_many_starts_one_wrong_input_starts_none(engine_with: Engines) -> None:
    async with engine_with(w.averaging) as engine:
        inputs: list[Any] = [w.Order("a", [1])] * 600 + [{"id": 1, "amounts": []}]
        with pytest.raises(InvalidValueError) as caught:
            await engine.start_many(w.averaging, inputs)
        assert [problem.path for problem in caught.value.problems] == ["$[600].id"]
        assert (await engine.runs()).runs == ()


@pytest.mark.promise(8)
async def test_a_key_answers_the_same_request_after_a_deploy(engine_with: Engines) -> None:
    newer = Workflow("configured", version="2").pipe(w.filtered)
    async with engine_with(w.configured, newer) as engine:
        first = await engine.start(w.configured, [1, 5], key="k")
        again = await engine.start(newer, [1, 5], key="k")
        assert (again.id, again.created) == (first.id, False)


async def test_texts_that_no_terminal_or_store_should_take_are_refused(engine_with: Engines) -> None:
    async with engine_with(w.hello) as engine:
        run = await engine.start(w.hello, "x", start_at=engine.parts.clock.now() + timedelta(hours=1))
        for text in ("", "a\x00b", "x" * 1000, "\ud800"):
            with pytest.raises(InvalidValueError):
                await run.signal(text)
            with pytest.raises(InvalidValueError):
                await run.cancel(text)
