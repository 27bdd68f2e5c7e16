"""The deployments that whole workflows are run on: a shape on a store. A further one is one more line here."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, Literal

import attrs

from mainspring import Mainspring, Workflow
from mainspring.engine import open_parts
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.serverless import ServerlessHost

QUICK = Timing(
    lease=timedelta(seconds=5),
    heartbeat=timedelta(seconds=0.5),
    reap=timedelta(seconds=0.2),
    safety_poll=timedelta(seconds=0.2),
    cancel_grace=timedelta(seconds=0.3),
    shutdown_grace=timedelta(seconds=2),
)


@attrs.frozen
class Place:
    """Where the store of one test is, and the directory for its large payloads."""

    url: str
    blobs: str | None = None  #: None: where the store has them by itself


Shape = Callable[[Place, list[Workflow[Any, Any]]], AbstractAsyncContextManager[Mainspring]]
StoreName = Literal["memory", "sqlite", "postgres"]


@asynccontextmanager
async def together(place: Place, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """The embedded default: the worker in the caller's process."""
    settings = WorkerSettings(timing=QUICK)
    async with Mainspring(place.url, workflows=workflows, settings=settings, blobs=place.blobs) as engine:
        yield engine


@asynccontextmanager
async def apart(place: Place, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """Client and worker with connections of their own, as two processes have: only the store tells one of the other."""
    async with (
        together(place, workflows),
        Mainspring(place.url, workflows=workflows, worker=False, blobs=place.blobs) as client,
    ):
        yield client


@asynccontextmanager
async def serverless(place: Place, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """No worker: only the serverless handlers, called again and again."""
    async with Mainspring(place.url, workflows=workflows, worker=False, blobs=place.blobs) as client:
        parts = open_parts(place.url, blobs=place.blobs)
        host = ServerlessHost(parts, WorkflowRegistry(workflows, parts.codec), timing=QUICK)

        async def invoke() -> None:
            while True:
                await host.process_available_jobs(50, lambda: timedelta(seconds=20))
                await parts.transport.receive(10, timedelta(seconds=0.05))

        async def tick() -> None:
            while True:
                await host.run_maintenance_tick()
                await asyncio.sleep(0.1)

        loop = asyncio.get_running_loop()
        invocations = [loop.create_task(invoke()), loop.create_task(invoke()), loop.create_task(tick())]
        try:
            yield client
        finally:
            for one in invocations:
                one.cancel()
            await asyncio.gather(*invocations, return_exceptions=True)
            host.close()
            await parts.transport.close()
            await parts.store.close()


DEPLOYMENTS: dict[str, tuple[StoreName, Shape]] = {
    "memory": ("memory", together),
    "sqlite": ("sqlite", together),
    "sqlite, client apart": ("sqlite", apart),
    "sqlite, serverless": ("sqlite", serverless),
    "PostgreSQL": ("postgres", together),
    "PostgreSQL, client apart": ("postgres", apart),
    "PostgreSQL, serverless": ("postgres", serverless),
}
