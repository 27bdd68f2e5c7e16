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
from tests.acceptance.functions import Deployed, functions
from tests.aws.queues import Queue

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
    """What one test has to itself: a store, a place for its large payloads, perhaps a queue."""

    url: str
    blobs: str | None = None  #: None: where the store has them by itself
    transport: str | None = None  #: None: the store's own
    queue: Queue | None = None  #: the transport's queue, where that is SQS


Shape = Callable[[Place, list[Workflow[Any, Any]]], AbstractAsyncContextManager[Mainspring]]
StoreName = Literal["memory", "sqlite", "postgres"]
QueueName = Literal["rabbitmq", "sqs"]


@asynccontextmanager
async def together(place: Place, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """The embedded default: the worker in the caller's process."""
    settings = WorkerSettings(timing=QUICK)
    async with Mainspring(
        place.url, workflows=workflows, settings=settings, blobs=place.blobs, transport=place.transport
    ) as engine:
        yield engine


@asynccontextmanager
async def apart(place: Place, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """Client and worker with connections of their own, as two processes have: only the store tells one of the other."""
    async with (
        together(place, workflows),
        Mainspring(
            place.url, workflows=workflows, worker=False, blobs=place.blobs, transport=place.transport
        ) as client,
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
                await host.process_available_jobs(50, lambda: timedelta(seconds=7))
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
            await parts.close()


@asynccontextmanager
async def lambda_functions(place: Place, workflows: list[Workflow[Any, Any]]) -> AsyncGenerator[Mainspring]:
    """No worker: only functions that a queue's messages and a schedule invoke."""
    assert place.queue is not None
    deployed = Deployed(place.url, place.blobs, place.queue, workflows, QUICK)
    async with Mainspring(
        place.url, workflows=workflows, worker=False, blobs=place.blobs, transport=place.transport
    ) as client:
        at_work = functions(deployed)
        at_work.__enter__()
        try:
            yield client
        finally:
            await asyncio.to_thread(at_work.__exit__, None, None, None)


@attrs.frozen
class Deployment:
    """Which parts, and who executes."""

    store: StoreName
    shape: Shape
    queue: QueueName | None = None  #: with SQS, large payloads are in S3


DEPLOYMENTS: dict[str, Deployment] = {
    "memory": Deployment("memory", together),
    "SQLite": Deployment("sqlite", together),
    "SQLite, client apart": Deployment("sqlite", apart),
    "SQLite, serverless": Deployment("sqlite", serverless),
    "PostgreSQL": Deployment("postgres", together),
    "PostgreSQL, client apart": Deployment("postgres", apart),
    "PostgreSQL, serverless": Deployment("postgres", serverless),
    "PostgreSQL + RabbitMQ": Deployment("postgres", apart, "rabbitmq"),
    "PostgreSQL + SQS + S3": Deployment("postgres", apart, "sqs"),
    "PostgreSQL + SQS + S3, Lambda": Deployment("postgres", lambda_functions, "sqs"),
}
