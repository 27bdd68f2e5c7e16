"""The collector: orphans go, however young; what a row names or a living lease may still name stays, however old."""

import asyncio

import pytest

from mainspring import Context, Retry, Workflow, stage
from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.upkeep.collector import Collector
from mainspring.kernel.commands.attempt_finish import AttemptFinished
from mainspring.ports.names import BlobKey
from mainspring.ports.records import Job, Lease
from tests.hosts.parts import Bench, ManualClock, bench
from tests.hosts.upkeep.collecting import (
    AGES,
    LARGE,
    LENGTH,
    chain,
    claim,
    fenced,
    finish,
    growing,
    keys,
    named,
    put,
    upkeep_of,
)


def collector_of(world: Bench, **options: int) -> Collector:
    return Collector(world.store, world.parts.blobs, **options)


def soon() -> float:
    return asyncio.get_running_loop().time() + 1_000


async def finished(world: Bench, job: Job, text: str) -> AttemptFinished:
    return await finish(world.store, world, world.parts.blobs, job, text)


class Frozen:
    """A process that stops just before it commits, until it is thawed."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.thawed = asyncio.Event()

    async def point(self, name: str) -> None:
        if name == "commit:before":
            self.reached.set()
            await self.thawed.wait()


async def frozen_writer(clock: ManualClock) -> "tuple[Bench, Frozen, Lease, asyncio.Task[str]]":
    """A worker whose large output is uploaded and not yet committed."""
    frozen = Frozen()
    world = bench(growing, clock=clock, point=frozen.point)
    await world.start(growing, "a")
    (lease,) = await claim(world)
    executor = Executor(world.parts, world.registry, Timing(start_told_after=AGES))
    task = asyncio.ensure_future(executor.execute(lease, soon()))
    await frozen.reached.wait()
    return world, frozen, lease, task


@pytest.mark.fault(12)
async def test_the_orphan_of_a_crashed_attempt_goes_once_its_lease_was_reaped() -> None:
    clock = ManualClock()
    world = bench(growing, clock=clock)
    await world.start(growing, "a")
    (lease,) = await claim(world)
    await put(world, lease.job.run_id, lease.lease_id)  # and the process is gone
    clock.advance(AGES)
    assert await collector_of(world).round() == 0, "the lease ran out, but nobody has fenced it"
    await upkeep_of(world).reap()
    assert await collector_of(world).round() == 1
    assert await keys(world.parts.blobs) == set()


@pytest.mark.fault(12)
async def test_what_a_slow_writer_uploaded_is_there_when_it_commits_a_year_later() -> None:
    clock = ManualClock()
    world, frozen, lease, task = await frozen_writer(clock)
    (blob,) = await keys(world.parts.blobs)
    clock.advance(AGES)
    assert await collector_of(world).round() == 0
    frozen.thawed.set()
    assert await task == "completed"
    assert await named(world.store, lease.job.run_id) == {blob}
    assert await collector_of(world).round() == 0, "a row names it"
    assert await world.client.handle(lease.job.run_id).result(1) == "a" * LARGE


@pytest.mark.fault(12)
async def test_a_reaped_writer_loses_its_blob_and_its_commit_is_refused() -> None:
    clock = ManualClock()
    world, frozen, lease, task = await frozen_writer(clock)
    clock.advance(LENGTH * 2)
    await upkeep_of(world).reap()
    assert await collector_of(world).round() == 1
    frozen.thawed.set()
    assert await task == "lease_lost"
    assert await named(world.store, lease.job.run_id) == set()
    assert await keys(world.parts.blobs) == set()


@pytest.mark.fault(12)
async def test_a_lease_that_went_on_to_the_next_stage_keeps_what_it_puts_there() -> None:
    world = bench(chain, clock=ManualClock())
    run = await world.start(chain, "a")
    (lease,) = await claim(world)
    after = await finished(world, lease.job, "a" * LARGE)
    assert after.job is not None
    blob = await put(world, run.id, lease.lease_id, b"not yet committed")
    assert await collector_of(world).round() == 0
    await finished(world, after.job, "b" * LARGE)
    assert await collector_of(world).round() == 1, "the run is over, and nothing names it"
    assert blob not in await keys(world.parts.blobs)
    assert await keys(world.parts.blobs) == await named(world.store, run.id)
    assert await run.result(1) == "b" * LARGE


@stage
async def texts(ctx: Context, count: int) -> list[str]:
    return [str(number) * LARGE for number in range(count)]


@stage(retry=Retry(max_attempts=10))
async def length(ctx: Context, text: str) -> int:
    return len(text)


mapping = Workflow("mapping", version="1").pipe(texts).map(length)


async def test_elements_stay_for_as_long_as_a_job_waits_for_them() -> None:
    world = bench(mapping, clock=ManualClock())
    run = await world.start(mapping, 3)
    executor = Executor(world.parts, world.registry, Timing())
    (lease,) = await claim(world)
    await executor.execute(lease, soon())
    assert await collector_of(world).round() == 0
    assert len(await keys(world.parts.blobs)) == 4, "three elements, and the list of them"
    for instance in await claim(world):
        await executor.execute(instance, soon())
    assert await run.result(1) == [LARGE] * 3
    assert await collector_of(world).round() == 3, "nobody asks for the elements again"
    assert await keys(world.parts.blobs) == await named(world.store, run.id)


async def test_blobs_of_an_unknown_run_are_kept_as_another_database_may_share_the_place() -> None:
    world, other = bench(growing, clock=ManualClock()), bench(growing)
    (lease,) = await fenced(world)
    orphan = await put(world, lease.job.run_id, lease.lease_id)
    await put(world, lease.job.run_id, "input")
    before = await keys(world.parts.blobs)
    assert await Collector(other.store, world.parts.blobs).round() == 0
    assert await keys(world.parts.blobs) == before
    assert await collector_of(world).round() == 1, "to its own database it is an orphan"
    assert await keys(world.parts.blobs) == before - {orphan}


async def test_inputs_and_signals_of_a_run_stay() -> None:
    world = bench(growing, clock=ManualClock())
    run = await world.start(growing, "a" * LARGE)
    await run.signal("more", "b" * LARGE)
    before = await keys(world.parts.blobs)
    assert len(before) == 2
    assert await collector_of(world).round() == 0
    assert await keys(world.parts.blobs) == before


@pytest.mark.parametrize(
    "form",
    [
        "photo.jpg",
        "backup/{run}/{lease}",
        "{run}/{lease}",
        "{run}/{lease}/notes.txt",
        "{run}/{lease}/{hash}/more",
        "{run}/{lease}/{hash}0",
        "{run}/lease-1/{hash}",
        "{run}/ABCDEF00-0000-4000-8000-000000000000/{hash}",
    ],
)
async def test_a_key_of_another_form_is_not_ours(form: str) -> None:
    world = bench(growing, clock=ManualClock())
    (lease,) = await fenced(world)
    run, owner, digest = (await put(world, lease.job.run_id, lease.lease_id)).split("/")
    key = BlobKey(form.format(run=run, lease=owner, hash=digest))
    await world.parts.blobs.put(key, b"x")
    assert await collector_of(world).round() == 1
    assert await keys(world.parts.blobs) == {key}
