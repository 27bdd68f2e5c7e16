"""A process whose threads race with those of others: ``python -m tests.integration.races_postgres_process WHAT URL``.

Rule: each thread has an event loop and connections of its own, as a process would, and nobody begins before all are
ready: they wait for a lock of the database that the test holds. What each thread won is one line of JSON on stdout.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg

from mainspring import Context, Mainspring, Workflow, stage
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.ports.names import WorkerId

GATE = 20261120  #: the advisory lock that the test holds until all are ready
THREADS = 3
KEYS, SIGNALS, JOBS = 30, 30, 150
BRANCHES, ELEMENTS = 50, 300
LONG = timedelta(minutes=5)
FOLDER = "RACES_FOLDER"


@stage
async def answer(ctx: Context, number: int) -> int:
    return number


plain = Workflow("plain", version="1").pipe(answer)


def called(ctx: Context, name: str) -> None:
    """Write down that a join's body was called."""
    with (Path(os.environ[FOLDER]) / name).open("a") as file:
        file.write(f"{ctx.idempotency_key}\n")


def branch(number: int) -> "Callable[[Context, int], Awaitable[int]]":
    """The body of one branch of the group."""

    async def body(ctx: Context, value: int) -> int:
        await asyncio.sleep(0)
        return value + number

    return body


@stage
async def joined(ctx: Context, values: dict[str, int]) -> int:
    called(ctx, "joined")
    return sum(values.values())


@stage
async def elements(ctx: Context, count: int) -> list[int]:
    return list(range(count))


@stage
async def doubled(ctx: Context, value: int) -> int:
    return value * 2


@stage
async def summed(ctx: Context, values: list[int]) -> int:
    called(ctx, "summed")
    return sum(values)


group = (
    Workflow("group", version="1")
    .parallel(*(stage(id=f"branch-{number}")(branch(number)) for number in range(BRANCHES)))
    .pipe(joined)
)
mapped = Workflow("mapped", version="1").pipe(elements).map(doubled).pipe(summed)


async def start(engine: Mainspring, name: str) -> object:
    """Start a run for each key; the ids, and of which keys this thread made the run."""
    runs = await asyncio.gather(*(engine.start(plain, number, key=f"key {number}") for number in range(KEYS)))
    return {"ids": [run.id for run in runs], "made": [n for n, run in enumerate(runs) if run.created]}


async def signal(engine: Mainspring, name: str) -> object:
    """Send what all others send too, and signals of its own; which of the common ones this thread got in."""
    (run,) = (await engine.runs()).runs
    handle = engine.handle(run.id)
    taken: list[int] = []
    for number in range(SIGNALS):
        if await handle.signal("go", number, id=f"common {number}"):
            taken.append(number)
        assert await handle.signal("own", [name, number], id=f"{name} {number}")
    return {"taken": taken}


async def claim(engine: Mainspring, name: str) -> object:
    """Claim a few jobs at a time until none is due; what was claimed, under which token."""
    store, routes = engine.parts.store, WorkflowRegistry([plain], engine.parts.codec).routes()
    taken: list[tuple[str, int]] = []
    while await store.next_due(routes) is not None:
        leases = await store.claim(routes, limit=7, length=LONG, worker=WorkerId(name))
        taken += [(lease.job.run_id, lease.job.token) for lease in leases]
    return {"taken": taken}


RACES = {"start": start, "signal": signal, "claim": claim}


def race(what: str, url: str, place: int) -> str:
    """One thread: open, wait for the gate, race; what it won."""

    async def run() -> object:
        async with Mainspring(url, workflows=[plain], worker=False) as engine:
            await engine.runs()
            await asyncio.to_thread(pass_gate, url)
            return await RACES[what](engine, f"{os.getpid()}-{place}")

    return json.dumps(asyncio.run(run()))


def pass_gate(url: str) -> None:
    """Wait until the test opens the gate."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock_shared(%s)", (GATE,))


def main(what: str, url: str) -> None:
    """All threads."""
    with ThreadPoolExecutor(THREADS) as threads:
        racing = [threads.submit(race, what, url, place) for place in range(THREADS)]
        for one in racing:
            sys.stdout.write(one.result() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
