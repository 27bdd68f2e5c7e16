"""The deployments that whole workflows are run on. A further deployment is one more function here."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

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

Deployment = Callable[[Path, list[Workflow[Any, Any]]], AbstractAsyncContextManager[Mainspring]]


@asynccontextmanager
async def memory(folder: Path, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """Everything in one process, nothing on disk."""
    async with Mainspring("memory://", workflows=workflows, settings=WorkerSettings(timing=QUICK)) as engine:
        yield engine


@asynccontextmanager
async def sqlite(folder: Path, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """The embedded default: a file, the worker in the caller's process."""
    url = f"sqlite:///{folder / 'store.db'}"
    async with Mainspring(url, workflows=workflows, settings=WorkerSettings(timing=QUICK)) as engine:
        yield engine


@asynccontextmanager
async def sqlite_apart(folder: Path, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """Client and worker with a connection each, as two processes have: only the file tells one of the other."""
    url = f"sqlite:///{folder / 'store.db'}"
    settings = WorkerSettings(timing=QUICK)
    async with (
        Mainspring(url, workflows=workflows, settings=settings),
        Mainspring(url, workflows=workflows, worker=False) as client,
    ):
        yield client


@asynccontextmanager
async def sqlite_serverless(folder: Path, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """No worker: only the serverless handlers, called again and again."""
    url = f"sqlite:///{folder / 'store.db'}"
    async with Mainspring(url, workflows=workflows, worker=False) as client:
        parts = open_parts(url)
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


DEPLOYMENTS: dict[str, Deployment] = {
    "memory": memory,
    "sqlite": sqlite,
    "sqlite, client apart": sqlite_apart,
    "sqlite, serverless": sqlite_serverless,
}
