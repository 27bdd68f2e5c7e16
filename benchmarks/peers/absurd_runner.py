"""Absurd (absurd-sdk), with the modes of ``benchmarks.ours``. Runs in its own venv.

Knobs (environment), set to what served it best: ABSURD_CLIENTS (connections of the one worker process), ABSURD_CONC
(tasks at once per connection), ABSURD_POLL (seconds between two looks for work), ABSURD_OWN_POLL (1: ask for the
result every 2 ms instead of the SDK's back-off from 50 ms).
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from absurd_sdk import Absurd, AsyncAbsurd
from parts import CALLERS, answer, by_callers, called, document, knob, ready, timed, wait_go

CLIENTS = int(knob("ABSURD_CLIENTS", "8"))
CONCURRENCY = int(knob("ABSURD_CONC", "10"))
POLL = float(knob("ABSURD_POLL", "0.01"))
OWN_POLL = knob("ABSURD_OWN_POLL", "1") == "1"
CLAIM_TIMEOUT = 120


async def noop3(value: Any, context: Any) -> Any:
    for number in range(3):
        value = await _step(context, f"s{number}", value)
    return value


async def noop1(value: Any, context: Any) -> Any:
    return await _step(context, "s", value)


async def _step(context: Any, name: str, value: Any) -> Any:
    async def body() -> Any:
        return value

    return await context.step(name, body)


def _fanning(app: Any) -> Any:
    async def mapped(value: Any, context: Any) -> int:
        """Children live in another queue: a task may only wait for those."""

        async def spawn(number: int) -> str:
            made = await app.spawn("noop1", document(number), queue="kids", max_attempts=5)
            return str(made["task_id"])

        names = [(f"spawn{number}", number) for number in range(value["n"])]
        tasks = [await context.step(name, lambda number=number: spawn(number)) for name, number in names]
        return len([await context.await_task_result(task, queue_name="kids") for task in tasks])

    return mapped


def _client(url: str, queue: str = "default") -> Any:
    app = AsyncAbsurd(url, queue_name=queue)
    app.register_task("noop1")(noop1)
    if queue == "default":
        app.register_task("noop3")(noop3)
        app.register_task("mapped")(_fanning(AsyncAbsurd(url)))
    return app


def _starter(url: str) -> Any:
    app = Absurd(url)
    for name in ("noop3", "noop1", "mapped"):
        app.register_task(name)(lambda *_: None)
    return app


def setup(url: str) -> None:
    control = Path(sys.executable).with_name("absurdctl")
    for command in (["init"], ["create-queue", "default"], ["create-queue", "kids"]):
        told = {**os.environ, "PGDATABASE": url}
        subprocess.run([control, *command], check=True, stdout=subprocess.DEVNULL, env=told)


def start(url: str, flow: str, count: int) -> None:
    starter = _starter(url)
    begin = time.perf_counter()
    for number in range(count):
        starter.spawn(flow, document(number))
    answer(seconds=time.perf_counter() - begin)


def start_50(url: str, flow: str, count: int) -> None:
    """Fifty clients, each with its own connection, for one serves one call at a time."""

    async def main() -> None:
        apps = [_client(url) for _ in range(CALLERS)]
        for app in apps:
            await app._ensure_connected()  # noqa: SLF001  else it would be measured
        callers = [lambda number, app=app: app.spawn(flow, document(number)) for app in apps]
        answer(seconds=await by_callers(count, callers))

    asyncio.run(main())


def worker(url: str, *more: str) -> None:
    """With ``fan`` it serves the children's queue, too. Then one connection each: eight pollers fill both cores."""

    async def main() -> None:
        queues = [("default", 1, 50), ("kids", 1, 50)] if "fan" in more else [("default", CLIENTS, CONCURRENCY)]
        apps = [(_client(url, queue), concurrency) for queue, clients, concurrency in queues for _ in range(clients)]
        for app, _ in apps:
            await app._ensure_connected()  # noqa: SLF001
        ready()
        working = [
            app.start_worker(
                worker_id=f"{os.getpid()}-{number}",
                concurrency=concurrency,
                poll_interval=POLL,
                claim_timeout=CLAIM_TIMEOUT,
            )
            for number, (app, concurrency) in enumerate(apps)
        ]
        await asyncio.gather(*working)

    wait_go()
    asyncio.run(main())


def remote(url: str, flow: str, count: int) -> None:
    starter = _starter(url)

    def once(number: int) -> None:
        task = starter.spawn(flow, document(number))["task_id"]
        if not OWN_POLL:
            assert starter.await_task_result(task).state == "completed"
            return
        while starter.fetch_task_result(task).state != "completed":
            time.sleep(0.002)

    timed(count, once)


def fan(url: str, _flow: str, count: int) -> None:
    starter = _starter(url)
    begin = time.perf_counter()
    task = starter.spawn("mapped", {"n": count}, queue="default")["task_id"]
    while (found := starter.fetch_task_result(task)).state != "completed":
        assert found.state != "failed", found
        time.sleep(0.005)
    answer(seconds=time.perf_counter() - begin, joined=found.result)


MODES: dict[str, Any] = {
    "setup": setup,
    "start": start,
    "start_50": start_50,
    "worker": worker,
    "remote": remote,
    "fan": fan,
}

if __name__ == "__main__":
    mode, url, rest = called()
    MODES[mode](url, *rest)
