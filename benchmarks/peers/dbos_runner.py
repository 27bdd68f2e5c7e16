"""DBOS Transact, with the modes of ``benchmarks.ours``. Runs in its own venv.

Knobs (environment), set to what served it best: DBOS_STYLE async or sync, DBOS_WC (worker concurrency, 0: unbounded),
DBOS_POLL and DBOS_GET_POLL (seconds between two looks at the queue, at a result).
"""

import asyncio
import os
import resource
import signal
import time
from typing import Any

from dbos import DBOS, DBOSClient
from parts import answer, by_threads, called, chunks, document, ready, timed, timed_async, wait_go

STYLE = os.environ.get("DBOS_STYLE", "async")
CONCURRENCY = int(os.environ.get("DBOS_WC", "0")) or None
POLL = float(os.environ.get("DBOS_POLL", "0.01"))
GET_POLL = float(os.environ.get("DBOS_GET_POLL", "0.005"))

if STYLE == "sync":

    @DBOS.step()
    def step(value: Any) -> Any:
        return value

    @DBOS.workflow()
    def noop3(value: Any) -> Any:
        for _ in range(3):
            value = step(value)
        return value

    @DBOS.workflow()
    def noop1(value: Any) -> Any:
        return step(value)

    @DBOS.workflow()
    def fanned(count: int) -> int:
        handles = [DBOS.enqueue_workflow("q", noop1, document(number)) for number in range(count)]
        return len([handle.get_result(polling_interval_sec=GET_POLL) for handle in handles])

else:

    @DBOS.step()
    async def step(value: Any) -> Any:
        return value

    @DBOS.workflow()
    async def noop3(value: Any) -> Any:
        for _ in range(3):
            value = await step(value)
        return value

    @DBOS.workflow()
    async def noop1(value: Any) -> Any:
        return await step(value)

    @DBOS.workflow()
    async def fanned(count: int) -> int:
        handles = [await DBOS.enqueue_workflow_async("q", noop1, document(number)) for number in range(count)]
        return len([await handle.get_result(polling_interval_sec=GET_POLL) for handle in handles])


def _driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def launch(url: str) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": _driver(url),
            "log_level": "ERROR",
            "application_version": "v1",
            "executor_id": os.environ.get("DBOS_EXEC", "local"),
        }
    )
    DBOS.launch()


def client(url: str) -> Any:
    return DBOSClient(system_database_url=_driver(url), application_name="bench")


def options(flow: str) -> Any:
    return {"workflow_name": flow, "queue_name": "q", "app_version": "v1"}


def setup(url: str) -> None:
    launch(url)
    DBOS.register_queue("q", polling_interval_sec=POLL, worker_concurrency=CONCURRENCY)
    time.sleep(0.1)
    DBOS.destroy()


def start(url: str, flow: str, count: int) -> None:
    starter = client(url)
    begin = time.perf_counter()
    for number in range(count):
        starter.enqueue(options(flow), document(number))
    answer(seconds=time.perf_counter() - begin)


def start_50(url: str, flow: str, count: int) -> None:
    starter = client(url)
    answer(seconds=by_threads(count, lambda number: starter.enqueue(options(flow), document(number))))


def start_many(url: str, flow: str, count: int) -> None:
    """A hundred starts in one transaction of the caller's: the nearest thing DBOS has."""
    import sqlalchemy

    starter, database = client(url), sqlalchemy.create_engine(_driver(url))
    begin = time.perf_counter()
    for inputs in chunks(count):
        with database.begin() as connection:
            for one in inputs:
                starter.enqueue_in_transaction(connection, options(flow), one)
    answer(seconds=time.perf_counter() - begin)


def worker(url: str, *more: str) -> None:
    statements = 0
    if "count" in more:
        import sqlalchemy

        @sqlalchemy.event.listens_for(sqlalchemy.Engine, "after_cursor_execute")
        def _count(*_: Any) -> None:
            nonlocal statements
            statements += 1

    def end(*_: Any) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        answer(cpu_s=usage.ru_utime + usage.ru_stime, peak_mb=usage.ru_maxrss / 1024)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGUSR1, lambda *_: answer(statements=statements))
    wait_go()
    launch(url)
    ready()
    while True:
        signal.pause()


def remote(url: str, flow: str, count: int) -> None:
    starter = client(url)

    def once(number: int) -> None:
        starter.enqueue(options(flow), document(number)).get_result(polling_interval_sec=GET_POLL)

    timed(count, once)


def local(url: str, flow: str, count: int) -> None:
    launch(url)
    time.sleep(1)
    workflow: Any = {"noop3": noop3, "noop1": noop1}[flow]

    async def once(number: int) -> None:
        handle: Any = await DBOS.start_workflow_async(workflow, document(number))
        await handle.get_result()

    if STYLE == "sync":
        timed(count, lambda number: DBOS.start_workflow(workflow, document(number)).get_result())
    else:
        asyncio.run(timed_async(count, once))
    os._exit(0)


def fan(url: str, _flow: str, count: int) -> None:
    starter = client(url)
    begin = time.perf_counter()
    handle: Any = starter.enqueue(options("fanned"), count)
    found = handle.get_result(polling_interval_sec=GET_POLL)
    answer(seconds=time.perf_counter() - begin, joined=found)


MODES: dict[str, Any] = {
    "setup": setup,
    "start": start,
    "start_50": start_50,
    "start_many": start_many,
    "worker": worker,
    "remote": remote,
    "local": local,
    "fan": fan,
}

if __name__ == "__main__":
    mode, url, rest = called()
    MODES[mode](url, *rest)
