"""Procrastinate, with the modes of ``benchmarks.ours``. Runs in its own venv.

A queue has no workflows: a run of three steps is a chain of jobs, each deferring the next. Nobody keeps results, so the
joining run only defers its children, and a run that is waited for tells so itself. Knobs (environment), set to what
served it best: PROC_CONC, PROC_POOL, PROC_POLL (seconds between two looks for work).
"""

import asyncio
import os
import time
from typing import Any

import psycopg
from parts import CALLERS, answer, by_callers, called, chunks, document, knob, ready, timed_async, wait_go
from procrastinate import App, PsycopgConnector

CONCURRENCY, POOL = int(knob("PROC_CONC", "10")), int(knob("PROC_POOL", "6"))
POLL = float(knob("PROC_POLL", "0.02"))
STEPS = {"noop3": 3, "noop1": 1}
app = App(connector=PsycopgConnector(conninfo=called()[1], min_size=POOL, max_size=POOL))


@app.task(name="step", queue="q")
async def step(left: int, tag: str, value: Any) -> None:
    if left > 1:
        await step.defer_async(left=left - 1, tag=tag, value=value)
    elif tag:
        await app.connector.execute_query_async("select pg_notify('bench_done', %(tag)s)", tag=tag)


@app.task(name="parent", queue="q")
async def parent(count: int) -> None:
    await step.batch_defer_async(*[{"left": 1, "tag": "", "value": document(number)} for number in range(count)])


async def setup(_: str) -> None:
    await app.schema_manager.apply_schema_async()
    answer()


async def worker(_: str, *_more: str) -> None:
    ready()
    await app.run_worker_async(concurrency=CONCURRENCY, queues=["q"], fetch_job_polling_interval=POLL)


async def start(_: str, flow: str, count: int) -> None:
    await _start(flow, count, 1)


async def start_50(_: str, flow: str, count: int) -> None:
    """Fifty callers on the app's pool."""
    await _start(flow, count, CALLERS)


async def _start(flow: str, count: int, callers: int) -> None:
    async def once(number: int) -> None:
        await step.defer_async(left=STEPS[flow], tag="", value=document(number))

    answer(seconds=await by_callers(count, [once] * callers))


async def start_many(_: str, flow: str, count: int) -> None:
    begin = time.perf_counter()
    for inputs in chunks(count):
        await step.batch_defer_async(*[{"left": STEPS[flow], "tag": "", "value": one} for one in inputs])
    answer(seconds=time.perf_counter() - begin)


async def remote(url: str, flow: str, count: int) -> None:
    hearing = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await hearing.execute("listen bench_done")
    told = hearing.notifies()

    async def once(number: int) -> None:
        await step.defer_async(left=STEPS[flow], tag=f"run{number}", value=document(number))
        assert (await anext(told)).payload == f"run{number}"

    await timed_async(count, once)
    os._exit(0)


async def fan(url: str, _flow: str, count: int) -> None:
    query = "select count(*) from procrastinate_jobs where status = 'succeeded' and args->>'left' = '1'"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as looking:
        begin, found = time.perf_counter(), 0
        await parent.defer_async(count=count)
        while found < count:
            await asyncio.sleep(0.01)
            found = (await (await looking.execute(query)).fetchone() or (0,))[0]
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


async def main() -> None:
    mode, url, rest = called()
    if mode == "worker":
        wait_go()
    async with app.open_async():
        await MODES[mode](url, *rest)


if __name__ == "__main__":
    asyncio.run(main())
