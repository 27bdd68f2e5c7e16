"""What the peers' runners share: the standard library only, for each runs in a virtual environment of its own."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

WARM_UP = 20
BATCH = 100
CALLERS = 50


def document(number: int) -> dict[str, str]:
    """A JSON object of exactly 200 bytes."""
    made = {"id": f"wf-{number:08d}", "data": ""}
    made["data"] = "x" * (200 - len(json.dumps(made)))
    return made


def answer(**fields: Any) -> None:
    print("RESULT " + json.dumps(fields), flush=True)


def knob(name: str, default: str) -> str:
    return os.environ.get(name, default)


def spread_of(seconds: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    ordered = sorted(second * 1e3 for second in seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)}


def wait_go() -> None:
    """Say that the imports are done, and wait for the file that lets all workers begin."""
    print("WARM", flush=True)
    go = os.environ.get("BENCH_GO")
    while go and not Path(go).exists():
        time.sleep(0.002)


def ready() -> None:
    print(f"READY {time.monotonic():.6f}", flush=True)


def chunks(count: int) -> Iterator[list[dict[str, str]]]:
    """Documents, a hundred at a time."""
    for low in range(0, count, BATCH):
        yield [document(number) for number in range(low, min(low + BATCH, count))]


def by_threads(count: int, once: Callable[[int], object]) -> float:
    """Fifty threads, each calling one after the other; seconds."""
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(once, range(CALLERS)))  # connections
        begin = time.perf_counter()
        list(pool.map(once, range(count)))
        return time.perf_counter() - begin


async def by_callers(count: int, callers: Iterable[Callable[[int], Awaitable[object]]]) -> float:
    """Each caller calls one after the other, until all numbers are taken; seconds."""
    numbers, begin = iter(range(count)), time.perf_counter()

    async def call(once: Callable[[int], Awaitable[object]]) -> None:
        for number in numbers:
            await once(number)

    await asyncio.gather(*(call(once) for once in callers))
    return time.perf_counter() - begin


def timed(count: int, once: Callable[[int], object]) -> None:
    """Percentiles of calls, one after the other."""
    taken: list[float] = []
    for number in range(count + WARM_UP):
        begin = time.perf_counter()
        once(number)
        taken.append(time.perf_counter() - begin)
    answer(**spread_of(taken[WARM_UP:]))


async def timed_async(count: int, once: Callable[[int], Awaitable[object]]) -> None:
    """The same for coroutines."""
    taken: list[float] = []
    for number in range(count + WARM_UP):
        begin = time.perf_counter()
        await once(number)
        taken.append(time.perf_counter() - begin)
    answer(**spread_of(taken[WARM_UP:]))


def called() -> tuple[str, str, list[Any]]:
    """Mode, URL and the rest of the command line, numbers as numbers."""
    mode, url, *rest = sys.argv[1:]
    return mode, url, [int(one) if one.isdigit() else one for one in rest]
