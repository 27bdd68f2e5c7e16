"""What tests of the collector share: a world with large payloads, and what must hold of its blobs and rows."""

import hashlib
from datetime import timedelta

import attrs

from mainspring import Context, Retry, Workflow, stage
from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.execution.payloads import Payloads
from mainspring.hosts.upkeep.ticks import Upkeep
from mainspring.kernel.commands.attempt_finish import AttemptFinished, Completed, FinishAttempt
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.names import BlobKey, LeaseId, RunId, WorkerId
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Job, Lease
from tests.hosts.parts import Bench, ManualClock

LENGTH = timedelta(seconds=30)
LARGE = 70_000
AGES = timedelta(days=365)


@stage(retry=Retry(max_attempts=10))
async def grow(ctx: Context, letter: str) -> str:
    return letter * LARGE


@stage(retry=Retry(max_attempts=10))
async def double(ctx: Context, text: str) -> str:
    return text + text


growing = Workflow("growing", version="1").pipe(grow)
chain = Workflow("chain", version="1").pipe(grow).pipe(double)


def upkeep_of(world: Bench) -> Upkeep:
    """Another process' upkeep, whatever happens to the host under test."""
    parts = attrs.evolve(world.parts, store=world.store)
    return Upkeep(world.store, Executor(parts, world.registry, Timing()).dispatch)


async def claim(world: Bench) -> list[Lease]:
    """All jobs that are due, leased."""
    return await world.store.claim(world.registry.routes(), limit=99, length=LENGTH, worker=WorkerId("w"))


async def fenced(world: Bench, count: int = 1) -> list[Lease]:
    """Dead leases of so many new runs of ``growing``: their attempts died, and were reaped; the clock went on."""
    for _ in range(count):
        await world.start(growing, "a")
    leases = await claim(world)
    assert len(leases) == count
    assert isinstance(world.parts.clock, ManualClock)
    world.parts.clock.advance(LENGTH * 2)
    await upkeep_of(world).reap()
    return leases


def key_of(run_id: RunId | str, owner: LeaseId | str, content: bytes = b"x") -> BlobKey:
    return BlobKey(f"{run_id}/{owner}/{hashlib.sha256(content).hexdigest()}")


async def put(world: Bench, run_id: RunId, owner: LeaseId | str, content: bytes = b"x") -> BlobKey:
    """A blob as an attempt, or a start, puts it."""
    key = key_of(run_id, owner, content)
    await world.parts.blobs.put(key, content)
    return key


async def finish(store: Persistence, world: Bench, blobs: BlobStore, job: Job, text: str) -> AttemptFinished:
    """An attempt's end with a large output: blob first, then row; its lease goes on to the next stage.

    Raises:
        LeaseLostError: the lease is gone, and nothing was committed.
    """
    assert job.lease_id is not None
    payloads = Payloads(world.parts.codec, blobs, world.parts.limits)
    output = await payloads.store(text, job.run_id, job.lease_id, "output")
    command = FinishAttempt(job=job, plan=chain.plan, outcome=Completed(output=output), keep=True)
    dispatcher = Dispatcher(store, world.parts.clock, world.parts.ids)
    (answer,), _ = await dispatcher.dispatch_all(job.run_id, [command], None)
    if isinstance(answer, Exception):
        raise answer
    return answer


async def keys(blobs: BlobStore) -> set[BlobKey]:
    return {key async for key in blobs.list()}


async def named(store: Persistence, run_id: RunId) -> set[BlobKey]:
    """The blobs that a run's rows name."""
    run = await store.run(run_id)
    assert run is not None
    texts = {run.input, run.config, run.metadata, run.output}
    texts |= {job.input for job in await store.jobs(run_id)} | {row.output for row in await store.stages(run_id)}
    return {BlobKey(text[1:]) for text in texts if text is not None and text.startswith("@")}
