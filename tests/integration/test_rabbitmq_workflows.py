"""Whole workflows while the broker is stopped, killed, cut off and robbed of its queue: none is lost, none ends twice.

``MAINSPRING_TEST_RABBIT_BREAKS`` says how often; the runs that are started between two breaks are ``RUNS``.
"""

import asyncio
import os
from collections import Counter
from datetime import timedelta
from itertools import cycle, islice

import pytest

from mainspring import Context, Mainspring, RunStatus, Workflow, stage
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from tests.rabbitmq.looking import delete
from tests.rabbitmq.server import RabbitServer

BREAKS = int(os.environ.get("MAINSPRING_TEST_RABBIT_BREAKS", "4"))
RUNS = 40
SOON = 90.0

TIMING = Timing(
    lease=timedelta(seconds=10),
    heartbeat=timedelta(seconds=1),
    reap=timedelta(seconds=0.3),
    safety_poll=timedelta(hours=1),
    shutdown_grace=timedelta(seconds=5),
)

begun: Counter[str] = Counter()


@stage
async def first(ctx: Context, number: int) -> int:
    begun[f"{ctx.run_id}/first"] += 1
    await asyncio.sleep(0.02)
    return number + 1


@stage
async def left(ctx: Context, number: int) -> int:
    begun[f"{ctx.run_id}/left"] += 1
    return number * 2


@stage
async def right(ctx: Context, number: int) -> int:
    begun[f"{ctx.run_id}/right"] += 1
    return number * 3


@stage
async def total(ctx: Context, both: dict[str, int]) -> int:
    begun[f"{ctx.run_id}/total"] += 1
    return both["left"] + both["right"]


sums = Workflow("sums", version="1").pipe(first).parallel(left, right).pipe(total)


async def broken(server: RabbitServer, url: str, how: str) -> None:
    """Break it and let it come back."""
    if how == "delete":
        await delete(server.address, url.partition("queue=")[2])
    elif how == "cut":
        await asyncio.to_thread(server.close_connections)
    else:
        await asyncio.to_thread(server.stop, "kill" if how == "kill" else "term")
        await asyncio.to_thread(server.start)


@pytest.mark.timeout(300)
@pytest.mark.fault(7, 33, 35, 36, 37, 39)
async def test_no_run_is_lost_and_none_is_done_twice_whatever_becomes_of_the_broker(
    database: str, rabbitmq: RabbitServer, rabbit_queue: str
) -> None:
    begun.clear()
    settings = WorkerSettings(timing=TIMING)
    workers = [Mainspring(database, workflows=[sums], settings=settings, transport=rabbit_queue) for _ in range(2)]
    client = Mainspring(database, workflows=[sums], worker=False, transport=rabbit_queue)
    async with asyncio.timeout(SOON + 15 * BREAKS), workers[0], workers[1], client:
        runs = [await client.start(sums, number) for number in range(RUNS)]
        for how in islice(cycle(("kill", "cut", "delete", "term")), BREAKS):
            breaking = asyncio.create_task(broken(rabbitmq, rabbit_queue, how))
            while not breaking.done():  # starts go on all the while: the store takes them
                runs += await client.start_many(sums, range(len(runs), len(runs) + 5))
                await asyncio.sleep(0.05)
            await breaking
        ended = [await run.result() for run in runs]
        assert ended == [(number + 1) * 5 for number in range(len(runs))]
        assert {await run.status() for run in runs} == {RunStatus.COMPLETED}
        stages = [await client.parts.store.stages(run.id) for run in runs]
    assert all(len(rows) == 4 for rows in stages)
    assert set(begun.values()) == {1}, "messages that came twice were not worked on twice"
    assert len(begun) == 4 * len(runs)
