"""PgQueuer (asyncpg), with the modes of ``benchmarks.ours``. Runs in its own venv.

A queue has no workflows: a run of three steps is a chain of jobs, each enqueueing the next. Nobody keeps results, so
the joining run only enqueues its children, and whoever waits counts rows of the log.
"""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from parts import CALLERS, answer, by_callers, called, chunks, document, ready, timed_async, wait_go
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

STEPS = {"noop3": 3, "noop1": 1}
BATCH = 100


def body(left: int, value: Any) -> bytes:
    return json.dumps({"left": left, "value": value}).encode()


def entrypoint(left: int) -> str:
    return "last" if left == 1 else "step"


async def driver(url: str) -> AsyncpgDriver:
    return AsyncpgDriver(await asyncpg.connect(url))


async def queries(url: str) -> Queries:
    return Queries(await driver(url))


async def setup(url: str) -> None:
    await (await queries(url)).install()
    answer()


async def worker(url: str, *_: str) -> None:
    queue = PgQueuer(await driver(url))

    async def step(job: Any) -> None:
        told = json.loads(job.payload)
        if told["left"] > 1:
            left = told["left"] - 1
            await queue.qm.queries.enqueue(entrypoint(left), body(left, told["value"]))

    queue.entrypoint("step")(step)
    queue.entrypoint("last")(step)

    @queue.entrypoint("parent")
    async def parent(job: Any) -> None:
        count = json.loads(job.payload)["n"]
        bodies = [body(1, document(number)) for number in range(count)]
        await queue.qm.queries.enqueue(["last"] * count, bodies, [0] * count)

    ready()
    await queue.run(batch_size=BATCH, dequeue_timeout=timedelta(seconds=30))


async def start(url: str, flow: str, count: int) -> None:
    await _start(url, flow, count, 1)


async def start_50(url: str, flow: str, count: int) -> None:
    await _start(url, flow, count, CALLERS)


async def _start(url: str, flow: str, count: int, connections: int) -> None:
    opened, left = [await queries(url) for _ in range(connections)], STEPS[flow]
    callers = [lambda number, one=one: one.enqueue(entrypoint(left), body(left, document(number))) for one in opened]
    answer(seconds=await by_callers(count, callers))


async def start_many(url: str, flow: str, count: int) -> None:
    one, left = await queries(url), STEPS[flow]
    begin = time.perf_counter()
    for inputs in chunks(count):
        width = len(inputs)
        await one.enqueue([entrypoint(left)] * width, [body(left, value) for value in inputs], [0] * width)
    answer(seconds=time.perf_counter() - begin)


async def _ended(connection: Any) -> int:
    query = "select count(*) from pgqueuer_log where status = 'successful' and entrypoint = 'last'"
    return int(await connection.fetchval(query))


async def remote(url: str, flow: str, count: int) -> None:
    one, looking, left = await queries(url), await asyncpg.connect(url), STEPS[flow]

    async def once(number: int) -> None:
        await one.enqueue(entrypoint(left), body(left, document(number)))
        while await _ended(looking) <= number:  # noqa: ASYNC110  there is nothing to be told by
            await asyncio.sleep(0.002)

    await timed_async(count, once)


async def fan(url: str, _flow: str, count: int) -> None:
    one, looking = await queries(url), await asyncpg.connect(url)
    begin = time.perf_counter()
    await one.enqueue("parent", json.dumps({"n": count}).encode())
    while (found := await _ended(looking)) < count:  # noqa: ASYNC110  there is nothing to be told by
        await asyncio.sleep(0.01)
    answer(seconds=time.perf_counter() - begin, joined=found)


MODES: dict[str, Any] = {
    "setup": setup,
    "start": start,
    "start_50": start_50,
    "start_many": start_many,
    "worker": worker,
    "remote": remote,
    "fan": fan,
}

if __name__ == "__main__":
    mode, url, rest = called()
    if mode == "worker":
        wait_go()
    uvloop.run(MODES[mode](url, *rest))
