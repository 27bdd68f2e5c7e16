"""Messages per second through RabbitMQ: ``python -m benchmarks.rabbitmq amqp://guest:guest@127.0.0.1/``.

Rates of one process that sends and receives: pointers sent by 50 callers at once, each message confirmed; then
received and settled; then both at the same time; and how long one message takes that is sent alone.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable
from datetime import timedelta
from statistics import median
from uuid import uuid4

from mainspring.adapters.rabbitmq.job_transport import RabbitJobTransport
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Pointer

CALLERS = 50
MESSAGES = 20_000
ALONE = 500
_LONG = timedelta(seconds=10)


def pointer(number: int) -> Pointer:
    return Pointer(run_id=RunId(f"019a0000-0000-7000-8000-{number:012x}"), stage=StageId("hello"))


async def send(transport: RabbitJobTransport, messages: int) -> None:
    numbers = iter(range(messages))

    async def caller() -> None:
        for number in numbers:
            await transport.send([pointer(number)])

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def receive(transport: RabbitJobTransport, messages: int) -> None:
    left = messages
    while left > 0:
        hints = await transport.receive(100, _LONG)
        await asyncio.gather(*(transport.settle(hint) for hint in hints))
        left -= len(hints)


async def alone(transport: RabbitJobTransport) -> list[float]:
    took: list[float] = []
    for number in range(ALONE):
        began = time.perf_counter()
        await transport.send([pointer(number)])
        (hint,) = await transport.receive(1, _LONG)
        await transport.settle(hint)
        took.append(time.perf_counter() - began)
    return took


async def timed(name: str, *work: Awaitable[None]) -> None:
    began = time.perf_counter()
    await asyncio.gather(*work)
    print(f"{MESSAGES / (time.perf_counter() - began):8,.0f} messages/s {name}")


async def main(address: str) -> None:
    transport = RabbitJobTransport(f"{address}?queue=bench-{uuid4().hex[:8]}")
    await transport.ready()
    await timed("sent", send(transport, MESSAGES))
    await timed("received and settled", receive(transport, MESSAGES))
    await timed("sent, received and settled", send(transport, MESSAGES), receive(transport, MESSAGES))
    await timed("sent in one call", transport.send([pointer(number) for number in range(MESSAGES)]))
    await receive(transport, MESSAGES)
    took = sorted(await alone(transport))
    usual, most = median(took) * 1000, took[-ALONE // 100] * 1000
    print(f"{usual:8.2f} ms sent, received and settled alone; 99 of 100 in {most:.2f} ms")
    await transport.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
