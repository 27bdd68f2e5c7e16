"""``python -m benchmarks.serverless``: what a function costs beside its bodies and its store, cold and warm.

Cold: processor time of what a module with handlers imports, in a process of its own. Warm: batches of one and of ten
jobs with a body that does nothing, per job; on PostgreSQL less the time in which any statement was under way.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs
import structlog

from benchmarks.server import cluster
from mainspring import Context, workflow
from mainspring.adapters.sql import postgres_connections
from mainspring.adapters.sql.schema import migrate
from mainspring.engine import open_parts
from mainspring.ports.messages import write_pointer
from mainspring.ports.records import Hint, Pointer
from mainspring.serverless import serverless

COLD = {
    "nothing": "pass",
    "a module with handlers": "import mainspring, mainspring.serverless",
    "… and the store (PostgreSQL)": "import mainspring, mainspring.serverless, mainspring.adapters.sql.postgres",
    "… and the queue (boto3)": (
        "import mainspring, mainspring.serverless, mainspring.adapters.sql.postgres,"
        " mainspring.adapters.aws.sqs_job_transport"
    ),
}
PROCESSES, BATCHES = 7, 60


@workflow(version="1")
async def nothing(ctx: Context, number: int) -> int:
    ctx.log("nothing")
    return number


class Queue:
    """Keeps what was sent."""

    carries_pointers = True

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        self.sent += [] if after else map(write_pointer, pointers)

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        raise NotImplementedError

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        return None


class Asked:
    """The time in which at least one statement was under way."""

    def __init__(self) -> None:
        self.seconds, self.count, self._under_way, self._since = 0.0, 0, 0, 0.0
        ask = postgres_connections.Lane.ask

        async def timed(lane: Any, statement: bytes, parameters: Sequence[object] = ()) -> Any:
            if self._under_way == 0:
                self._since = time.perf_counter()
            self._under_way += 1
            self.count += 1
            try:
                return await ask(lane, statement, parameters)
            finally:
                self._under_way -= 1
                if self._under_way == 0:
                    self.seconds += time.perf_counter() - self._since

        postgres_connections.Lane.ask = timed  # type: ignore[method-assign]


def cold(code: str) -> tuple[float, float]:
    """Milliseconds of processor and of time, the least of several processes: others on the machine only add."""
    times: list[tuple[float, float]] = []
    for _ in range(PROCESSES):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append((used * 1000, (ended - begun) * 1000))
    return min(one for one, _ in times), min(one for _, one in times)


def warm(url: str, size: int, asked: Asked) -> dict[str, float]:
    """Milliseconds per job, the median of many batches."""
    queue = Queue()
    parts = attrs.evolve(open_parts(url), transport=queue)
    app = serverless(workflows=[nothing], parts=lambda: parts)
    whole: list[float] = []
    beside: list[float] = []
    trips: list[int] = []
    for number in range(BATCHES):
        for job in range(size):
            app.direct({"action": "start", "workflow": "nothing", "input": job})
        bodies, queue.sent = queue.sent, []
        records = [{"messageId": str(place), "body": body} for place, body in enumerate(bodies)]
        asked.seconds, asked.count, begun = 0.0, 0, time.perf_counter()
        answer = app.sqs({"Records": records})
        took = time.perf_counter() - begun
        assert answer == {"batchItemFailures": []}
        if number >= BATCHES // 6:
            whole.append(took * 1000 / size)
            beside.append((took - asked.seconds) * 1000 / size)
            trips.append(asked.count)
    app.close()
    return {
        "ms/job": statistics.median(whole),
        "ms/job beside the store": statistics.median(beside),
        "statements/batch": statistics.median(trips),
    }


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    os.environ.pop("MAINSPRING_DATABASE", None)
    floor = cold(COLD["nothing"])
    for name, code in COLD.items():
        used, took = cold(code)
        print(f"cold, {name}: {used - floor[0]:.0f} ms of processor, {took - floor[1]:.0f} ms")
    asked = Asked()
    for size in (1, 10):
        print(f"warm, memory, batches of {size}:", json.dumps(_round(warm("memory://", size, asked))))
    with cluster() as server:
        migrate(server.url)
        for size in (1, 10):
            print(f"warm, PostgreSQL, batches of {size}:", json.dumps(_round(warm(server.url, size, asked))))


def _round(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    main()
