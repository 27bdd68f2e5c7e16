"""The collector's rounds: bounded, resumed, and undisturbed by what fails for one run; who drives them."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker
from mainspring.hosts.serverless import ServerlessHost
from mainspring.hosts.upkeep.collector import MOST_FAILURES, Collector
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.errors import UnavailableError
from mainspring.ports.names import BlobKey
from tests.hosts.parts import Bench, ManualClock, bench
from tests.hosts.upkeep.collecting import (
    LENGTH,
    chain,
    claim,
    fenced,
    growing,
    key_of,
    keys,
    named,
    put,
)


def collector_of(world: Bench, **options: int) -> Collector:
    return Collector(world.store, world.parts.blobs, **options)


def soon() -> float:
    return asyncio.get_running_loop().time() + 1_000


class Failing:
    """Raises where it is told to, so many times."""

    def __init__(self, where: str, times: int = 1) -> None:
        self.where = where
        self.times = times

    async def point(self, name: str) -> None:
        if name == self.where and self.times:
            self.times -= 1
            raise UnavailableError("the world is down")


async def orphans(world: Bench, blobs: BlobStore, count: int) -> list[BlobKey]:
    """What so many dead attempts left, each of a run of its own, in order."""
    made = sorted(key_of(lease.job.run_id, lease.lease_id) for lease in await fenced(world, count))
    for key in made:
        await blobs.put(key, b"x")
    return made


@pytest.mark.parametrize("where", ["jobs:before", "stages:before", "run:before", "delete:before"])
async def test_what_fails_for_one_run_leaves_the_others_their_turn(where: str) -> None:
    failing = Failing(where)
    world = bench(growing, clock=ManualClock(), point=failing.point)
    blobs = MemoryBlobStore(point=failing.point)
    first, *_ = await orphans(world, blobs, 3)
    collector = Collector(world.parts.store, blobs)
    assert await collector.round() == 2
    assert await keys(blobs) == {first}
    assert await collector.round() == 1, "it is tried again"


async def test_a_world_that_is_down_ends_the_round_and_the_next_goes_on_behind() -> None:
    failing = Failing("delete:before", times=MOST_FAILURES)
    world = bench(growing, clock=ManualClock())
    blobs = MemoryBlobStore(point=failing.point)
    made = await orphans(world, blobs, MOST_FAILURES + 2)
    collector = Collector(world.store, blobs)
    assert await collector.round() == 0
    assert await collector.round() == 2
    assert await keys(blobs) == set(made[:MOST_FAILURES])
    assert await collector.round() == MOST_FAILURES


async def test_a_round_goes_on_where_the_last_one_ended_and_begins_anew_at_the_end() -> None:
    world = bench(growing, clock=ManualClock())
    blobs = MemoryBlobStore()
    made = await orphans(world, blobs, 5)
    collector = Collector(world.store, blobs, most=2)
    for left in (3, 1, 0):
        await collector.round()
        assert await keys(blobs) == set(made[5 - left :])
    await blobs.put(made[0], b"x")
    assert await collector.round() == 1


async def test_keys_of_other_forms_do_not_keep_a_round_from_going_on() -> None:
    world = bench(growing, clock=ManualClock())
    for number in range(5):
        await world.parts.blobs.put(BlobKey(f"0.{number}"), b"x")  # before any run
    await orphans(world, world.parts.blobs, 1)
    collector = collector_of(world, most=2)
    assert [await collector.round() for _ in range(3)] == [0, 0, 1]


async def test_a_round_ends_when_there_is_no_time_left_and_goes_on_the_next_time() -> None:
    world = bench(growing, clock=ManualClock())
    blobs = MemoryBlobStore()
    made = await orphans(world, blobs, 4)
    collector = Collector(world.store, blobs)
    answers = iter([True] * 8)  # asked before each key that is listed, each run, and each blob
    assert await collector.round(lambda: next(answers, False)) == 2
    assert await keys(blobs) == set(made[2:])
    assert await collector.round(lambda: False) == 0
    assert await collector.round() == 2


async def test_blobs_that_cannot_be_listed_are_no_reason_to_forget_the_first_ones() -> None:
    failing = Failing("list:after", times=2)
    blobs = MemoryBlobStore(point=failing.point)
    world = bench(growing, clock=ManualClock())
    first, *_ = await orphans(world, blobs, 3)
    collector = Collector(world.store, blobs)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await collector.round()
    await blobs.put(first, b"x")
    await collector.round()
    assert first not in await keys(blobs)


class Unsorted(MemoryBlobStore):
    """A store that breaks its promise about the order of keys."""

    async def list(self, prefix: str = "") -> AsyncIterator[BlobKey]:
        for key in sorted(self._blobs, key=lambda key: key[-20:]):
            yield key


async def test_keys_in_no_order_delete_nothing_that_is_named() -> None:
    clock = ManualClock()
    world = bench(chain, growing, clock=clock)
    blobs = Unsorted()
    runs = [await world.start(chain, letter) for letter in "abc"]
    executor = Executor(world.parts, world.registry, Timing())
    for lease in await claim(world):
        await executor.execute(lease, soon())
        for key in await named(world.store, lease.job.run_id):
            await blobs.put(key, b"x")
    await orphans(world, blobs, 3)
    assert await Collector(world.store, blobs).round() == 3
    assert await keys(blobs) == set().union(*[await named(world.store, run.id) for run in runs])


async def test_a_serverless_host_collects_now_and_then_if_time_is_left() -> None:
    clock = ManualClock()
    world = bench(growing, clock=clock)
    timing = Timing(collect=LENGTH)
    host = ServerlessHost(world.parts, world.registry, timing=timing, margin=LENGTH)
    (dead,) = await fenced(world)
    found: list[int] = []
    for left, then in ((LENGTH, LENGTH * 0), (LENGTH * 2, LENGTH / 2), (LENGTH * 2, LENGTH), (LENGTH * 2, LENGTH)):
        await put(world, dead.job.run_id, dead.lease_id, os.urandom(8))
        report = await host.run_maintenance_tick(lambda left=left: left)  # type: ignore[misc]
        found.append(report.collected)
        clock.advance(then)
    assert found == [0, 2, 0, 2], "no time; done; done lately; done"


async def test_a_worker_collects_on_its_own() -> None:
    world = bench(growing, clock=ManualClock())
    await orphans(world, world.parts.blobs, 1)
    worker = Worker(world.parts, world.registry, WorkerSettings(timing=Timing(collect=timedelta(milliseconds=1))))
    task = asyncio.ensure_future(worker.run())
    async with asyncio.timeout(10):
        while await keys(world.parts.blobs):
            await asyncio.sleep(0)
    worker.stop()
    await task
