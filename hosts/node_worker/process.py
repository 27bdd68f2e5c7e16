"""A process of one worker: its loop, its signals, its watchdog and its exit code.

The first SIGTERM, SIGINT or SIGHUP drains: bodies under way may finish within the grace. The second gives everything
back at once. The third ends the process where it stands; the leases run out by themselves.
"""

import asyncio
import gc
import os
import signal
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
import structlog

from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.health import Health
from mainspring.hosts.node_worker.watchdog import Watchdog
from mainspring.hosts.node_worker.worker import Worker, WorkerDiedError
from mainspring.kernel.plan import route
from mainspring.ports.errors import PortError, SettingsError
from mainspring.ports.names import RunId, WorkflowId
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import RunFilter, RunStatus

if TYPE_CHECKING:  # a web server is loaded where one is wanted
    from mainspring.hosts.node_worker.status import StatusServer

logger = structlog.get_logger("mainspring.process")

T = TypeVar("T")

EXIT_DRAINED = 0
EXIT_DIED = 6
"""A loop of the worker ended, or too many bodies are stuck: start the process anew."""

_CLOSING = 10.0  # seconds the store may take to close
_LEFTOVERS = 1.0  # seconds the tasks that bodies left behind may take to end
_ACTIVE = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.CANCELLING)
_IDLE_POLL = 0.2
_ONE_SIGNAL = 0.25  # seconds: coreutils' timeout, and a shell's process group, send a signal twice and mean it once


@attrs.frozen(kw_only=True)
class ProcessSettings:
    """What a worker's process may be told beside the worker's own settings."""

    watchdog: timedelta | None = None  #: how long the loop may be dead; None: as long as the lease
    uvloop: bool | None = None  #: None: if it is installed
    until_idle: bool = False  #: stop once no run of the served workflows is left unfinished


def run_worker(
    worker: Worker,
    registry: WorkflowRegistry,
    parts: Parts,
    settings: ProcessSettings,
    status: "StatusServer | None" = None,
) -> int:
    """Run the worker until a signal stops it, then close the parts; the exit code. Call it in the main thread.

    ``status`` answers operators until the loop has ended.

    Raises:
        SettingsError: uvloop is asked for and not installed.
    """
    loop = new_loop(uvloop=settings.uvloop)
    limit = settings.watchdog or worker.settings.timing.lease

    def drain() -> None:
        logger.info("draining", worker=worker.id, attempts=len(worker.executor.live))
        worker.stop()

    def hurry() -> None:
        logger.info("giving_back", worker=worker.id, attempts=len(worker.executor.live))
        worker.hurry()

    _calm_collector()
    try:
        health = Health(worker, registry, parts.store)
        told = nullcontext() if status is None else status.serving(loop, health)
        with signals(loop, [drain, hurry]), Watchdog(loop, limit), told:
            return survive(loop, _work(worker, registry, parts, until_idle=settings.until_idle))
    finally:
        close_loop(loop)


def _calm_collector() -> None:
    """Have Python's collector look at what is loaded by now no more, and after 20,000 new objects instead of 700.

    Left alone it took a sixth of a busy worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def new_loop(*, uvloop: bool | None = None) -> AbstractEventLoop:
    """A new event loop, of uvloop where it is wanted or (None) installed.

    Raises:
        SettingsError: uvloop is wanted and not installed.
    """
    if uvloop is not False:
        try:
            import uvloop as installed
        except ImportError:
            if uvloop:
                raise SettingsError("uvloop is not installed; run: pip install 'mainspring[uvloop]'") from None
        else:
            return installed.new_event_loop()
    return asyncio.new_event_loop()


def survive(loop: AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run the loop until ``main`` has ended, whatever other tasks do.

    A task of a body that calls ``sys.exit()``, raises KeyboardInterrupt or stops the loop would end it for everybody.
    """
    loop.set_exception_handler(_told)
    task = loop.create_task(main, name="mainspring main")
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
            if task.done() or loop.is_closed():
                raise
            hint = "code of a body tried to end the process; it goes on"
            logger.warning("loop_interrupted", error=repr(error), hint=hint)


def close_loop(loop: AbstractEventLoop) -> None:
    """Close the loop. What bodies left running is cancelled, given a moment, and forgotten."""
    loop.set_exception_handler(lambda _, __: None)
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    with suppress(BaseException):  # whatever they do, the process is ending
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_LEFTOVERS))
        loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), _LEFTOVERS))
    loop.close()


@contextmanager
def signals(loop: AbstractEventLoop, answers: Sequence[Callable[[], object]]) -> Generator[None, None, None]:
    """While the ``with`` lasts, the n-th signal to end calls the n-th answer on the loop; one more ends the process.

    Signals in quick succession count once. The handlers are Python's, not the loop's: they are called even while a body
    blocks the loop.
    """
    count, last = 0, float("-inf")

    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal count, last
        if time.monotonic() - last < _ONE_SIGNAL:
            return
        count, last = count + 1, time.monotonic()
        if count > len(answers):
            os._exit(128 + number)
        loop.call_soon_threadsafe(answers[count - 1])

    wanted = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup the terminal's end means nothing
        wanted.append(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _work(worker: Worker, registry: WorkflowRegistry, parts: Parts, *, until_idle: bool) -> int:
    watching = asyncio.ensure_future(_stop_when_idle(worker, registry, parts.store)) if until_idle else None
    try:
        await worker.run()
    except WorkerDiedError as error:
        logger.critical("worker_died", worker=worker.id, error=str(error))
        return EXIT_DIED
    except Exception:
        logger.critical("worker_crashed", worker=worker.id, exc_info=True)
        return EXIT_DIED
    finally:
        if watching is not None:
            watching.cancel()
        await close_parts(parts)
    return EXIT_DRAINED


async def close_parts(parts: Parts) -> None:
    """Close the store and what goes with it, within a bounded time."""
    try:
        async with asyncio.timeout(_CLOSING):
            await parts.close()
    except (PortError, TimeoutError) as error:
        logger.warning("store_not_closed", error=str(error) or type(error).__name__)


async def _stop_when_idle(worker: Worker, registry: WorkflowRegistry, store: Persistence) -> None:
    while True:
        await asyncio.sleep(_IDLE_POLL)
        try:
            if not len(worker.executor.live) and not await has_unfinished(registry, store):
                worker.stop()
                return
        except PortError as error:
            logger.debug("idle_unknown", error=str(error))


async def has_unfinished(registry: WorkflowRegistry, store: Persistence) -> bool:
    """Whether any run that this process could work on has not ended."""
    routes = set(registry.routes())
    for workflow in {served.plan.workflow for served in registry.all()}:
        if await _has_unfinished(workflow, routes, store):
            return True
    return False


async def _has_unfinished(workflow: WorkflowId, routes: set[Any], store: Persistence) -> bool:
    page, before = 20, cast("RunId | None", None)
    where = RunFilter(workflow=workflow, status=_ACTIVE)
    while True:
        runs = await store.runs(where, limit=page, before=before)
        if any(route(run.queue, run.workflow, run.version, run.fingerprint) in routes for run in runs):
            return True
        if len(runs) < page:
            return False
        before = runs[-1].id


def _told(_: AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio has to say of tasks that nobody awaits, as a log line."""
    error = context.get("exception")
    logger.warning("loop_exception", message=context.get("message"), error=None if error is None else repr(error))
