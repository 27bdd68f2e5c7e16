"""What the chaos test on PostgreSQL runs: a workflow, and the processes that are killed and stopped.

``python -m tests.integration.chaos_postgres_process serverless|client URL FOLDER``; workers are ``mainspring worker``.

Rule: whatever a process does outside the store is one line, appended at once to a file of the folder that CHAOS_FOLDER
names: it stands there whatever becomes of the process, and lines of several processes do not mix.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import structlog

from mainspring import Context, Mainspring, Retry, Workflow, stage
from mainspring.engine import open_parts
from mainspring.errors import PortError
from mainspring.hosts.execution.parts import Parts, Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.serverless import Budget, ServerlessHost
from mainspring.hosts.upkeep.relay import Relay
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.records import Event

FOLDER = "CHAOS_FOLDER"
EFFECTS, EVENTS, STARTS = "effects", "events", "starts"
LEASE = timedelta(seconds=1)
TIMING = Timing(
    lease=LEASE,
    heartbeat=timedelta(seconds=0.3),
    reap=timedelta(seconds=0.3),
    safety_poll=timedelta(seconds=0.5),
    cancel_grace=timedelta(seconds=0.2),
)
PATIENT = Retry(max_attempts=1000, initial=timedelta(milliseconds=10), maximum=timedelta(milliseconds=200))
WIDTH = 4  #: instances of the mapped stage

logger = structlog.get_logger("chaos")


def write_down(name: str, lines: Sequence[str]) -> None:
    """Append lines to a file of the folder, in one write."""
    path = Path(os.environ[FOLDER]) / name
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, "".join(f"{line}\n" for line in lines).encode())
    finally:
        os.close(handle)


def act_outside(ctx: Context) -> None:
    """The effect of a stage: it tells its key and its token, as a payment provider would be told them."""
    write_down(EFFECTS, [f"{ctx.idempotency_key} {ctx.fencing_token} {ctx.attempt} {os.getpid()}"])


@stage(retry=PATIENT)
async def spread(ctx: Context, number: int) -> list[int]:
    act_outside(ctx)
    await asyncio.sleep(0.01)
    return [number + place for place in range(WIDTH)]


@stage(retry=PATIENT)
async def square(ctx: Context, number: int) -> list[int]:
    """The square, and under which token it was made. Some take long: whoever is killed has some under way."""
    await asyncio.sleep(0.8 if number % 5 == 0 else 0.02)
    act_outside(ctx)
    return [number * number, ctx.fencing_token]


@stage(retry=PATIENT)
def least(ctx: Context, squares: list[list[int]]) -> int:
    act_outside(ctx)
    return min(value for value, _ in squares)


@stage(retry=PATIENT)
async def total(ctx: Context, squares: list[list[int]]) -> int:
    act_outside(ctx)
    found = sum(value for value, _ in squares)
    if ctx.attempt == 1 and found % 3 == 0:
        raise ValueError("not at the first try")
    return found


@stage(retry=PATIENT)
async def gap(ctx: Context, both: dict[str, int]) -> int:
    act_outside(ctx)
    return both["total"] - both["least"]


flow = Workflow("chaos", version="1").pipe(spread).map(square, max_parallel=3).parallel(least, total).pipe(gap)

STAGES = {"spread": 1, "square": WIDTH, "least": 1, "total": 1, "gap": 1}


def expected(number: int) -> int:
    """What the flow gives."""
    squares = [(number + place) ** 2 for place in range(WIDTH)]
    return sum(squares) - min(squares)


class File:
    """The world that events are told: it loses nothing that it confirmed."""

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        """Written down, hence confirmed."""
        write_down(EVENTS, [f"{event.run_id} {event.seq} {event.id} {event.type}" for event in events])
        return [None] * len(events)


async def relay(parts: Parts) -> None:
    """Publish for ever, under a lease that is soon free again when its holder is killed."""
    lease_id = parts.ids.new_lease_id()
    dispatcher = Dispatcher(parts.store, parts.clock, parts.ids)
    relaying = Relay(parts.store, dispatcher, File(), lease_id, length=LEASE)
    while True:
        try:
            settled = await relaying.tick()
        except PortError as error:
            logger.info("relay_failed", error=str(error))
            settled = None
        if settled is None:
            await asyncio.sleep(0.1)


def left_until(moment: float) -> Budget:
    """What is left until that moment of the loop's clock."""
    loop = asyncio.get_running_loop()
    return lambda: timedelta(seconds=moment - loop.time())


async def serverless(url: str) -> None:
    """Nothing but handlers, called again and again, and a relay."""
    parts = open_parts(url)
    registry = WorkflowRegistry([flow], parts.codec)
    host = ServerlessHost(parts, registry, timing=TIMING, margin=timedelta(milliseconds=200))
    loop = asyncio.get_running_loop()
    relaying = loop.create_task(relay(parts))
    while not relaying.done():
        try:
            report = await host.process_available_jobs(8, left_until(loop.time() + 1.0))
            await host.run_maintenance_tick()
            await parts.transport.receive(10, timedelta(seconds=0 if report.claimed else 0.05))
        except PortError as error:  # the invocation failed; there will be another
            logger.info("invocation_failed", error=str(error))
            await asyncio.sleep(0.05)
    await relaying


async def client(url: str, count: str, began: str, seconds: str) -> None:
    """Start runs, each until the store has answered, from where the client before it was killed.

    Evenly over so many seconds from the moment ``began`` of the system's monotonic clock; one that is late catches up.
    """
    path = Path(os.environ[FOLDER]) / STARTS
    begun = len(set(path.read_text().split("\n")) - {""}) if path.exists() else 0
    async with Mainspring(url, workflows=[flow], worker=False) as engine:
        for number in range(max(0, begun - 5), int(count)):
            while True:
                try:
                    run = await engine.start(flow, number, key=f"run {number}")
                    break
                except PortError as error:
                    logger.info("start_failed", error=str(error))
                    await asyncio.sleep(0.05)
            write_down(STARTS, [f"{number} {run.id}"])
            due = float(began) + float(seconds) * number / int(count)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    if sys.argv[1] == "client":
        asyncio.run(client(*sys.argv[2:]))
    else:
        asyncio.run(serverless(*sys.argv[2:]))
