"""A link to a broker that is not there: it begins anew after its task was ended, and who receives is told."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import attrs
import pytest
from aiormq.abc import AbstractChannel

from mainspring.adapters.rabbitmq.job_transport import RabbitJobTransport
from mainspring.adapters.rabbitmq.link import Link, Session, Timing
from mainspring.adapters.rabbitmq.location import locate
from mainspring.ports.errors import UnavailableError

TIMING = Timing(patience=0.5, answer=0.5, longest_pause=0.01)


@attrs.define
class Hollow:
    """A server that closes each connection at once."""

    url: str
    connections: int = 0
    news: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def another(self) -> None:
        """Wait for one more connection than there were."""
        self.news.clear()
        await self.news.wait()


@asynccontextmanager
async def hollow() -> AsyncGenerator[Hollow]:
    def closed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker.connections += 1
        broker.news.set()
        writer.close()

    server = await asyncio.start_server(closed, "127.0.0.1", 0)
    broker = Hollow(f"amqp://u:p@127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    try:
        yield broker
    finally:
        server.close()


async def nothing(_: AbstractChannel | Session) -> None:
    """There is nothing to prepare, and nothing to attend to."""


def keepers() -> list["asyncio.Task[None]"]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "mainspring rabbitmq"]


async def test_a_link_whose_task_was_ended_from_outside_begins_anew() -> None:
    async with asyncio.timeout(10), hollow() as broker:
        link = Link(locate(broker.url, known=set()), prepare=nothing, attend=nothing, timing=TIMING)
        link.begin()
        await broker.another()
        (keeper,) = keepers()
        keeper.cancel()
        await asyncio.wait([keeper])
        link.begin()
        await broker.another()
        await link.close()
        assert keepers() == []


async def test_who_waits_while_the_task_is_ended_goes_on_waiting_for_a_new_one() -> None:
    async with asyncio.timeout(10), hollow() as broker:
        link = Link(locate(broker.url, known=set()), prepare=nothing, attend=nothing, timing=TIMING)
        waiting = asyncio.create_task(link.session(patience=9))
        await broker.another()
        (keeper,) = keepers()
        keeper.cancel()
        await asyncio.wait([keeper])
        await broker.another()
        waiting.cancel()
        await link.close()


async def test_who_receives_is_told_that_there_was_no_broker_all_the_time() -> None:
    async with asyncio.timeout(10), hollow() as broker:
        transport = RabbitJobTransport(broker.url, timing=TIMING)
        with pytest.raises(UnavailableError):
            await transport.receive(1, timedelta(seconds=0.3))
        await transport.close()
        assert await transport.receive(1, timedelta(seconds=0.1)) == []
