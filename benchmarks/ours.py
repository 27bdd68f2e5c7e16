"""One process of ours: ``python -m benchmarks.ours <mode> <url> …``. Its answer is a line ``RESULT {json}``.

The peers' runners in ``benchmarks/peers`` know the same modes: setup, start, start_50, start_many, worker, local,
remote, fan. With ``BENCH_EVENTS=1`` the store writes events, and the worker relays them to a sink that confirms all.
"""

import asyncio
import json
import logging
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, cast

import structlog

from benchmarks.workloads import ALL, BY_NAME, GROUP, MAPPED, document
from mainspring import Mainspring
from mainspring.engine import open_parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.process import ProcessSettings, run_worker
from mainspring.hosts.node_worker.worker import Worker
from mainspring.ports.records import Event
from mainspring.ports.sinks import Sink
from mainspring.settings import from_environment

WARM_UP = 20
CHUNK = 10_000
"""Starts handed to ``start_many`` at once: the inputs of a million runs would not fit in memory."""


def answer(**fields: Any) -> None:
    print("RESULT " + json.dumps(fields), flush=True)


def spread_of(seconds: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    ordered = sorted(second * 1e3 for second in seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)}


def quiet() -> None:
    """Warnings only, as a worker under load is run: a line per run would be measured instead."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


class Confirming:
    """A sink that takes everything at once: what is measured is the relay."""

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        return [None] * len(events)


def sink() -> Confirming | None:
    return Confirming() if os.environ.get("BENCH_EVENTS") else None


def engine(url: str, *, worker: bool) -> Mainspring:
    return Mainspring(url, workflows=ALL, worker=worker, sink=sink() if worker else None)


async def setup(url: str) -> None:
    """Tables, and whether events are written. A server's schema is moved by hand, as ``mainspring migrate`` does."""
    if url.startswith("postgresql://"):
        from mainspring.adapters.sql.postgres_open import migrate_postgres

        await asyncio.to_thread(migrate_postgres, url)
    async with engine(url, worker=False) as client:
        if sink() is not None:
            await client.parts.store.add_sink(Sink())
        answer()


async def start(url: str, flow: str, count: int) -> None:
    async with engine(url, worker=False) as client:
        workflow, begin = BY_NAME[flow], time.perf_counter()
        for number in range(count):
            await client.start(workflow, document(number))
        answer(seconds=time.perf_counter() - begin)


async def start_50(url: str, flow: str, count: int) -> None:
    """Fifty callers of one process, each starting one run after the other."""
    async with engine(url, worker=False) as client:
        workflow, numbers, begin = BY_NAME[flow], iter(range(count)), time.perf_counter()

        async def caller() -> None:
            for number in numbers:
                await client.start(workflow, document(number))

        await asyncio.gather(*(caller() for _ in range(50)))
        answer(seconds=time.perf_counter() - begin)


async def start_many(url: str, flow: str, count: int) -> None:
    seconds = 0.0
    async with engine(url, worker=False) as client:
        for number in range(0, count, CHUNK):
            inputs = [document(one) for one in range(number, min(number + CHUNK, count))]
            begin = time.perf_counter()
            await client.start_many(BY_NAME[flow], inputs)
            seconds += time.perf_counter() - begin
    answer(seconds=seconds)


def worker(url: str, *more: str) -> None:
    """A process as ``mainspring worker`` starts it, until SIGTERM. With ``count`` it counts the store's statements."""
    if "count" in more:
        _count()
    said = from_environment()
    parts = open_parts(url, blobs=said.blobs or None, transport=said.transport or None, sink=sink())
    registry = WorkflowRegistry(ALL, parts.codec)
    working = Worker(parts, registry, from_environment().worker())
    print("WARM", flush=True)
    go = os.environ.get("BENCH_GO")
    while go and not Path(go).exists():
        time.sleep(0.002)
    print(f"READY {time.monotonic():.6f}", flush=True)
    sys.exit(run_worker(working, registry, parts, ProcessSettings()))


def _count() -> None:
    """Tell, at SIGUSR1, how many statements SQLite was asked on connections opened from now on."""
    statements, module = 0, cast("Any", sqlite3)
    connect = module.connect

    def count(_: str) -> None:
        nonlocal statements
        statements += 1

    def traced(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **named)
        connection.set_trace_callback(count)
        return connection

    module.connect = traced
    signal.signal(signal.SIGUSR1, lambda *_: answer(statements=statements))


async def timed(count: int, once: Callable[[int], Awaitable[object]]) -> None:
    taken: list[float] = []
    for number in range(count + WARM_UP):
        begin = time.perf_counter()
        await once(number)
        if number >= WARM_UP:
            taken.append(time.perf_counter() - begin)
    answer(**spread_of(taken))


async def local(url: str, flow: str, count: int) -> None:
    async with engine(url, worker=True) as client:
        await asyncio.sleep(0.3)
        await timed(count, lambda number: client.run(BY_NAME[flow], document(number)))


async def remote(url: str, flow: str, count: int) -> None:
    async with engine(url, worker=False) as client:
        await timed(count, lambda number: client.run(BY_NAME[flow], document(number)))


async def fan(url: str, flow: str, count: int) -> None:
    """One run that fans out and joins; ``count`` elements of a map, or the group of stages. Another process works."""
    async with engine(url, worker=False) as client:
        begin = time.perf_counter()
        found = await (client.run(GROUP, document(0)) if flow == "group" else client.run(MAPPED, count))
        answer(seconds=time.perf_counter() - begin, joined=found)


MODES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "setup": setup,
    "start": start,
    "start_50": start_50,
    "start_many": start_many,
    "local": local,
    "remote": remote,
    "fan": fan,
}


def main() -> None:
    mode, url, *rest = sys.argv[1:]
    arguments = [int(one) if one.isdigit() else one for one in rest]
    quiet()
    if mode == "worker":
        worker(url, *rest)
    else:
        asyncio.run(MODES[mode](url, *arguments))


if __name__ == "__main__":
    main()
