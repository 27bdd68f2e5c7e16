"""The client: start runs, look at them, wait for them. Knows no adapter; ``engine`` gives it the parts."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import attrs

from mainspring.errors import InvalidValueError, NotFoundError, Problem, RunCancelledError, RunFailedError
from mainspring.handles import RunHandle, StageArtifact
from mainspring.hosts.execution.artifacts import content_of
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.payloads import Payloads
from mainspring.hosts.execution.registry import Served, WorkflowRegistry
from mainspring.hosts.node_worker.worker import Worker
from mainspring.kernel.advance import group
from mainspring.kernel.commands.common import require_run
from mainspring.kernel.commands.run_cancel import CancelRun
from mainspring.kernel.commands.run_create import RunCreated
from mainspring.kernel.commands.run_signal import SignalRun
from mainspring.kernel.decision import Command
from mainspring.kernel.definition import Workflow
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import PortError
from mainspring.ports.names import Payload, RunId, SignalId, StageId, WorkflowId
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Artifact,
    Run,
    RunFilter,
    RunStatus,
    StageRecord,
    StageStatus,
)
from mainspring.requests import Requests, StartOptions, check_texts
from mainspring.reruns import Reruns
from mainspring.results import Results
from mainspring.starting import Starter, hint

I = TypeVar("I")  # noqa: E741  input, as in Stage[I, O]
O = TypeVar("O")  # noqa: E741
R = TypeVar("R")

MOST_SHOWN = 20
"""So many artifacts are named by an error."""

FIRST_LOOK = timedelta(seconds=0.2)
"""How long to wait for a run before it is looked up."""

SELDOM = 10
"""Each further look comes after so many times the pause before it: a month is some eight looks."""


@attrs.frozen(kw_only=True)
class Page:
    """One page of a listing, newest first. ``next`` continues it; None: that was all."""

    runs: tuple[Run, ...]
    next: RunId | None


class Client:
    """Commands and reads for callers."""

    def __init__(
        self, parts: Parts, registry: WorkflowRegistry, dispatcher: Dispatcher, worker: Worker | None = None
    ) -> None:
        """``worker``: in this process, if there is one; what is done to its runs takes its turn with it."""
        self._parts = parts
        self._registry = registry
        self._dispatcher = dispatcher
        self._worker = worker
        self._payloads = Payloads(parts.codec, parts.blobs, parts.limits)
        self._reruns = Reruns(parts, registry, self._payloads)
        self.results = Results(parts.store, parts.feed)
        requests = Requests(self._payloads, parts.ids)
        self._starter = Starter(parts, dispatcher, requests, worker, self.results)

    async def start(self, workflow: Workflow[I, O] | str, value: I, options: StartOptions) -> RunHandle[O]:
        """Start one run; see ``Mainspring.start``."""
        return self._handle(await self._starter.start(self._served(workflow), value, options))

    async def start_many(
        self,
        workflow: Workflow[I, O] | str,
        values: Iterable[I],
        keys: Sequence[str | None] | None,
        options: StartOptions,
    ) -> list[RunHandle[O]]:
        """Start many runs; see ``Mainspring.start_many``."""
        return [
            self._handle(created)
            for created in await self._starter.start_many(self._served(workflow), values, keys, options)
        ]

    async def run(self, run_id: RunId) -> Run:
        """The run's record."""
        return require_run(await self._parts.store.run(run_id), run_id)

    async def runs(self, where: RunFilter, *, limit: int = 50, before: RunId | None = None) -> Page:
        """One page of matching runs, newest first."""
        most = 1000
        if not 1 <= limit <= most:
            subject = "page size"
            raise InvalidValueError(subject, (Problem("$.limit", f"must be between 1 and {most}, found {limit}"),))
        found = await self._parts.store.runs(where, limit=limit + 1, before=before)
        page = tuple(found[:limit])
        return Page(runs=page, next=page[-1].id if len(found) > limit else None)

    async def result(self, run_id: RunId, timeout: timedelta | float | None) -> Any:
        """Wait for the run's end and give its output."""
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        try:
            async with asyncio.timeout(seconds):
                run = await self._ended(run_id)
        except TimeoutError:
            run = await self.run(run_id)
            if run.status not in TERMINAL_RUN_STATUSES:
                msg = f"run {run_id} is still {run.status} after {seconds:g} s; it goes on"
                raise TimeoutError(msg) from None
        if run.status is RunStatus.FAILED:
            raise RunFailedError(run)
        if run.status is RunStatus.CANCELLED:
            raise RunCancelledError(run)
        return await self.output(run)

    async def output(self, run: Run) -> Any:
        """A completed run's output, decoded to its type where the workflow is known here, else to plain values."""
        served = self._registry.by_fingerprint(run.workflow, run.version, run.fingerprint)
        kind = Any if served is None else served.definition.output_type
        text = await self.output_text(run)
        return self._payloads.codec.decode(text, kind, f"output of run {run.id}")

    async def output_text(self, run: Run) -> Payload:
        """The output's JSON text; of several last stages, or a mapped one, put together from their rows."""
        if run.output is not None:
            return await self._payloads.text(run.output)
        mapped, tails = await self._tails(run)
        if not tails:
            return Payload("null")
        records = group(await self._parts.store.stages(run.id, tails))
        parts: dict[StageId, str] = {}
        for stage in tails:
            rows = [row for row in records.get(stage, ()) if row.status is StageStatus.COMPLETED]
            texts = [await self._payloads.text(row.output or Payload("null")) for row in rows]
            parts[stage] = f"[{','.join(texts)}]" if stage in mapped else "".join(texts[:1]) or "null"
        if len(tails) == 1:
            return Payload(parts[tails[0]])
        return Payload("{" + ",".join(f'"{stage}":{parts[stage]}' for stage in sorted(parts)) + "}")

    async def cancel(self, run_id: RunId, reason: str | None, *, idempotency_key: str | None = None) -> RunStatus:
        """Stop the run."""
        check_texts("cancel", reason=reason, idempotency_key=idempotency_key)
        command = CancelRun(run_id=run_id, reason=reason, idempotency_key=idempotency_key)
        cancelled = await self._dispatch(run_id, command)
        if cancelled.status in TERMINAL_RUN_STATUSES:
            self.results.ended(run_id)
            await hint(self._parts.feed.ended([run_id]))
        elif self._worker is not None:
            self._worker.cancelling(run_id)
        return cancelled.status

    async def signal(self, run_id: RunId, name: str, payload: Any, *, id: str | None = None) -> bool:
        """Send the run a message; whether it is a new one."""
        check_texts("signal", name=name, id=id)
        text = await self._payloads.store(payload, run_id, "signal", f"payload of signal {name!r}")
        signal_id = None if id is None else SignalId(id)
        sent = await self._dispatch(run_id, SignalRun(run_id=run_id, signal=name, payload=text, signal_id=signal_id))
        return not sent.duplicate

    async def artifacts(self, run_id: RunId) -> list[StageArtifact]:
        """What the run's stages left beside their outputs."""
        found = await self._artifacts(run_id)
        return [
            StageArtifact(stage=row.stage, index=row.index, name=one.name, size=one.size, media_type=one.media_type)
            for row, one in found
        ]

    async def artifact(self, run_id: RunId, stage: StageId, name: str, index: int) -> bytes:
        """The content of one of them."""
        found = await self._artifacts(run_id, [stage])
        for row, one in found:
            if (row.index, one.name) == (index, name):
                return await content_of(self._payloads, one)
        there = ", ".join(f"{one.name!r} of {row.stage}[{row.index}]" for row, one in found[:MOST_SHOWN]) or "none"
        raise NotFoundError(f"stage {stage}[{index}] of run {run_id} left no artifact {name!r}; there are: {there}")

    async def _artifacts(
        self, run_id: RunId, only: Sequence[StageId] | None = None
    ) -> list[tuple[StageRecord, Artifact]]:
        require_run(await self._parts.store.run(run_id), run_id)
        return [(row, one) for row in await self._parts.store.stages(run_id, only) for one in row.artifacts]

    async def rerun(self, run_id: RunId, from_stage: StageId | None, key: str | None) -> RunHandle[Any]:
        """Begin a run that has ended anew; see ``RunHandle.rerun``."""
        check_texts("rerun", key=key)
        observer = self._parts.observer
        if observer is None:
            return await self._rerun(run_id, from_stage, key, None)
        run = await self.run(run_id)
        with observer.starting(run.workflow, 1) as trace:
            return await self._rerun(run_id, from_stage, key, trace)

    async def _rerun(
        self, run_id: RunId, from_stage: StageId | None, key: str | None, trace: str | None
    ) -> RunHandle[Any]:
        created = await self._dispatcher.dispatch(await self._reruns.command(run_id, from_stage, key, trace))
        await self._starter.announce([created])
        return self._handle(created)

    def handle(self, run_id: str) -> RunHandle[Any]:
        """A handle on a run by its id."""
        return RunHandle(self, RunId(run_id), created=False)

    def _served(self, workflow: Workflow[Any, Any] | str) -> Served:
        if isinstance(workflow, str):
            return self._registry.workflow(WorkflowId(workflow))
        return self._registry.of(workflow)

    def _handle(self, created: RunCreated) -> RunHandle[Any]:
        return RunHandle(self, created.run.id, created=created.created)

    async def _dispatch(self, run_id: RunId, command: Command[R]) -> R:
        if self._worker is None:
            return await self._dispatcher.dispatch(command)
        return await self._worker.executor.dispatch(run_id, command)

    async def _ended(self, run_id: RunId) -> Run:
        """The run, once it has ended. Now and then it is looked up: it may not exist, or be swept meanwhile."""
        waiting = asyncio.ensure_future(self.results.wait(run_id))
        pause = FIRST_LOOK
        try:
            while not (await asyncio.wait([waiting], timeout=pause.total_seconds()))[0]:
                try:
                    run = require_run(await self._parts.store.run(run_id), run_id)
                except PortError:
                    if pause == FIRST_LOOK:
                        raise
                else:
                    if run.status in TERMINAL_RUN_STATUSES:  # begun here, it may have ended elsewhere
                        return run
                pause *= SELDOM
            return await waiting
        finally:
            waiting.cancel()

    async def _tails(self, run: Run) -> tuple[frozenset[StageId], tuple[StageId, ...]]:
        """Mapped stages and last stages, from the stored shape: no code is needed."""
        graph = await self._parts.store.graph(run.fingerprint)
        if graph is None:
            return frozenset(), ()
        shape = self._payloads.codec.decode(Payload(graph.shape), dict[str, Any], "stored graph")
        stages = shape["stages"]
        followed = {above for stage in stages for above in stage["after"]}
        mapped = frozenset(StageId(stage["id"]) for stage in stages if stage["mapped"])
        return mapped, tuple(StageId(stage["id"]) for stage in stages if stage["id"] not in followed)
