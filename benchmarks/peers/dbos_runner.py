"""DBOS Transact, with the modes of ``benchmarks.ours``. Runs in its own venv: the standard library and dbos only.

Knobs (environment), set to what served it best: DBOS_STYLE async or sync, DBOS_WC (worker concurrency, 0: unbounded),
DBOS_POLL and DBOS_GET_POLL (seconds between two looks at the queue, at a result).
"""

import asyncio
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSClient

STYLE = os.environ.get("DBOS_STYLE", "async")
CONCURRENCY = int(os.environ.get("DBOS_WC", "0")) or None
POLL = float(os.environ.get("DBOS_POLL", "0.01"))
GET_POLL = float(os.environ.get("DBOS_GET_POLL", "0.005"))
WARM_UP = 20


def document(number: int) -> dict[str, str]:
    made = {"id": f"wf-{number:08d}", "data": ""}
    made["data"] = "x" * (200 - len(json.dumps(made)))
    return made


def answer(**fields: Any) -> None:
    print("RESULT " + json.dumps(fields), flush=True)


def spread_of(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(second * 1e3 for second in seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)}


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


def launch(url: str) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "log_level": "ERROR",
            "application_version": "v1",
            "executor_id": os.environ.get("DBOS_EXEC", "local"),
        }
    )
    DBOS.launch()


def client(url: str) -> Any:
    return DBOSClient(system_database_url=url, application_name="bench")


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


def start_many(url: str, flow: str, count: int) -> None:
    """A hundred starts in one transaction of the caller's: the nearest thing DBOS has."""
    import sqlalchemy

    starter, database = client(url), sqlalchemy.create_engine(url)
    begin = time.perf_counter()
    for low in range(0, count, 100):
        with database.begin() as connection:
            for number in range(low, min(low + 100, count)):
                starter.enqueue_in_transaction(connection, options(flow), document(number))
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
    print("WARM", flush=True)
    go = os.environ.get("BENCH_GO")
    while go and not Path(go).exists():
        time.sleep(0.002)
    launch(url)
    print(f"READY {time.monotonic():.6f}", flush=True)
    while True:
        signal.pause()


def remote(url: str, flow: str, count: int) -> None:
    starter, taken = client(url), []
    for number in range(count + WARM_UP):
        begin = time.perf_counter()
        starter.enqueue(options(flow), document(number)).get_result(polling_interval_sec=GET_POLL)
        if number >= WARM_UP:
            taken.append(time.perf_counter() - begin)
    answer(**spread_of(taken))


def local(url: str, flow: str, count: int) -> None:
    launch(url)
    time.sleep(1)
    workflow: Any = {"noop3": noop3, "noop1": noop1}[flow]

    async def main() -> None:
        taken: list[float] = []
        for number in range(count + WARM_UP):
            begin = time.perf_counter()
            if STYLE == "sync":
                DBOS.start_workflow(workflow, document(number)).get_result()
            else:
                handle: Any = await DBOS.start_workflow_async(workflow, document(number))
                await handle.get_result()
            if number >= WARM_UP:
                taken.append(time.perf_counter() - begin)
        answer(**spread_of(taken))

    asyncio.run(main())
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
    "start_many": start_many,
    "worker": worker,
    "remote": remote,
    "local": local,
    "fan": fan,
}

if __name__ == "__main__":
    mode, url, *rest = sys.argv[1:]
    MODES[mode](url, *[int(one) if one.isdigit() else one for one in rest])
