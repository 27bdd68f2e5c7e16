"""What tests ask for by name when they need RabbitMQ. Rule: it is started when the first test asks for it."""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from itertools import count
from uuid import uuid4

import pytest

from tests.rabbitmq.looking import delete
from tests.rabbitmq.server import RabbitServer, private_rabbit

_numbers = count(1)


@pytest.fixture(scope="session")
def rabbitmq() -> Generator[RabbitServer]:
    """The broker: one of our own, or the one that MAINSPRING_TEST_AMQP_URL names."""
    address = os.environ.get("MAINSPRING_TEST_AMQP_URL")
    if address:
        yield RabbitServer(address)
        return
    with private_rabbit() as server:
        yield server


@pytest.fixture(scope="session")
def used_rabbit_names(rabbitmq: RabbitServer) -> Generator[list[str]]:
    """Names whose tests are over: what stands under them is deleted before the next test, and at the end."""
    used: list[str] = []
    yield used
    for name in used:
        asyncio.run(delete(rabbitmq.address, name))


@pytest.fixture
async def rabbit_name(rabbitmq: RabbitServer, used_rabbit_names: list[str]) -> AsyncGenerator[str]:
    """A name for a queue or an exchange that nobody else has."""
    while used_rabbit_names:  # not after their test: it closes what it opened after its fixtures
        await delete(rabbitmq.address, used_rabbit_names.pop())
    name = f"test-{uuid4().hex[:8]}-{next(_numbers)}"
    yield name
    used_rabbit_names.append(name)


@pytest.fixture
def rabbit_queue(rabbitmq: RabbitServer, rabbit_name: str) -> str:
    """The URL of a queue of the test's own."""
    return rabbitmq.url(queue=rabbit_name)
