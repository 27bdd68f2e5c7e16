"""Workflows whose bodies make trouble. They speak to the test by files in ``TROUBLES``."""

import asyncio
import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from mainspring import NO_RETRY, Context, Retry, workflow

FOLDER = Path(os.environ.get("TROUBLES", "."))
QUICK = Retry(max_attempts=2, initial=timedelta(milliseconds=10))


def told(name: str) -> bool:
    return (FOLDER / name).exists()


def tell(name: str) -> None:
    (FOLDER / name).touch()


@workflow
async def patient(ctx: Context) -> str:
    """Ends when it is told to go."""
    tell("patient")
    while not told("go"):
        await asyncio.sleep(0.01)
    return "went"


@workflow
def endless(ctx: Context) -> None:
    """A thread that never returns."""
    tell("endless")
    threading.Event().wait()


@workflow
async def pooled(ctx: Context) -> None:
    """Leaves a thread in the loop's own pool, which Python waits for when it ends."""
    tell("pooled")
    await asyncio.to_thread(threading.Event().wait)


@workflow
async def blocking(ctx: Context) -> str:
    """Blocks the loop at its first attempt."""
    if not told("blocked"):
        tell("blocked")
        time.sleep(3600)
    return f"attempt {ctx.attempt}"


@workflow(retry=NO_RETRY)
async def exits(ctx: Context) -> None:
    """Means to end the process, in a task of its own."""

    async def leave() -> None:
        sys.exit(3)

    await asyncio.gather(asyncio.create_task(leave()))


@workflow(retry=NO_RETRY)
async def stops_the_loop(ctx: Context) -> str:
    """Means to end the loop, in every way there is."""
    loop = asyncio.get_running_loop()
    loop.call_soon(sys.exit)
    await asyncio.sleep(0.01)
    loop.stop()
    await asyncio.sleep(0.01)
    return "still here"


@workflow(retry=NO_RETRY)
def exits_in_a_thread(ctx: Context) -> None:
    sys.exit(4)


@workflow(retry=QUICK)
async def poison(ctx: Context) -> None:
    """Ends the process at once."""
    os._exit(41)


@workflow
async def neighbour(ctx: Context, number: int) -> int:
    return number + 1


@workflow(retry=NO_RETRY, attempt_timeout=timedelta(milliseconds=100))
def stuck(ctx: Context) -> None:
    """Ignores that its time is over."""
    threading.Event().wait()
