"""A function beside a queue: its ticks tell of jobs that nobody took, after what is urgent and within their time."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs
import pytest

from mainspring import Context, workflow
from mainspring.adapters.memory.scheduler import MemoryScheduler
from mainspring.hosts.serverless import ServerlessHost
from mainspring.hosts.serverless.pointed import NOT_SERVED, NOTHING
from mainspring.hosts.upkeep import announcer
from mainspring.kernel.commands.lease_reap import BACK_OFF
from mainspring.ports.names import StageId, WorkerId
from mainspring.ports.persistence import ANNOUNCED_AFTER
from mainspring.ports.records import Pointer
from mainspring.ports.sinks import Sink
from tests.hosts.parts import Bench, ManualClock, bench
from tests.hosts.serverless.sandboxes import Carried

MINUTE = timedelta(minutes=1)
LEASE = timedelta(seconds=30)


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@workflow(version="1")
async def foreign(ctx: Context, name: str) -> str:
    return f"bonjour {name}"


class Noted(Carried):
    """Keeps what was sent with its delay; may never answer."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Pointer, timedelta]] = []
        self.silent = False

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        if self.silent:
            await asyncio.Event().wait()
        self.told += [(pointer, after) for pointer in pointers]


def over(world: Bench, queue: Noted, *, serving: Bench | None = None) -> ServerlessHost:
    parts = attrs.evolve(world.parts, transport=queue)
    return ServerlessHost(parts, (serving or world).registry)


def budget(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def asked(world: Bench) -> datetime | None:
    assert isinstance(world.parts.scheduler, MemoryScheduler)
    return world.parts.scheduler.asked


async def test_a_message_for_others_comes_again_only_until_there_is_a_newer_one() -> None:
    clock = ManualClock()
    world = bench(hello, foreign, clock=clock)
    host = over(world, Noted(), serving=bench(hello))
    run = await world.start(foreign, "toi")
    pointer = Pointer(run_id=run.id, stage=StageId("foreign"))
    assert await host.handle_jobs([pointer]) == {pointer.key: NOT_SERVED}
    clock.advance(announcer.AGAIN)
    assert await host.handle_jobs([pointer]) == {pointer.key: NOTHING}


@pytest.mark.fault(2)
async def test_a_job_that_was_reaped_has_a_message_for_when_it_is_due_again() -> None:
    clock, queue = ManualClock(), Noted()
    world = bench(hello, clock=clock)
    run = await world.start(hello, "x")
    await world.store.claim(world.registry.routes(), limit=1, length=LEASE, worker=WorkerId("dead"))
    clock.advance(LEASE * 2)
    assert (await over(world, queue).run_maintenance_tick()).reaped == 1
    ((pointer, after),) = queue.told
    assert pointer == Pointer(run_id=run.id, stage=StageId("hello"))
    assert timedelta(0) < after <= BACK_OFF.maximum


async def test_the_next_tick_is_asked_for_when_a_job_s_message_may_be_lost() -> None:
    clock, queue = ManualClock(), Noted()
    world = bench(hello, clock=clock)
    due = clock.now() + timedelta(hours=3)
    await world.start(hello, "x", start_at=due)
    host = over(world, queue)
    await host.run_maintenance_tick()
    assert asked(world) == due + ANNOUNCED_AFTER
    clock.advance(timedelta(hours=3) + ANNOUNCED_AFTER)
    assert (await host.run_maintenance_tick()).announced == 1
    assert asked(world) == clock.now() + announcer.AGAIN


async def test_a_queue_that_does_not_answer_costs_a_tick_its_time_and_nothing_else() -> None:
    clock, queue = ManualClock(), Noted()
    world = bench(hello, clock=clock)
    await world.store.add_sink(Sink())
    await world.start(hello, "late", timeout=MINUTE)
    await world.start(hello, "waits")
    clock.advance(timedelta(hours=1))
    queue.silent = True
    host = over(world, queue)
    loop = asyncio.get_running_loop()
    until = loop.time() + 2.3  # the margin is two seconds
    async with asyncio.timeout(10):
        report = await host.run_maintenance_tick(lambda: budget(until - loop.time()))
    assert (report.expired, report.announced) == (1, 0)
    assert report.published > 0, "events go first"
    assert asked(world) is not None
    queue.silent = False
    assert (await host.run_maintenance_tick()).announced == 1, "what could not be told is told by the next tick"


async def test_the_next_tick_is_asked_for_before_anything_slow() -> None:
    order: list[str] = []

    async def noted(name: str) -> None:
        if name in {"next_upkeep:before", "lease_relay:before", "announce:before"}:
            order.append(name.removesuffix(":before"))

    clock = ManualClock()
    world = bench(hello, clock=clock, point=noted)
    await world.start(hello, "x")
    await over(world, Noted()).run_maintenance_tick()
    assert order[0] == "next_upkeep"
    assert order[-1] == "announce"


async def test_a_scheduler_that_does_not_answer_leaves_the_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(name: str) -> None:
        if name == "wake_at:before":
            await asyncio.Event().wait()

    clock = ManualClock()
    world = bench(hello, clock=clock)
    world = attrs.evolve(world, parts=attrs.evolve(world.parts, scheduler=MemoryScheduler(point=silent)))
    monkeypatch.setattr("mainspring.hosts.serverless.host._ASKING", timedelta(milliseconds=20))
    await world.start(hello, "x")
    clock.advance(MINUTE)
    async with asyncio.timeout(10):
        assert (await over(world, Noted()).run_maintenance_tick()).announced == 1
