"""The engine: opens a store, starts runs, and executes them in this process unless told otherwise.

Hosts that are programs take their parts from here (``open_parts``); ``wiring`` chooses the adapters.
"""

import asyncio
from asyncio import Task
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import attrs
import structlog
from typing_extensions import Unpack

from mainspring.client import Client, Page
from mainspring.handles import RunHandle
from mainspring.hosts.execution.parts import Parts, needs_no_refresh
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.execution.store_clock import keep_refreshed
from mainspring.hosts.node_worker import logs
from mainspring.hosts.node_worker.relaying import relay_for_ever
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker, WorkerDiedError
from mainspring.kernel.definition import Workflow
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.outlets import PUBLISHING, Outlet, register
from mainspring.kernel.retry import Retry
from mainspring.ports.codec import Limits
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.event_sink import EventSink
from mainspring.ports.names import RunId, WorkflowId
from mainspring.ports.records import Run, RunFilter, RunStatus
from mainspring.requests import Options, SharedOptions, StartOptions
from mainspring.subscribers import Handler, Subscriber, outlets, subscriber
from mainspring.wiring import observed, open_exposition, open_parts

logger = structlog.get_logger("mainspring.engine")

_NOBODY_RELAYS = (
    "worker=False: this process serves no sinks or subscribers, so their events would gather; give them to a process"
    " that works (it needs no workflows), or name sinks that workers serve in MAINSPRING_SINKS"
)

I = TypeVar("I")  # noqa: E741  input, as in Stage[I, O]
O = TypeVar("O")  # noqa: E741


