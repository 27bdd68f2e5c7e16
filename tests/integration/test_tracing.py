"""Spans of real runs: one trace from the caller's own span to the last commit, over two engines that share a file."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from mainspring import Context, Mainspring, Retry, Workflow, stage, workflow
from mainspring.adapters.opentelemetry.tracing import OpenTelemetryTracing
from mainspring.adapters.prometheus.metrics import PrometheusMetrics
from mainspring.errors import RunFailedError
from mainspring.hosts.execution.observers import together
from mainspring.ports.trace import trace_of, without_trace
from mainspring.wiring import open_parts

SOON = 20.0


class Spans:
    """One process' tracer, and the spans it has ended."""

    def __init__(self) -> None:
        self.memory = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.memory))
        self.tracer = provider.get_tracer("test")

    @property
    def all(self) -> list[ReadableSpan]:
        return list(self.memory.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


worker_spans = Spans()  # the bodies below make spans of their own in it


@stage
async def halves(ctx: Context, value: int) -> int:
    with worker_spans.tracer.start_as_current_span("in the body"):
        return value // 2


@stage
def in_a_thread(ctx: Context, value: int) -> int:
    with worker_spans.tracer.start_as_current_span("in the thread"):
        return value + 1


@attrs.frozen
class Style:
    loud: bool = False


@stage(retry=Retry(max_attempts=2, initial=timedelta(milliseconds=1)))
async def fails_once(ctx: Context[Style], value: int) -> bool:
    if ctx.attempt == 1:
        raise ValueError("later")
    return ctx.config.loud


@workflow(version="1", retry=Retry(max_attempts=2, initial=timedelta(milliseconds=1)))
async def fails(ctx: Context, value: int) -> int:
    raise ValueError("never")


chain = Workflow("chain", version="1").pipe(halves).pipe(in_a_thread)
flaky = Workflow("flaky", version="1").pipe(fails_once)
ALL: list[Workflow[Any, Any]] = [chain, flaky, fails]


def engine(url: str, spans: Spans | None, *, worker: bool) -> Mainspring:
    observer = None if spans is None else together(PrometheusMetrics(), OpenTelemetryTracing(spans.tracer))
    parts = attrs.evolve(open_parts(url), observer=observer)
    return Mainspring(parts=parts, workflows=ALL, worker=worker)


@pytest.fixture
def url(tmp_path: Path) -> str:
    worker_spans.memory.clear()
    return f"sqlite:///{tmp_path}/runs.db"


@pytest.fixture
async def worker(url: str) -> AsyncIterator[Mainspring]:
    async with engine(url, worker_spans, worker=True) as one:
        yield one


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return format_trace_id(span.context.trace_id), format_span_id(span.context.span_id)


def parent(span: ReadableSpan) -> tuple[str, str] | None:
    above = span.parent
    return None if above is None else (format_trace_id(above.trace_id), format_span_id(above.span_id))


async def test_a_run_is_one_trace_from_the_callers_span_to_its_commits(url: str, worker: Mainspring) -> None:
    here = Spans()
    async with engine(url, here, worker=False) as client:
        with here.tracer.start_as_current_span("request"):
            run = await client.start(chain, 10)
        assert await run.result(SOON) == 6
    await worker.close()
    start, there = here.one("start chain"), worker_spans
    assert parent(start) == ids(here.one("request"))
    first, second = there.one("stage chain/halves"), there.one("stage chain/in_a_thread")
    assert [parent(span) for span in (there.one("claim"), first, second)] == [ids(start)] * 3
    assert {parent(span) for span in there.named("commit")} == {ids(first), ids(second)}
    assert parent(there.one("in the body")) == ids(first)
    assert parent(there.one("in the thread")) == ids(second)
    assert len({ids(span)[0] for span in (*here.all, *there.all)}) == 1
    assert first.attributes is not None
    assert (first.attributes["mainspring.run"], first.attributes["mainspring.outcome"]) == (run.id, "completed")


async def test_retries_stay_in_the_trace_and_the_config_is_what_was_given(url: str, worker: Mainspring) -> None:
    here = Spans()
    async with engine(url, here, worker=False) as client:
        run = await client.start(flaky, 1, config={"fails_once": {"loud": True}})
        assert await run.result(SOON) is True
        record = await client.client.run(run.id)
    await worker.close()
    attempts = worker_spans.named("stage flaky/fails_once")
    assert [parent(span) for span in attempts] == [ids(here.one("start flaky"))] * 2
    assert [(span.attributes or {})["mainspring.outcome"] for span in attempts] == ["retrying", "completed"]
    assert without_trace(record.config) == '{"fails_once":{"loud":true}}'


async def test_what_failed_is_marked(url: str, worker: Mainspring) -> None:
    with pytest.raises(RunFailedError):
        await worker.run(fails, 1, timeout=SOON)
    await worker.close()
    attempts = worker_spans.named("stage fails/fails")
    assert [span.status.description for span in attempts] == ["retrying", "failed"]
    assert {span.status.status_code for span in attempts} == {StatusCode.ERROR}


async def test_the_same_start_in_another_trace_is_the_same_run(url: str) -> None:
    async with engine(url, Spans(), worker=False) as client:
        one = await client.start(flaky, 1, key="k", config={"fails_once": {"loud": True}})
        two = await client.start(flaky, 1, key="k", config={"fails_once": {"loud": True}})
        first = trace_of(await client.client.run(one.id))
    async with engine(url, None, worker=False) as untraced:
        three = await untraced.start(flaky, 1, key="k", config={"fails_once": {"loud": True}})
        assert one.id == two.id == three.id
        assert first is not None
        assert trace_of(await untraced.client.run(one.id)) == first


async def test_runs_started_together_share_the_trace_of_their_start(url: str, worker: Mainspring) -> None:
    here = Spans()
    async with engine(url, here, worker=False) as client:
        for run in await client.start_many(chain, range(3)):
            await run.result(SOON)
    await worker.close()
    assert {parent(span) for span in worker_spans.named("stage chain/halves")} == {ids(here.one("start chain"))}


async def test_attempts_of_a_run_without_a_trace_begin_their_own(url: str) -> None:
    with worker_spans.tracer.start_as_current_span("whoever opened the engine"):
        worker = engine(url, worker_spans, worker=True)
        await worker.__aenter__()
    async with engine(url, None, worker=False) as client:
        run = await client.start(chain, 10)
        assert await run.result(SOON) == 6
        assert (await client.client.run(run.id)).config is None
    await worker.close()
    first, second = worker_spans.one("stage chain/halves"), worker_spans.one("stage chain/in_a_thread")
    assert parent(first) is parent(second) is None
    assert not worker_spans.named("claim")
    assert ids(first)[0] != ids(second)[0]


async def test_without_an_sdk_nothing_is_carried_but_the_callers_own_trace(url: str) -> None:
    parts = attrs.evolve(open_parts(url), observer=OpenTelemetryTracing())
    async with Mainspring(parts=parts, workflows=ALL, worker=False) as client:
        assert trace_of(await client.client.run((await client.start(chain, 1)).id)) is None
        theirs = trace.SpanContext(trace_id=7, span_id=9, is_remote=True, trace_flags=trace.TraceFlags(1))
        with trace.use_span(trace.NonRecordingSpan(theirs)):
            run = await client.start(chain, 1)
        assert trace_of(await client.client.run(run.id)) == f"00-{7:032x}-{9:016x}-01"


WATCHED = ("opentelemetry", "prometheus_client", "http.server", "mainspring.hosts.node_worker.status")
RUN_ONE = f"""
import asyncio, sys
from mainspring import Context, Mainspring, workflow
@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return name
async def main():
    async with Mainspring("memory://", workflows=[hello]) as engine:
        assert await engine.run(hello, "x") == "x"
        print(type(engine.parts.observer).__name__)
import mainspring.hosts.cli.worker_command
asyncio.run(main())
print([name for name in {WATCHED!r} if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("environment", "told"),
    [({}, ["NoneType", "[]"]), ({"MAINSPRING_TRACING": "1"}, ["OpenTelemetryTracing", "['opentelemetry']"])],
)
def test_what_is_not_asked_for_is_not_loaded(environment: dict[str, str], told: list[str]) -> None:
    command = [sys.executable, "-c", RUN_ONE]
    done = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == told
