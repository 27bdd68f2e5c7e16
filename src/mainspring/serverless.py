"""Workflows on AWS Lambda: three functions to name as handlers, made of a store, a queue and workflows.

    app = serverless(workflows=[checkout])
    sqs_handler, tick_handler, direct_handler = app.sqs, app.tick, app.direct

Importing this module and calling ``serverless`` opens nothing: the first invocation does, and keeps it. See
``docs/lambda.md``. Rule: no module is loaded here that a cold start would not need.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

import attrs
import structlog

from mainspring.client import Client
from mainspring.handles import RunHandle
from mainspring.hosts.execution.parts import Parts, Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker import logs
from mainspring.hosts.serverless.aws import LambdaHandlers, Opened
from mainspring.hosts.serverless.host import ServerlessHost
from mainspring.kernel.definition import Workflow
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.outlets import Outlet, register
from mainspring.ports.codec import Limits
from mainspring.ports.errors import SettingsError
from mainspring.ports.event_sink import EventSink
from mainspring.ports.names import Payload, RunId
from mainspring.ports.records import Run, RunStatus
from mainspring.requests import StartOptions
from mainspring.subscribers import Subscriber, outlets
from mainspring.wiring import open_parts

LOG_LEVEL = "info"


def serverless(
    url: str | None = None,
    *,
    workflows: Iterable[Workflow[Any, Any]],
    transport: str | None = None,
    blobs: str | None = None,
    scheduler: str | None = None,
    sink: EventSink | None = None,
    sinks: Mapping[str, EventSink | Outlet] | None = None,
    subscribers: Iterable[Subscriber] = (),
    limits: Limits | None = None,
    timing: Timing | None = None,
    concurrency: int = 10,
    margin: timedelta = timedelta(seconds=2),
    parts: Callable[[], Parts] | None = None,
) -> LambdaHandlers:
    """Handlers that start and work off these workflows: ``sqs``, ``tick``, ``direct``.

    Args:
        url: the store; default ``MAINSPRING_DATABASE``. A server's schema is not changed from here: run
            ``mainspring migrate`` when you deploy.
        workflows: what these functions can start and execute.
        transport: the queue that carries pointers to jobs, ``sqs://name``; default ``MAINSPRING_TRANSPORT``. Without
            one the tick works off what is due.
        blobs: where large payloads go, ``s3://bucket/prefix``; default ``MAINSPRING_BLOBS``.
        scheduler: what is asked for a tick at the next moment that needs one, ``scheduler://…``; default
            ``MAINSPRING_SCHEDULER``. Without one timers are as exact as the schedule of ticks.
        sink: where committed events go. Giving one makes the store write events, and the tick publish them.
        sinks, subscribers: further ones by name, and functions that are called for events, as an engine takes them.
        limits: on payloads.
        timing: durations of executing.
        concurrency: jobs of one batch that are worked on at once.
        margin: what is kept of an invocation's time for recording, and by which a lease outlives it. Twice of it must
            be much less than the function's time-out.
        parts: opens adapters chosen by hand, instead of ``url``.

    Raises:
        SettingsError: parts are given beside what they bring.
    """
    if parts is not None and any(given is not None for given in (url, transport, blobs, scheduler, sink, limits)):
        msg = "parts= brings its own store, transport, blobs, scheduler, sink and limits; leave the others out"
        raise SettingsError(msg)
    served, further = tuple(workflows), outlets(sinks, subscribers)

    def opened_parts() -> Parts:
        if parts is not None:
            return parts()
        return open_parts(
            _database(url),
            blobs=blobs or _said("BLOBS"),
            transport=transport or _said("TRANSPORT"),
            scheduler=scheduler or _said("SCHEDULER"),
            limits=limits,
            sink=sink,
            sinks=_said("SINKS"),
        )

    async def opening() -> Opened:
        if not structlog.is_configured():
            logs.configure(as_json=True, level=LOG_LEVEL)
        made = opened_parts()
        made = attrs.evolve(made, sinks={**made.sinks, **further})
        try:
            registry = WorkflowRegistry(served, made.codec)
            await made.refresh_clock()
            await register(made.store, made.outlets)
        except BaseException:
            await made.close()
            raise
        host = ServerlessHost(made, registry, timing=timing, margin=margin, concurrency=concurrency)
        client = Client(made, registry, Dispatcher(made.store, made.clock, made.ids))

        async def close() -> None:
            host.close()
            await made.close()

        return Opened(parts=made, host=host, desk=_ClientDesk(client), close=close)

    return LambdaHandlers(opening)


def _said(name: str) -> str | None:
    """What the environment says; without ``settings``, whose libraries a cold start would wait for."""
    return os.environ.get(f"MAINSPRING_{name}") or None


def _database(url: str | None) -> str:
    found = url or _said("DATABASE")
    if not found:
        msg = "no store is named: set MAINSPRING_DATABASE to its URL, or hand it over as serverless(url, …)"
        raise SettingsError(msg)
    return found


@attrs.frozen
class _ClientDesk:
    """Direct calls, answered by the client."""

    _client: Client

    async def start(self, workflow: str, value: Any, options: Mapping[str, Any]) -> tuple[RunId, bool]:
        handle: RunHandle[Any] = await self._client.start(workflow, value, StartOptions(**options))
        return handle.id, handle.created

    async def signal(self, run_id: RunId, name: str, payload: Any, *, id: str | None = None) -> bool:
        return await self._client.signal(run_id, name, payload, id=id)

    async def cancel(self, run_id: RunId, reason: str | None, *, idempotency_key: str | None = None) -> RunStatus:
        return await self._client.cancel(run_id, reason, idempotency_key=idempotency_key)

    async def run(self, run_id: RunId) -> Run:
        return await self._client.run(run_id)

    async def output_text(self, run: Run) -> Payload:
        return await self._client.output_text(run)


__all__ = ["LambdaHandlers", "serverless"]
