"""What happens in an order that depends on nothing but what happened before: no hash, no address."""

import asyncio
from asyncio import Future
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import attrs

from mainspring import Context, Workflow, stage, workflow
from mainspring.adapters.memory.run_feed import MemoryRunFeed
from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.live import LiveList
from mainspring.hosts.execution.mailboxes import Mailboxes
from mainspring.hosts.execution.parts import Timing
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.names import LeaseId, RunId, StageId, WorkerId
from mainspring.ports.records import ExtendAnswer
from mainspring.results import Results
from tests.hosts.execution.test_live import JOB
from tests.hosts.parts import bench

NAMES = [f"name-{number}" for number in range(12)]
"""So many that a set of them comes in this order once in 479 million times."""

SOON = timedelta(seconds=10)


@stage
async def same(ctx: Context, value: Any) -> Any:
    return value


@workflow(version="1")
def plain(ctx: Context, value: int) -> int:
    return value + 1


def chain() -> Workflow[Any, Any]:
    flow: Workflow[Any, Any] = Workflow("chain", version="1").pipe(same.named(NAMES[0]))
    for name in NAMES[1:]:
        flow = flow.pipe(same.named(name))
    return flow


class InlineThreads:
    """Calls bodies where they stand."""

    def __init__(self) -> None:
        self.stuck = 0
        self.closed = False
        self.called = 0

    def run(self, body: Callable[[], Any]) -> Future[Any]:
        self.called += 1
        future: Future[Any] = asyncio.get_running_loop().create_future()
        future.set_result(body())
        return future

    def give_up(self, future: Future[Any]) -> None:
        self.stuck += 1

    def close(self) -> None:
        self.closed = True


async def test_plain_bodies_are_called_where_the_parts_say() -> None:
    world = bench(plain)
    run = await world.start(plain, 1)
    threads = InlineThreads()
    executor = Executor(attrs.evolve(world.parts, threads=lambda: threads), world.registry, Timing())
    (lease,) = await world.store.claim(world.registry.routes(), limit=1, length=SOON, worker=WorkerId("w"))
    await executor.execute(lease, asyncio.get_running_loop().time() + 10)
    executor.close()
    assert (threads.called, threads.closed) == (1, True)
    assert await run.result(1) == 2


def test_woken_runs_are_told_in_the_order_of_the_answers() -> None:
    live = LiveList()
    answers: list[ExtendAnswer] = []
    with ExitStack() as seats:
        for name in NAMES:
            lease_id, job = LeaseId(f"lease-{name}"), attrs.evolve(JOB, run_id=RunId(name))
            seats.enter_context(live.join(job, lease_id, 1.0))
            answers.append(ExtendAnswer(key=job.key, lease_id=lease_id, lost=False, wakes=1, until=None))
        assert live.heard(answers, 2.0) == NAMES


async def woken(waiters: list[asyncio.Task[Any]], wake: Callable[[], Any]) -> list[int]:
    """The order in which tasks end that all wait for one thing."""
    ended: list[int] = []
    for task in waiters:
        task.add_done_callback(lambda task: ended.append(waiters.index(task)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await wake()
    await asyncio.gather(*waiters)
    return ended


async def test_who_waits_for_a_run_in_the_feed_is_woken_in_the_order_of_coming() -> None:
    feed = MemoryRunFeed()
    waiters = [asyncio.ensure_future(feed.wait([RunId("run")], SOON)) for _ in NAMES]
    assert await woken(waiters, lambda: feed.ended([RunId("run")])) == list(range(len(NAMES)))


async def test_who_waits_for_a_result_is_told_in_the_order_of_coming() -> None:
    world = bench(plain)
    run = await world.start(plain, 1)
    record = await run.describe()
    results = Results(world.store, world.parts.feed)
    waiters = [asyncio.ensure_future(results.wait(run.id)) for _ in NAMES]

    async def ends() -> None:
        results.ended(run.id, record)

    assert await woken(waiters, ends) == list(range(len(NAMES)))
    await results.close()


async def test_what_is_upstream_is_read_in_the_order_of_the_stages() -> None:
    definition = chain()
    world = bench(definition)
    run = await world.start(definition, 1)
    for _ in NAMES[1:]:
        executor = Executor(world.parts, world.registry, Timing())
        (lease,) = await world.store.claim(world.registry.routes(), limit=1, length=SOON, worker=WorkerId("w"))
        await executor.execute(lease, asyncio.get_running_loop().time() + 10, lambda: False)
    boxes = Mailboxes(Dispatcher(world.store, world.parts.clock, world.parts.ids))
    box = boxes.open(run.id, 0)
    (lease,) = await world.store.claim(world.registry.routes(), limit=1, length=SOON, worker=WorkerId("w"))
    executor = Executor(world.parts, world.registry, Timing(), mailboxes=boxes)
    await executor.execute(lease, asyncio.get_running_loop().time() + 10)
    assert list(box.outputs)[: len(NAMES) - 1] == [StageId(name) for name in NAMES[:-1]]