class Mainspring:
    """An engine: starts runs, and (unless ``worker=False``) executes them in this process.

    Use it as an async context manager::

        async with Mainspring("sqlite:///orders.db", workflows=[checkout]) as engine:
            run = await engine.start(checkout, order, key="order-42")
            receipt = await run.result()

    Args:
        url: the store; default ``MAINSPRING_DATABASE``, or ``sqlite:///mainspring.db``.
        workflows: what this process can start and execute.
        worker: whether to execute in this process, and to serve sinks and subscribers here; a process without
            workflows only does the latter.
        concurrency, settings: of the worker; defaults from ``MAINSPRING_*``.
        blobs: directory for large payloads, or ``s3://bucket/prefix``; default: beside the database.
        transport: what carries the jobs' pointers instead of the store: ``sqs://queue``, ``amqp://…?queue=…``.
        sink: where committed events go. Giving one makes the store write events, for every process that uses it.
        sinks: further ones by name, each with its own copy of every event; in an ``Outlet`` if it wants some only.
        subscribers: functions that are called for events, each a sink by its own name.
        limits: on payloads.
        migrate: whether an embedded store brings its schema up to date by itself.
        parts: adapters chosen by hand, instead of ``url``.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        workflows: Iterable[Workflow[Any, Any]] = (),
        worker: bool = True,
        concurrency: int | None = None,
        settings: WorkerSettings | None = None,
        blobs: str | None = None,
        transport: str | None = None,
        sink: EventSink | None = None,
        sinks: Mapping[str, EventSink | Outlet] | None = None,
        subscribers: Iterable[Subscriber] = (),
        limits: Limits | None = None,
        migrate: bool = True,
        parts: Parts | None = None,
    ) -> None:
        from mainspring.settings import from_environment  # environ-config imports boto3 where it is installed: 0.3 s

        if parts is not None and any(given is not None for given in (url, blobs, transport, sink, limits)):
            msg = "parts= brings its own adapters and limits; leave url=, blobs=, transport=, sink= and limits= out"
            raise SettingsError(msg)
        if settings is not None and concurrency is not None:
            msg = "settings= says how many attempts run at once; leave concurrency= out"
            raise SettingsError(msg)
        said = from_environment()
        self.url = url if url is not None else said.database
        self.settings = settings if settings is not None else said.worker(concurrency=concurrency)
        self._workflows = tuple(workflows)
        self._wants_worker = worker
        self._blobs = blobs or said.blobs or None
        self._transport = transport or said.transport or None
        self._named = said.sinks or None
        self._sink = sink
        self._outlets = outlets(sinks, subscribers)
        if not worker and (sink is not None or self._outlets):
            raise SettingsError(_NOBODY_RELAYS)
        self._limits = limits
        self._migrate = migrate
        self._tracing = said.tracing
        self._given = parts
        self._parts: Parts | None = None
        self._client: Client | None = None
        self._worker: Worker | None = None
        self._working: Task[None] | None = None
        self._beside: list[Task[None]] = []
        self._died: UnavailableError | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the store and, unless told otherwise, begin to work."""
        if self._parts is not None:
            msg = "this engine is open already; make another one for a second use"
            raise SettingsError(msg)
        _log_quietly()
        parts = self._given or open_parts(
            self.url,
            blobs=self._blobs,
            transport=self._transport,
            migrate=self._migrate,
            limits=self._limits,
            sink=self._sink,
            sinks=self._named,
        )
        try:
            if self._given is None:
                parts = observed(parts, tracing=self._tracing)
            if self._outlets:
                parts = attrs.evolve(parts, sinks={**parts.sinks, **self._outlets})
            registry = WorkflowRegistry(self._workflows, parts.codec)
            await parts.refresh_clock()
            await register(parts.store, parts.outlets)
            self._begin(parts, registry)
        except BaseException:
            await parts.close()
            raise
        self._parts = parts
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop working: bodies get the grace, then their jobs are given back; close the store."""
        try:
            await self.close()
        except WorkerDiedError:
            if error is None:  # else it was logged, and the caller's own error matters more
                raise

    async def close(self) -> None:
        """Stop working and close the store. Harmless when it is closed.

        Raises:
            WorkerDiedError: the worker in this process had died.
        """
        parts, self._parts = self._parts, None
        if parts is None:
            return
        beside, self._beside = self._beside, []
        for task in beside:
            task.cancel()
        try:
            await asyncio.gather(*beside, return_exceptions=True)
            if self._worker is not None and self._working is not None:
                self._worker.stop()
                await self._working
        finally:
            if self._client is not None:
                await self._client.results.close()
            self._client = self._worker = self._working = None
            await parts.close()

    def _begin(self, parts: Parts, registry: WorkflowRegistry) -> None:
        if self._wants_worker and registry.routes():
            self._worker = Worker(parts, registry, self.settings, self._on_ended)
            self._client = Client(parts, registry, self._worker.executor.dispatcher, self._worker)
            self._working = asyncio.get_running_loop().create_task(self._worker.run(), name="mainspring worker")
            self._working.add_done_callback(self._on_worker_done)
        else:
            dispatcher = Dispatcher(parts.store, parts.clock, parts.ids)
            self._client = Client(parts, registry, dispatcher)
            beside: dict[str, Coroutine[Any, Any, None]] = {}
            if parts.refresh_clock is not needs_no_refresh:
                beside["clock"] = keep_refreshed(parts.refresh_clock, self.settings.timing.heartbeat)
            if self._wants_worker:
                for name, outlet in parts.outlets.items():
                    beside[f"relay {name}"] = relay_for_ever(parts, dispatcher, self.settings, name, outlet)
            loop = asyncio.get_running_loop()
            self._beside = [loop.create_task(one, name=f"mainspring {name}") for name, one in beside.items()]

    def _on_worker_done(self, working: "Task[None]") -> None:
        """A worker that died takes the engine with it: nobody here would execute what is started."""
        error = None if working.cancelled() else working.exception()
        if error is None and not (working.cancelled() and self._parts is not None):
            return
        logger.critical("worker_died", error=str(error))
        self._died = UnavailableError(f"the worker in this process died: {error}; open another engine")
        if self._client is not None:
            self._client.results.fail(self._died)

    @property
    def worker(self) -> Worker | None:
        """The worker in this process, if there is one."""
        return self._worker

    def subscribe(
        self, handler: Handler, types: Iterable[str] = (), *, name: str | None = None, retry: Retry = PUBLISHING
    ) -> None:
        """Have a function called for committed events; before the engine is opened. See ``mainspring.subscribers``.

        Raises:
            SettingsError: the engine is open or works not here, the name is taken or none, or a type is none.
        """
        if not self._wants_worker:
            raise SettingsError(_NOBODY_RELAYS)
        if self._parts is not None:
            raise SettingsError("the engine is open: its relays are at work; subscribe before `async with`")
        for found, outlet in outlets(None, [subscriber(handler, types, name=name, retry=retry)]).items():
            if found in self._outlets:
                raise SettingsError(f"a sink or subscriber goes by the name {found!r} already; give another name=")
            self._outlets[found] = outlet

    # -- runs ------------------------------------------------------------------------------------------------------

    @overload
    async def start(self, workflow: Workflow[None, O], /, **options: Unpack[Options]) -> RunHandle[O]: ...
    @overload
    async def start(self, workflow: Workflow[I, O], input: I, /, **options: Unpack[Options]) -> RunHandle[O]: ...
    @overload
    async def start(self, workflow: str, input: Any = None, /, **options: Unpack[Options]) -> RunHandle[Any]: ...
    async def start(
        self, workflow: Workflow[Any, Any] | str, input: Any = None, /, **options: Unpack[Options]
    ) -> RunHandle[Any]:
        """Start a run. When it returns, the run is durable and will be executed.

        ``workflow`` is a definition handed over as ``workflows=``, or its id; ``input`` of its input type, validated
        before anything is written. ``key``: the same key starts one run of the workflow, ever. The other options are
        told in ``mainspring.requests.Options``.

        Raises:
            NotFoundError: the workflow is not known here.
            InvalidValueError: every problem of input, config or options, with its path.
            ConflictError: the key belongs to a run that was started with other content.
            PortError: the store failed; ``UnknownOutcomeError``: start again with the same key to find out.
        """
        return await self._open().start(workflow, input, StartOptions(**options))

    async def start_many(
        self,
        workflow: Workflow[I, O],
        inputs: Iterable[I],
        /,
        *,
        keys: Sequence[str | None] | None = None,
        **options: Unpack[SharedOptions],
    ) -> list[RunHandle[O]]:
        """Start a run per input, many at a time; each as durable as by ``start``.

        Not one transaction: should it fail half way, the runs begun before stay; with ``keys``, one per input, it can
        simply be repeated.
        """
        return await self._open().start_many(workflow, inputs, keys, StartOptions(**options))

    @overload
    async def run(self, workflow: Workflow[None, O], /, *, timeout: timedelta | float | None = None) -> O: ...
    @overload
    async def run(self, workflow: Workflow[I, O], input: I, /, *, timeout: timedelta | float | None = None) -> O: ...
    async def run(
        self, workflow: Workflow[Any, Any], input: Any = None, /, *, timeout: timedelta | float | None = None
    ) -> Any:
        """Start a run and wait for its output: ``start`` and ``result`` in one."""
        return await (await self.start(workflow, input)).result(timeout)

    def handle(self, run_id: str) -> RunHandle[Any]:
        """A handle on a run by its id; nothing is read yet."""
        return self._open().handle(run_id)

    async def runs(
        self,
        *,
        workflow: str | None = None,
        status: RunStatus | Sequence[RunStatus] = (),
        tag: str | None = None,
        key: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int = 50,
        before: RunId | None = None,
    ) -> Page:
        """One page of runs, newest first, that match every filter given. ``before=page.next`` continues it."""
        where = RunFilter(
            workflow=None if workflow is None else WorkflowId(workflow),
            status=(status,) if isinstance(status, RunStatus) else tuple(status),
            tag=tag,
            key=key,
            created_after=created_after,
            created_before=created_before,
        )
        return await self._open().runs(where, limit=limit, before=before)

    @property
    def client(self) -> Client:
        """The client, for hosts that need more than the methods here."""
        return self._open()

    @property
    def parts(self) -> Parts:
        """The adapters in use."""
        self._open()
        if self._parts is None:
            msg = "the engine is being closed"
            raise UnavailableError(msg)
        return self._parts

    def _open(self) -> Client:
        if self._client is None:
            msg = "the engine is not open; use `async with Mainspring(…) as engine:`"
            raise UnavailableError(msg)
        if self._died is not None:
            raise self._died
        return self._client

    def _on_ended(self, run_id: RunId, run: Run | None) -> None:
        if self._client is not None:
            self._client.results.ended(run_id, run)


def _log_quietly() -> None:
    """Warnings and errors to stderr, where the program has not said how it wants its structlog lines."""
    if not structlog.is_configured():
        logs.configure(level="warning")


__all__ = ["Mainspring", "observed", "open_exposition", "open_parts"]
