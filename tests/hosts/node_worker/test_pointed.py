"""A worker over a transport that carries pointers: it takes what messages point at, and a lost message costs no run."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import attrs
import pytest

from mainspring import Context, Retry, Workflow, stage, workflow
from mainspring.adapters.memory.job_transport import MemoryJobTransport
from mainspring.adapters.memory.points import Point, straight_on
from mainspring.client import Client
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker
from mainspring.hosts.upkeep import announcer
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import UnavailableError
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Hint, Pointer
from mainspring.requests import StartOptions
from tests.hosts.parts import Bench, bench

TIMING = Timing(
    lease=timedelta(seconds=5),
    heartbeat=timedelta(seconds=0.1),
    reap=timedelta(seconds=0.05),
    safety_poll=timedelta(hours=1),
    shutdown_grace=timedelta(seconds=5),
)
SOON = 15.0
BACK_OFF = timedelta(milliseconds=50)


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@workflow(version="1")
async def foreign(ctx: Context, name: str) -> str:
    return f"bonjour {name}"


@stage(retry=Retry(max_attempts=3, initial=BACK_OFF, maximum=BACK_OFF, jitter=0.0))
async def third_time_lucky(ctx: Context) -> int:
    if ctx.attempt < 3:
        msg = "not yet"
        raise ValueError(msg)
    return ctx.attempt


lucky = Workflow("lucky", version="1").pipe(third_time_lucky)


class Queue(MemoryJobTransport):
    """A queue of pointers that can lose what it is sent, and remembers what was settled."""

    carries_pointers = True

    def __init__(self) -> None:
        super().__init__()
        self.losing = False
        self.settled: list[tuple[Pointer | None, timedelta | None]] = []
        self.news = asyncio.Event()

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        if not self.losing:
            await super().send(pointers, after)

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        self.settled.append((hint.pointer, again_after))
        self.news.set()
        await super().settle(hint, again_after)

    async def settled_so_far(self, count: int) -> list[tuple[Pointer | None, timedelta | None]]:
        while len(self.settled) < count:
            self.news.clear()
            await self.news.wait()
        return self.settled


def on(queue: Queue, *workflows: Workflow[Any, Any], point: Point = straight_on) -> Bench:
    """A bench whose worker and client share the queue."""
    made = bench(*workflows, point=point)
    parts = attrs.evolve(made.parts, transport=queue, sink=None)
    own = attrs.evolve(parts, store=made.store)
    client = Client(own, made.registry, Dispatcher(made.store, parts.clock, parts.ids))
    return attrs.evolve(made, parts=parts, client=client)


@asynccontextmanager
async def working(made: Bench) -> AsyncGenerator[Worker]:
    worker = Worker(made.parts, made.registry, WorkerSettings(timing=TIMING), made.client.results.ended)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running


async def test_a_job_is_done_when_its_message_comes_and_the_message_is_settled() -> None:
    queue = Queue()
    made = on(queue, hello)
    async with asyncio.timeout(SOON), working(made):
        run = await made.start(hello, "you")
        assert await run.result() == "hello you"
        assert await queue.settled_so_far(1) == [(Pointer(run_id=run.id, stage=StageId("hello")), None)]


async def test_a_retry_comes_by_a_message_of_its_own() -> None:
    queue = Queue()
    made = on(queue, lucky)
    async with asyncio.timeout(SOON), working(made):
        run = await made.start(lucky, None)
        assert await run.result() == 3
        assert len(await queue.settled_so_far(3)) == 3


async def test_a_delayed_start_comes_by_a_late_message() -> None:
    queue = Queue()
    made = on(queue, hello)
    async with asyncio.timeout(SOON), working(made):
        moment = await made.store.now() + BACK_OFF
        run = await made.client.start(hello, "late", StartOptions(start_at=moment))
        assert await run.result() == "hello late"


@pytest.mark.fault(8, 35)
async def test_a_job_whose_message_was_lost_is_announced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from mainspring.adapters.memory import claims

    monkeypatch.setattr(claims, "ANNOUNCED_AFTER", timedelta(0))
    queue = Queue()
    made = on(queue, hello)
    queue.losing = True
    run = await made.start(hello, "again")
    queue.losing = False
    async with asyncio.timeout(SOON), working(made):
        assert await run.result() == "hello again"


@pytest.mark.fault(35)
async def test_an_announcement_that_was_lost_too_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    from mainspring.adapters.memory import claims

    monkeypatch.setattr(claims, "ANNOUNCED_AFTER", timedelta(0))
    monkeypatch.setattr(announcer, "AGAIN", timedelta(milliseconds=20))
    queue = Queue()
    made = on(queue, hello)
    queue.losing = True
    run = await made.start(hello, "twice")
    async with asyncio.timeout(SOON), working(made):
        first = announcer.Announcer(made.store, queue)
        assert await first.tick() == 1
        queue.losing = False
        assert await run.result() == "hello twice"


async def test_a_message_for_others_goes_back_and_its_job_stays() -> None:
    queue = Queue()
    everyone = on(queue, hello, foreign)
    run = await everyone.start(foreign, "toi")
    mine = bench(hello)
    worker = Worker(everyone.parts, mine.registry, WorkerSettings(timing=TIMING))
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(SOON):
        ((pointer, again_after),) = await queue.settled_so_far(1)
    assert pointer == Pointer(run_id=run.id, stage=StageId("foreign"))
    assert again_after is not None
    worker.stop()
    await running
    (job,) = await everyone.store.jobs(run.id)
    assert job.lease_id is None
    assert job.attempt == 0


@pytest.mark.fault(33)
async def test_messages_that_point_at_nothing_to_do_are_settled_for_good() -> None:
    queue = Queue()
    made = on(queue, hello)
    gone = Pointer(run_id=RunId("019a0000-0000-7000-8000-000000000001"), stage=StageId("hello"))
    async with asyncio.timeout(SOON), working(made):
        done = await made.start(hello, "done")
        assert await done.result() == "hello done"
        sleeping = await made.client.start(
            hello, "later", StartOptions(start_at=await made.store.now() + timedelta(hours=1))
        )
        early = Pointer(run_id=sleeping.id, stage=StageId("hello"))
        finished = Pointer(run_id=done.id, stage=StageId("hello"))
        await queue.settled_so_far(1)
        await queue.send([gone, early, finished])
        settled = await queue.settled_so_far(4)
    assert {one for one, _ in settled[1:]} == {gone, early, finished}
    assert {after for _, after in settled} == {None}


async def test_while_the_store_fails_messages_come_again() -> None:
    failing = True

    async def point(name: str) -> None:
        if failing and name == "claim:before":
            msg = "the store is away"
            raise UnavailableError(msg)

    queue = Queue()
    made = on(queue, hello, point=point)
    async with asyncio.timeout(SOON), working(made) as worker:
        run = await made.start(hello, "patient")
        ((_, again_after),) = (await queue.settled_so_far(1))[:1]
        assert again_after is not None
        assert worker.trouble == "no claim is answered"
        failing = False
        assert await run.result() == "hello patient"


async def test_a_message_that_comes_a_moment_too_early_is_waited_for() -> None:
    queue = Queue()
    made = on(queue, hello)
    queue.losing = True
    moment = await made.store.now() + timedelta(milliseconds=150)
    run = await made.client.start(hello, "early", StartOptions(start_at=moment))
    queue.losing = False
    async with asyncio.timeout(SOON), working(made):
        await queue.send([Pointer(run_id=run.id, stage=StageId("hello"))])
        assert await queue.settled_so_far(1) == [(Pointer(run_id=run.id, stage=StageId("hello")), None)]
        assert await run.result() == "hello early"
    assert len(queue.settled) == 1, "nobody had to announce it"
