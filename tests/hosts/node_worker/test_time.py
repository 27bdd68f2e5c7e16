"""The store's time in a worker: asked for before anything else, and again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import attrs
import pytest

from mainspring import Context, workflow
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.execution.store_clock import StoreClock
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker
from mainspring.ports.errors import UnavailableError
from tests.hosts.parts import Bench, bench

SOON = 10.0
SETTINGS = WorkerSettings(
    timing=Timing(lease=timedelta(seconds=0.6), heartbeat=timedelta(seconds=0.05), safety_poll=timedelta(seconds=0.05))
)


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


class Line:
    """The wire to the store; counts what is asked, and can be cut."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.heard: dict[str, asyncio.Event] = {}
        self.fault: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, point: str) -> None:
        name, _, when = point.partition(":")
        if when != "before":
            return
        self.asked.append(name)
        if self.asked.count(name) >= 2:
            self.heard.setdefault(name, asyncio.Event()).set()
        if self.fault is not None:
            await self.fault()

    async def asked_twice(self, name: str) -> None:
        async with asyncio.timeout(SOON):
            await self.heard.setdefault(name, asyncio.Event()).wait()


async def is_down() -> None:
    raise UnavailableError("the store is down")


async def hangs() -> None:
    await asyncio.Event().wait()


def on(line: Line) -> Bench:
    """A bench whose host has no clock but the store's."""
    world = bench(hello, point=line)
    clock = StoreClock(world.parts.store, asyncio.get_running_loop().time)
    return attrs.evolve(world, parts=attrs.evolve(world.parts, clock=clock, refresh_clock=clock.refresh))


@pytest.mark.fault(22, 23)
async def test_a_worker_asks_for_the_stores_time_first_and_at_each_heartbeat() -> None:
    line = Line()
    world = on(line)
    worker = Worker(world.parts, world.registry, SETTINGS)
    working = asyncio.ensure_future(worker.run())
    assert await (await world.start(hello, "x")).result(SOON) == "hello x"
    await line.asked_twice("now")
    worker.stop()
    await asyncio.wait_for(working, SOON)
    assert line.asked[0] == "now"
    assert line.asked.count("record_worker") == 1


async def test_a_worker_waits_for_a_store_that_is_down_when_it_starts() -> None:
    line = Line()
    line.fault = is_down
    world = on(line)
    worker = Worker(world.parts, world.registry, SETTINGS)
    working = asyncio.ensure_future(worker.run())
    await line.asked_twice("now")
    assert set(line.asked) == {"now"}
    line.fault = None
    assert await (await world.start(hello, "x")).result(SOON) == "hello x"
    worker.stop()
    await asyncio.wait_for(working, SOON)


@pytest.mark.fault(104)
@pytest.mark.parametrize("fault", [is_down, hangs])
async def test_a_stop_ends_a_worker_that_still_waits_for_the_store(fault: Callable[[], Awaitable[object]]) -> None:
    line = Line()
    line.fault = fault
    world = on(line)
    worker = Worker(world.parts, world.registry, SETTINGS)
    working = asyncio.ensure_future(worker.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    worker.stop()
    await asyncio.wait_for(working, SOON)
    assert set(line.asked) <= {"now"}
