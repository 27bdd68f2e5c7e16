"""A worker over a queue that keeps every message: they stay few, none goes round in vain, no slot is filled twice."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import attrs
import pytest

from mainspring import Context, workflow
from mainspring.adapters.memory import claims
from mainspring.adapters.memory.clock import ManualClock
from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker import pointed
from mainspring.hosts.node_worker.chores import Chores
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker
from mainspring.hosts.upkeep import announcer
from mainspring.hosts.upkeep.announcer import Announcer
from mainspring.kernel.commands.lease_reap import BACK_OFF
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.names import StageId, WorkerId
from mainspring.ports.records import Hint, Job, Pointer
from mainspring.requests import StartOptions
from tests.hosts.node_worker.test_pointed import SOON, TIMING, Queue, foreign, hello, on
from tests.hosts.parts import Bench, bench


@attrs.define
class Gate:
    """Bodies wait here; how many do, and did at once."""

    opened: asyncio.Event = attrs.field(factory=asyncio.Event)
    entered: asyncio.Event = attrs.field(factory=asyncio.Event)
    inside: int = 0
    most: int = 0


GATES: list[Gate] = []


@workflow(version="1")
async def slow(ctx: Context, name: str) -> str:
    gate = GATES[-1]
    gate.inside += 1
    gate.most = max(gate.most, gate.inside)
    gate.entered.set()
    await gate.opened.wait()
    gate.inside -= 1
    return name


@pytest.fixture
def gate() -> Gate:
    GATES.append(Gate())
    return GATES[-1]


class Plain(Queue):
    """As SQS and RabbitMQ: each message is one of its own, however many point at one job."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: deque[Pointer] = deque()
        self.arrived = asyncio.Event()
        self.receiving = asyncio.Event()

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        for pointer in () if self.losing else pointers:
            asyncio.get_running_loop().call_later(after.total_seconds(), self._arrive, pointer)

    def _arrive(self, pointer: Pointer) -> None:
        self.messages.append(pointer)
        self.arrived.set()

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        self.receiving.set()
        try:
            async with asyncio.timeout(wait.total_seconds()):
                while not self.messages:
                    self.arrived.clear()
                    await self.arrived.wait()
        except TimeoutError:
            return []
        return [Hint(receipt="", pointer=self.messages.popleft()) for _ in range(min(limit, len(self.messages)))]

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        self.settled.append((hint.pointer, again_after))
        self.news.set()
        if again_after is not None and hint.pointer is not None:
            await self.send([hint.pointer], again_after)


@asynccontextmanager
async def working(made: Bench, *, concurrency: int = 100) -> AsyncGenerator[Worker]:
    settings = WorkerSettings(timing=TIMING, concurrency=concurrency)
    worker = Worker(made.parts, made.registry, settings, made.client.results.ended)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running


def pointer_to(run_id: str, stage: str) -> Pointer:
    return Pointer(run_id=run_id, stage=StageId(stage))  # type: ignore[arg-type]


