"""``mainspring run`` at work: start one run, execute it in this process, and stand by until it has ended."""

import asyncio
from asyncio import Event, Task
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs

from mainspring.engine import Mainspring
from mainspring.hosts.cli.exits import InterruptedRunError, WaitingTimedOutError
from mainspring.hosts.cli.output import note
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.process import close_loop, new_loop, signals, survive
from mainspring.hosts.node_worker.worker import Worker
from mainspring.kernel.definition import Workflow
from mainspring.ports.errors import SettingsError
from mainspring.ports.names import Payload, RunId
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Run, RunStatus


@attrs.frozen(kw_only=True)
class Order:
    """What to run, and how to wait for it."""

    workflow: Workflow[Any, Any]
    value: Any
    config: Mapping[str, Any] | None
    key: str | None
    priority: int | None
    tags: Sequence[str]
    patience: float | None  #: seconds to wait for the end
    resume: str  #: how to go on with a run that was left


@attrs.frozen(kw_only=True)
class Ended:
    """A run that has ended, with its output if it completed."""

    run: Run
    created: bool
    output: Payload | None


Watch = Callable[[Parts, RunId], Awaitable[None]]
"""Shows a run's progress until it has ended; cancelled when nobody waits any more."""


def execute(parts: Parts, order: Order, watch: Watch | None) -> Ended:
    """Start the run (or meet the one of its key) and execute it here until it has ended.

    Raises:
        WaitingTimedOutError, InterruptedRunError: it goes on without this process, when a worker serves it.
        WorkerDiedError: the worker in this process died.
        MainspringError: the run could not be started.
    """
    loop = new_loop(uvloop=False)
    interrupted = Event()
    try:
        with signals(loop, [interrupted.set]):
            return survive(loop, _execute(parts, order, watch, interrupted))
    finally:
        close_loop(loop)


async def _execute(parts: Parts, order: Order, watch: Watch | None, interrupted: Event) -> Ended:
    async with Mainspring(parts=parts, workflows=[order.workflow], worker=False) as engine:
        handle = await engine.start(
            order.workflow, order.value, key=order.key, config=order.config, priority=order.priority, tags=order.tags
        )
        registry = WorkflowRegistry([order.workflow], parts.codec)
        run = await handle.describe()
        if not handle.created:
            _check_served(run, registry)
            note(f"run {run.id} of this key is there already ({run.status})")
        worker = Worker(parts, registry, engine.settings, engine.client.results.ended)
        working = asyncio.ensure_future(worker.run())
        waiting = asyncio.ensure_future(engine.client.results.wait(handle.id))
        watching = None if watch is None else asyncio.ensure_future(watch(parts, handle.id))
        try:
            run = await _ended(order, handle.id, waiting, working, interrupted)
            if watching is not None:
                await asyncio.gather(watching, return_exceptions=True)  # a drawing is never worth a run
        finally:
            await _stop(worker, working, waiting, watching)
        output = await engine.client.output_text(run) if run.status is RunStatus.COMPLETED else None
        return Ended(run=run, created=handle.created, output=output)


async def _ended(order: Order, run_id: RunId, waiting: "Task[Run]", working: "Task[None]", interrupted: Event) -> Run:
    told = asyncio.ensure_future(interrupted.wait())
    try:
        await asyncio.wait({waiting, working, told}, timeout=order.patience, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
    if waiting.done():
        return waiting.result()
    if working.done():
        working.result()
    if interrupted.is_set():
        raise InterruptedRunError(run_id, f"interrupted; run {run_id} stays. {order.resume}")
    raise WaitingTimedOutError(
        run_id, f"run {run_id} did not end within {order.patience:g} s; it stays. {order.resume}"
    )


async def _stop(worker: Worker, working: "Task[None]", waiting: "Task[Run]", watching: "Task[None] | None") -> None:
    """Nobody waits for other runs here: what is still under way is given back at once."""
    worker.hurry()
    waiting.cancel()
    if watching is not None:
        watching.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await watching
    await asyncio.gather(working, return_exceptions=True)


def _check_served(run: Run, registry: WorkflowRegistry) -> None:
    if run.status in TERMINAL_RUN_STATUSES:
        return
    if registry.by_fingerprint(run.workflow, run.version, run.fingerprint) is None:
        raise SettingsError(
            f"run {run.id} of this key was started with another shape of {run.workflow}@{run.version}; it goes on where"
            " that code is served. Give the changed graph a new version, and start it under another key"
        )
