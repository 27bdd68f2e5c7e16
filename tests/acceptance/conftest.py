"""Every acceptance test runs on every deployment."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mainspring import Mainspring, Workflow
from tests.acceptance.deployments import DEPLOYMENTS, Deployment, Place
from tests.aws.buckets import bucket
from tests.aws.queues import Queue
from tests.aws.servers import AwsServer
from tests.rabbitmq.server import RabbitServer

Engines = Callable[..., AbstractAsyncContextManager[Mainspring]]


@pytest.fixture(scope="session")
def one_rabbit_queue(rabbitmq: RabbitServer) -> str:
    """One queue for all tests: messages that point at another test's runs are found pointless, as they should be."""
    return rabbitmq.url(queue=f"acceptance-{uuid4().hex[:8]}")


def new_place(deployment: Deployment, request: pytest.FixtureRequest, folder: Path) -> Place:
    """A store of the test's own, and what goes with it."""
    if deployment.store == "memory":
        return Place("memory://")
    if deployment.store == "sqlite":
        return Place(f"sqlite:///{folder / 'store.db'}")
    url, blobs = str(request.getfixturevalue("database")), str(folder / "blobs")
    if deployment.queue == "rabbitmq":
        return Place(url, blobs, request.getfixturevalue("one_rabbit_queue"))
    if deployment.queue == "sqs":
        server: AwsServer = request.getfixturevalue("ministack")
        queue = Queue.fresh(server)
        return Place(url, server.url("s3", bucket(server)), queue.url, queue)
    return Place(url, blobs)


@pytest.fixture(params=list(DEPLOYMENTS))
def engine_with(request: pytest.FixtureRequest, tmp_path: Path) -> Engines:
    """``async with engine_with(workflow, …) as engine:`` on one deployment."""
    deployment = DEPLOYMENTS[request.param]
    place = new_place(deployment, request, tmp_path)

    def enter(*workflows: Workflow[Any, Any]) -> AbstractAsyncContextManager[Mainspring]:
        return deployment.shape(place, list(workflows))

    return enter
