"""The client: start runs, look at them, wait for them. Knows no adapter; ``engine`` gives it the parts."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

import attrs
import structlog

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
from mainspring.kernel.commands.run_create import RunCreated, Taker
from mainspring.kernel.commands.run_signal import SignalRun
from mainspring.kernel.decision import Command
from mainspring.kernel.definition import Workflow
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import MainspringError
from mainspring.ports.names import Payload, RunId, SignalId, StageId, WorkflowId
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Artifact,
    Pointer,
    Run,
    RunFilter,
    RunStatus,
    StageRecord,
    StageStatus,
)
from mainspring.ports.trace import with_trace
from mainspring.requests import Checked, Requests, StartOptions, check_options, check_texts
from mainspring.reruns import Reruns
from mainspring.results import Results

logger = structlog.get_logger("mainspring.client")

I = TypeVar("I")  # noqa: E741  input, as in Stage[I, O]
O = TypeVar("O")  # noqa: E741
R = TypeVar("R")

MOST_SHOWN = 20
"""So many artifacts are named by an error."""

BATCH = 500
"""Starts of ``start_many`` that are handed in together."""

_Starting = asyncio.Future[list[RunCreated | BaseException]]


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
        self._requests = Requests(self._payloads, parts.ids)
        self._reruns = Reruns(parts, registry, self._payloads)
        self.results = Results(parts.store, parts.feed)

    async def start(self, workflow: Workflow[I, O] | str, value: I, options: StartOptions) -> RunHandle[O]:
        """Start one run; see ``Mainspring.start``."""
        served, observer = self._served(workflow), self._parts.observer
        if observer is None:
            return await self._start(served, value, options, None)
        with observer.starting(served.plan.workflow, 1) as trace:
            return await self._start(served, value, options, trace)

    async def _start(self, served: Served, value: Any, options: StartOptions, trace: str | None) -> RunHandle[Any]:
        command = await self._requests.create(served, value, options)
        if trace is not None:
            command = attrs.evolve(command, config=with_trace(command.config, trace))
        worker = self._worker
        if worker is None:
            created = await self._dispatcher.dispatch(command)
        else:

            async def create(taker: Taker | None) -> RunCreated:
                made = await self._dispatcher.dispatch(attrs.evolve(command, taker=taker))
                if made.lease is not None:
                    self.results.begun(made.run.id)  # before it can end
                return made

            created = await worker.start(served.plan.route, create)
        await self._announce([created])
        return RunHandle(self, created.run.id, created=created.created)

    async def start_many(
        self,
        workflow: Workflow[I, O] | str,
        values: Iterable[I],
        keys: Sequence[str | None] | None,
        options: StartOptions,
    ) -> list[RunHandle[O]]:
        """Start many runs; see ``Mainspring.start_many``."""
        inputs = list(values)
        if keys is not None and len(keys) != len(inputs):
            subject = "keys of a start of many"
            raise InvalidValueError(subject, (Problem("$", f"expected {len(inputs)}, found {len(keys)}"),))
        served = self._served(workflow)
        check_options(options)
        checked = self._requests.checked(served, inputs, keys, options)
        observer = self._parts.observer
        if observer is None:
            return await self._start_all(checked, None)
        with observer.starting(served.plan.workflow, len(inputs)) as trace:
            return await self._start_all(checked, trace)

    async def _start_all(self, checked: Checked, trace: str | None) -> list[RunHandle[Any]]:
        """One batch is decided while the one before is being written: two are under way at most."""
        handles: list[RunHandle[Any]] = []
        total = len(checked.texts)
        under_way: _Starting | None = None
        try:
            for begin in range(0, total, BATCH):
                commands = await self._requests.commands(checked, range(begin, min(begin + BATCH, total)))
                if trace is not None:
                    commands = [attrs.evolve(one, config=with_trace(one.config, trace)) for one in commands]
                starting = asyncio.gather(*map(self._dispatcher.dispatch, commands), return_exceptions=True)
                earlier, under_way = under_way, starting
                await asyncio.sleep(0)  # all are decided now, and handed in
                if earlier is not None:
                    handles += await self._begun(earlier)
        except asyncio.CancelledError:
            if under_way is not None:
                under_way.cancel()
                with suppress(asyncio.CancelledError):
                    await under_way
            raise
        except Exception:
            if under_way is not None:  # what is on its way is not left alone; the first failure is told
                with suppress(Exception):
                    await self._begun(under_way)
            raise
        return handles if under_way is None else handles + await self._begun(under_way)

    async def _begun(self, starting: _Starting) -> list[RunHandle[Any]]:
        """The handles of a batch. What was created is told of, also if others were not."""
        answers = await starting
        created = [answer for answer in answers if isinstance(answer, RunCreated)]
        await self._announce(created)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [RunHandle(self, one.run.id, created=one.created) for one in created]

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
            await _hint(self._parts.feed.ended([run_id]))
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
        await self._announce([created])
        return RunHandle(self, created.run.id, created=created.created)

    def handle(self, run_id: str) -> RunHandle[Any]:
        """A handle on a run by its id."""
        return RunHandle(self, RunId(run_id), created=False)

    def _served(self, workflow: Workflow[Any, Any] | str) -> Served:
        if isinstance(workflow, str):
            return self._registry.workflow(WorkflowId(workflow))
        return self._registry.of(workflow)

    async def _announce(self, created: Iterable[RunCreated]) -> None:
        now: list[Pointer] = []
        later: dict[datetime, list[Pointer]] = {}
        for one in created:
            if one.created:
                pointers = now if one.due_at is None else later.setdefault(one.due_at, [])
                pointers += map(Pointer.to, one.due)
        if now:
            await _hint(self._parts.transport.send(now))
        for moment, pointers in later.items():
            await _hint(self._parts.transport.send(pointers, moment - self._parts.clock.now()))
        if later and self._worker is not None:
            self._worker.replan()

    async def _dispatch(self, run_id: RunId, command: Command[R]) -> R:
        if self._worker is None:
            return await self._dispatcher.dispatch(command)
        return await self._worker.executor.dispatch(run_id, command)

    async def _ended(self, run_id: RunId) -> Run:
        waiting = asyncio.ensure_future(self.results.wait(run_id))
        try:
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            if not done:
                run = require_run(await self._parts.store.run(run_id), run_id)
                if run.status in TERMINAL_RUN_STATUSES:  # begun here, it may have ended elsewhere
                    return run
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


async def _hint(told: Awaitable[None]) -> None:
    """A hint that cannot be given, for whatever reason, costs latency only: what it tells of is on record."""
    try:
        await told
    except MainspringError as error:
        logger.warning("hint_not_sent", error=str(error))
