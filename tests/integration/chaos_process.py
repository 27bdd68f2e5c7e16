"""A process that chaos tests start and kill: ``python -m tests.integration.chaos_process worker|serverless URL``."""

import asyncio
import sys
from datetime import timedelta

from mainspring import Context, Mainspring, Retry, Workflow, stage
from mainspring.engine import open_parts
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.serverless import Budget, ServerlessHost

LEASE = timedelta(seconds=1)
TIMING = Timing(
    lease=LEASE,
    heartbeat=timedelta(seconds=0.3),
    reap=timedelta(seconds=0.3),
    safety_poll=timedelta(seconds=0.5),
    cancel_grace=timedelta(seconds=0.2),
    shutdown_grace=timedelta(seconds=1),
)
PATIENT = Retry(max_attempts=1000, initial=timedelta(milliseconds=10), maximum=timedelta(milliseconds=200))


@stage(retry=PATIENT)
async def spread(ctx: Context, number: int) -> list[int]:
    await asyncio.sleep(0.01)
    return [number + place for place in range(4)]


@stage(retry=PATIENT)
async def square(ctx: Context, number: int) -> int:
    await asyncio.sleep(0.02)
    return number * number


@stage(retry=PATIENT)
def least(ctx: Context, numbers: list[int]) -> int:
    return min(numbers)


@stage(retry=PATIENT)
async def total(ctx: Context, numbers: list[int]) -> int:
    if ctx.attempt == 1 and sum(numbers) % 3 == 0:
        raise ValueError("not at the first try")
    return sum(numbers)


@stage(retry=PATIENT)
async def gap(ctx: Context, both: dict[str, int]) -> int:
    return both["total"] - both["least"]


flow = Workflow("chaos", version="1").pipe(spread).map(square, max_parallel=3).parallel(least, total).pipe(gap)


def expected(number: int) -> int:
    """What the flow gives."""
    squares = [(number + place) ** 2 for place in range(4)]
    return sum(squares) - min(squares)


def say_ready() -> None:
    """Tell the test."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def worker(url: str) -> None:
    """A node worker until it is killed."""
    async with Mainspring(url, workflows=[flow], settings=WorkerSettings(timing=TIMING, concurrency=20)):
        say_ready()
        await asyncio.Event().wait()


def budget(until: float) -> Budget:
    """What is left until that moment of the loop's clock."""
    loop = asyncio.get_running_loop()
    return lambda: timedelta(seconds=until - loop.time())


async def serverless(url: str) -> None:
    """Nothing but handlers, called again and again."""
    parts = open_parts(url)
    host = ServerlessHost(
        parts, WorkflowRegistry([flow], parts.codec), timing=TIMING, margin=timedelta(milliseconds=200)
    )
    loop = asyncio.get_running_loop()
    say_ready()
    while True:
        await host.process_available_jobs(8, budget(loop.time() + 1.0))
        await host.run_maintenance_tick()


if __name__ == "__main__":
    asyncio.run({"worker": worker, "serverless": serverless}[sys.argv[1]](sys.argv[2]))
