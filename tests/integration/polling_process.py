"""A worker whose stage waits for a provider: ``python -m tests.integration.polling_process URL``.

The provider is a folder: every call leaves a line in ``calls``; a check hangs while ``hang`` is there, and finds the
batch ready once ``ready`` is.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from mainspring import Context, Mainspring, Pending, Retry, Workflow, stage
from mainspring.hosts.node_worker.settings import WorkerSettings
from tests.integration.chaos_process import TIMING, say_ready

OFTEN = Retry(max_attempts=100, initial=timedelta(milliseconds=10), maximum=timedelta(milliseconds=50))


def call(folder: str, name: str) -> None:
    """Leave a line."""
    with (Path(folder) / "calls").open("a") as calls:
        calls.write(f"{name}\n")


async def check(ctx: Context, folder: str) -> Pending[str] | str:
    """Ask the provider."""
    call(folder, "check")
    while (Path(folder) / "hang").exists():
        await asyncio.sleep(0.05)
    return "batch" if (Path(folder) / "ready").exists() else Pending(folder)


@stage(poll=check, retry=OFTEN)
def submit(ctx: Context, folder: str) -> Pending[str]:
    """Hand the batch in."""
    call(folder, "submit")
    return Pending(folder, every=timedelta(milliseconds=50), until=timedelta(minutes=10))


@stage
async def fetch(ctx: Context, batch: str) -> str:
    """Go on with it."""
    return f"{batch} fetched"


flow = Workflow("polling", version="1").pipe(submit).pipe(fetch)


async def worker(url: str) -> None:
    """A node worker until it is killed."""
    async with Mainspring(url, workflows=[flow], settings=WorkerSettings(timing=TIMING)):
        say_ready()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(worker(sys.argv[1]))
