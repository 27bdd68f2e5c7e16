"""What tests of the sweeper share: runs that have ended, and all that there is of a run."""

from datetime import timedelta
from typing import Any

from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.ports.names import RunId
from mainspring.ports.records import Job, Run
from tests.hosts.parts import Bench
from tests.hosts.upkeep.collecting import LARGE, chain, claim, finish

KEPT = timedelta(days=30)


async def ended(world: Bench, *, text: str = "a" * LARGE, **options: Any) -> Run:
    """A run of two stages that has ended, its input, outputs and a signal in blobs."""
    handle = await world.start(chain, text, **options)
    await handle.signal("more", "b" * LARGE)
    (lease,) = await claim(world)
    job: Job | None = lease.job
    while job is not None:
        job = (await finish(world.store, world, world.parts.blobs, job, f"{job.stage:<{LARGE}}")).job
    return await handle.describe()


async def rows(store: MemoryPersistence, run_id: RunId) -> list[object]:
    """All that the store holds of a run."""
    found: list[object] = [await store.run(run_id), *await store.jobs(run_id), *await store.stages(run_id)]
    found += [*await store.attempts(run_id), *await store.inbox(run_id)]
    return [row for row in found if row is not None]
