"""What tests of SQS ask for by name. Rule: what a fixture opened is closed after the test."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mainspring.adapters.memory import ManualClock, MemoryPersistence, SeededIds
from mainspring.ports.contracts.world import World
from tests.aws.servers import AwsServer
from tests.aws.sqs_transports import Transports


@pytest.fixture(params=["moto", "ministack"])
def server(request: pytest.FixtureRequest) -> AwsServer:
    """Each server."""
    found: AwsServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def opened() -> AsyncIterator[Transports]:
    """Opens transports of pointers over clients that misbehave as asked."""
    made = Transports()
    yield made
    await made.close()


@pytest.fixture
def world() -> World:
    """A memory store, its clock, and builders of records."""
    clock = ManualClock()
    store = MemoryPersistence(clock, SeededIds(clock))

    async def advance(by: timedelta) -> None:
        clock.advance(by)

    return World(store=store, other=store.another(), clock=clock, advance=advance)
