"""Looking at RabbitMQ as somebody else's program does, on a connection of its own."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage

from mainspring.adapters.rabbitmq.topology import job_topology
from mainspring.ports.names import RunId
from mainspring.ports.records import Event


@asynccontextmanager
async def channel(address: str) -> AsyncGenerator[AbstractChannel]:
    """A channel that is closed after the block."""
    async with aiormq.connect(address) as connection:
        yield await connection.channel()


async def delete(address: str, name: str) -> None:
    """Delete whatever our adapters may have made under a name."""
    async with channel(address) as made:
        for declared in job_topology(name):
            if declared.kind is None:
                await made.queue_delete(declared.name)
            else:
                await made.exchange_delete(declared.name)
        await made.exchange_delete(name)


async def take(address: str, queue: str, number: int) -> list[DeliveredMessage]:
    """That many messages, as soon as they are there; they are gone from the queue then."""
    async with channel(address) as made, asyncio.timeout(30):
        taken: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        await made.basic_consume(queue, taken.put, no_ack=True)
        return [await taken.get() for _ in range(number)]


async def depth(address: str, queue: str) -> int:
    """Messages that are ready in the queue."""
    async with channel(address) as made:
        return (await made.queue_declare(queue, passive=True)).message_count or 0


async def taken_events(address: str, queue: str) -> list[Event]:
    """The events that are in the queue now, in their order; they are gone from it then."""
    return [read_event(message.body) for message in await take(address, queue, await depth(address, queue))]


def read_event(body: bytes) -> Event:
    """The event of a message, as a consumer that knows CloudEvents reads it."""
    found = json.loads(body)
    event = Event(
        run_id=RunId(found["subject"]),
        seq=int(found["sequence"]),
        type=found["type"].removeprefix("mainspring."),
        at=datetime.fromisoformat(found["time"]),
        data=json.dumps(found["data"], ensure_ascii=False, separators=(",", ":")),
    )
    assert event.id == found["id"]
    return event
