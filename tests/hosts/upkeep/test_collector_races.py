"""The collector against writers, reapers and itself, in a thousand interleavings drawn from seeds.

Each actor is a process of its own that may be stopped before and after every effect on the store or the blobs.
"""

from collections.abc import Coroutine, Generator
from contextlib import suppress
from random import Random
from types import coroutine
from typing import Any

import pytest

from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.hosts.upkeep.collector import Collector
from mainspring.hosts.upkeep.ticks import Upkeep
from mainspring.kernel.commands.lease_reap import BACK_OFF
from mainspring.kernel.decision import Command
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import LeaseLostError
from mainspring.ports.names import BlobKey, RunId, WorkerId
from mainspring.ports.records import Job
from tests.hosts.parts import Bench, ManualClock, bench
from tests.hosts.upkeep.collecting import LARGE, LENGTH, chain, finish, named

SEEDS = 1_000
KILLED = 0.01
"""How likely an actor is killed instead of being stepped."""


@coroutine
def pause(name: str) -> Generator[str, None, None]:
    yield name


async def stop_here(name: str) -> None:
    await pause(name)


class Processes:
    """Actors on one store and one blob store, stepped in an order that a seed decides."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = ManualClock()
        self.world: Bench = bench(chain, clock=self.clock)
        self.blobs = MemoryBlobStore(point=stop_here)
        self.written = 0  #: blobs put, or about to be
        self.refused = 0  #: commits of fenced writers

    def store(self) -> MemoryPersistence:
        return self.world.store.another(stop_here)

    def there(self) -> set[BlobKey]:
        """The keys of all blobs."""
        return set(self.blobs._blobs)  # pyright: ignore[reportPrivateUsage]  read without being stopped

    async def write(self) -> None:
        """Claim what is due and work it off under one lease."""
        store = self.store()
        routes = self.world.registry.routes()
        for lease in await store.claim(routes, limit=1, length=LENGTH, worker=WorkerId("w")):
            job: Job | None = lease.job
            while job is not None:
                self.written += 1
                text = f"{self.written:<{LARGE}}"
                try:
                    job = (await finish(store, self.world, self.blobs, job, text)).job
                except LeaseLostError:
                    self.refused += 1
                    return

    async def reap(self) -> None:
        """Fence the writer; later the job is due again."""
        dispatcher = Dispatcher(self.store(), self.clock, self.world.parts.ids)

        async def dispatch(run_id: RunId, command: Command[Any]) -> Any:
            return await dispatcher.dispatch(command)

        self.clock.advance(LENGTH * 2)
        await Upkeep(self.store(), dispatch).reap()
        self.clock.advance(BACK_OFF.maximum)

    async def collect(self) -> None:
        collector = Collector(self.store(), self.blobs)
        await collector.round()
        await collector.round()

    def interleave(self, *actors: Coroutine[Any, Any, None]) -> None:
        """Step the actors, each for a while of random length, until all have ended; now and then one is killed."""
        left = list(actors)
        while left:
            actor = self.random.choice(left)
            if self.random.random() < KILLED:
                left.remove(actor)
                actor.close()
                continue
            for _ in range(self.random.choice((1, 1, 2, 5, 50))):
                try:
                    actor.send(None)
                except StopIteration:
                    left.remove(actor)
                    break


def undisturbed(*actors: Coroutine[Any, Any, None]) -> None:
    """Step the actors one after another."""
    for actor in actors:
        with suppress(StopIteration):
            while True:
                actor.send(None)


@pytest.mark.fault(12)
async def test_no_row_ever_names_a_blob_that_is_not_there() -> None:
    refused = deleted = 0
    for seed in range(SEEDS):
        one = Processes(seed)
        run = await one.world.start(chain, "a")
        one.interleave(one.write(), one.reap(), one.write(), one.collect(), one.collect())
        rows = await named(one.world.store, run.id)
        assert rows <= one.there(), f"seed {seed}: a row names a blob that was deleted"
        refused += one.refused
        deleted += one.written > len(one.there())
        undisturbed(one.reap(), one.collect())
        assert one.there() == rows, f"seed {seed}: an orphan is left, or a blob is missing"
    assert refused > SEEDS / 100, "sometimes a writer must be fenced while it writes"
    assert deleted > SEEDS / 100, "sometimes its blob must be deleted meanwhile"