async def job_of(made: Bench, run_id: str) -> Job:
    (job,) = await made.store.jobs(run_id)  # type: ignore[arg-type]
    return job


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything about announcements five hundred times as fast."""
    monkeypatch.setattr(claims, "ANNOUNCED_AFTER", timedelta(0))
    monkeypatch.setattr(announcer, "AGAIN", timedelta(seconds=0.12))
    monkeypatch.setattr(pointed, "GIVEN_BACK", timedelta(seconds=0.01))


@pytest.mark.usefixtures("hurried")
async def test_messages_of_a_job_that_nobody_serves_do_not_go_round_for_ever() -> None:
    queue = Plain()
    everyone = on(queue, hello, foreign)
    await everyone.start(foreign, "toi")
    mine = attrs.evolve(everyone, registry=bench(hello).registry)
    async with asyncio.timeout(SOON), working(mine):
        loop = asyncio.get_running_loop()
        until = loop.time() + 1.5
        while loop.time() < until:
            await queue.settled_so_far(len(queue.settled) + 1)
    lately = [again_after for _, again_after in queue.settled[-2:]]
    assert lately == [None, None], "older messages are settled: there are newer ones"
    assert len(queue.settled) < 60


async def test_messages_of_jobs_that_wait_for_a_slot_stay_few() -> None:
    clock = ManualClock()
    made = bench(hello, clock=clock)
    queue = Queue()
    await made.start(hello, "waits")
    telling = Announcer(made.store, queue)
    told: list[int] = []
    for _ in range(24 * 60):
        clock.advance(timedelta(minutes=1))
        told.append(await telling.tick())
    assert sum(told[:60]) <= 8, "twice as late each time"
    assert all(sum(told[hour : hour + 60]) == 1 for hour in range(60, 23 * 60, 60)), "and once an hour from then on"


async def test_what_could_not_be_sent_is_announced_at_the_next_tick() -> None:
    clock = ManualClock()
    made = bench(hello, clock=clock)
    down = True

    class Down(Plain):
        async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
            if down:
                raise SettingsError("wrong password")
            await super().send(pointers, after)

    queue = Down()
    run = await made.start(hello, "x")
    clock.advance(timedelta(minutes=10))
    telling = Announcer(made.store, queue)
    assert await telling.tick(lambda: False) == 0, "there is no time"
    with pytest.raises(SettingsError):
        await telling.tick()
    down = False
    assert await telling.tick() == 1
    async with asyncio.timeout(SOON):
        (hint,) = await queue.receive(1, timedelta(seconds=SOON))
    assert hint.pointer == pointer_to(run.id, "hello")


@pytest.mark.fault(22)
async def test_a_store_that_is_away_takes_each_message_from_the_queue_once() -> None:
    away = True
    refused = 0
    often = asyncio.Event()

    async def point(name: str) -> None:
        nonlocal refused
        if away and name == "claim:before":
            refused += 1
            if refused == 5:
                often.set()
            raise UnavailableError("away")

    queue = Plain()
    made = on(queue, hello, point=point)
    run = await made.start(hello, "x")
    async with asyncio.timeout(SOON), working(made) as worker:
        await often.wait()
        assert len(queue.settled) == 1
        assert worker.trouble == "no claim is answered"
        away = False
        assert await run.result() == "hello x"
        assert worker.trouble is None


async def test_a_worker_that_was_fenced_while_it_received_claims_nothing() -> None:
    class Fencing(Plain):
        async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
            hints = await super().receive(limit, wait)
            worker._claiming.fenced = True  # pyright: ignore[reportPrivateUsage]
            return hints

    queue = Fencing()
    made = on(queue, hello)
    settings = WorkerSettings(timing=attrs.evolve(TIMING, heartbeat=timedelta(seconds=2)))
    worker = Worker(made.parts, made.registry, settings, made.client.results.ended)
    run = await made.start(hello, "x")
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(SOON):
        ((_, again_after),) = await queue.settled_so_far(1)
        assert again_after == timedelta(0)
        assert (await job_of(made, run.id)).lease_id is None
        worker.stop()
        await running


async def test_jobs_that_are_waited_for_count_as_taken(gate: Gate) -> None:
    queue = Plain()
    made = on(queue, slow)
    queue.losing = True
    moment = await made.store.now() + timedelta(milliseconds=300)
    early = await made.client.start(slow, "early", StartOptions(start_at=moment))
    other = await made.start(slow, "other")
    queue.losing = False
    async with asyncio.timeout(SOON), working(made, concurrency=1):
        await queue.send([pointer_to(early.id, "slow")])
        await queue.settled_so_far(1)
        await queue.send([pointer_to(other.id, "slow")])
        await gate.entered.wait()
        assert (await job_of(made, early.id)).lease_id is not None
        assert (await job_of(made, other.id)).lease_id is None
        gate.opened.set()
        assert await other.result() == "other", "the slot is free again"
    assert gate.most == 1


async def test_a_slot_kept_for_a_job_that_another_took_is_free_again() -> None:
    queue = Plain()
    made = on(queue, hello)
    queue.losing = True
    moment = await made.store.now() + timedelta(milliseconds=300)
    early = await made.client.start(hello, "early", StartOptions(start_at=moment))
    other = await made.start(hello, "other")
    queue.losing = False
    async with asyncio.timeout(SOON), working(made, concurrency=1):
        await queue.send([pointer_to(early.id, "hello")])
        await queue.settled_so_far(1)
        await early.cancel()
        await queue.send([pointer_to(other.id, "hello")])
        assert await other.result() == "hello other"


async def test_more_messages_than_there_are_slots_go_back_at_once(gate: Gate) -> None:
    class Generous(Plain):
        async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
            return await super().receive(limit + 1, wait)

    queue = Generous()
    made = on(queue, slow)
    queue.losing = True
    runs = [await made.start(slow, str(number)) for number in range(2)]
    queue.losing = False
    queue.messages.extend(pointer_to(run.id, "slow") for run in runs)
    async with asyncio.timeout(SOON), working(made, concurrency=1):
        await gate.entered.wait()
        assert (pointer_to(runs[1].id, "slow"), timedelta(0)) in await queue.settled_so_far(2)
        gate.opened.set()


async def test_a_claim_of_jobs_that_came_early_is_not_left_behind_by_a_stop() -> None:
    hold, under_way = asyncio.Event(), asyncio.Event()
    claimed = 0

    async def point(name: str) -> None:
        nonlocal claimed
        if name == "claim:after":
            claimed += 1
            if claimed == 2:
                under_way.set()
                await hold.wait()

    queue = Plain()
    made = on(queue, hello, point=point)
    queue.losing = True
    moment = await made.store.now() + timedelta(milliseconds=150)
    run = await made.client.start(hello, "early", StartOptions(start_at=moment))
    queue.losing = False
    async with asyncio.timeout(SOON), working(made) as worker:
        await queue.send([pointer_to(run.id, "hello")])
        await under_way.wait()
        worker.stop()
        asyncio.get_running_loop().call_later(0.3, hold.set)
    job = await job_of(made, run.id)
    assert (job.lease_id, job.attempt) == (None, 0)


@pytest.mark.fault(2)
async def test_a_job_that_was_reaped_has_a_message_for_when_it_is_due_again() -> None:
    told: list[tuple[Pointer, timedelta]] = []

    class Noted(Queue):
        async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
            told.extend((pointer, after) for pointer in pointers)

    clock = ManualClock()
    world = bench(hello, clock=clock)
    parts = attrs.evolve(world.parts, transport=Noted())
    settings = WorkerSettings(timing=Timing())
    executor = Executor(parts, world.registry, settings.timing)
    worker = Worker(parts, world.registry, settings)
    chores = Chores(parts, executor, worker._claiming, settings)  # pyright: ignore[reportPrivateUsage]
    run = await world.start(hello, "x")
    await world.store.claim(world.registry.routes(), limit=1, length=TIMING.lease, worker=WorkerId("dead"))
    clock.advance(TIMING.lease * 2)
    await chores._reap_and_expire()  # pyright: ignore[reportPrivateUsage]
    ((pointer, after),) = told
    assert pointer == pointer_to(run.id, "hello")
    assert timedelta(0) < after <= BACK_OFF.maximum


async def test_a_hint_that_settings_forbid_stops_nobody() -> None:
    class Wrong(Queue):
        async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
            raise SettingsError("wrong password")

    made = on(Wrong(), hello)
    run = await made.start(hello, "on record")
    assert run.created
    await Executor(made.parts, made.registry, Timing()).send([(await job_of(made, run.id)).key])
