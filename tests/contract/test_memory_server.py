"""The memory store used like a database server keeps the contract of Persistence, at rest and interleaved."""

import asyncio
from random import Random

from mainspring.adapters.memory import ManualClock, Point, RowLocks, SeededIds, ServerPersistence
from mainspring.ports.change import Change, LeaseGuard, Wake
from mainspring.ports.contracts.commit_guards import released
from mainspring.ports.contracts.persistence import PersistenceContract
from mainspring.ports.contracts.world import LEASE_LENGTH, ROUTE, WORKER, SteerableClock
from mainspring.ports.errors import StaleChange
from mainspring.ports.persistence import Persistence


async def one_turn(name: str) -> None:
    """A round trip: others have their turn meanwhile."""
    await asyncio.sleep(0)


class TestServerPersistence(PersistenceContract):
    """Every statement takes the same time."""

    def new_clock(self) -> SteerableClock:
        return ManualClock()

    def new_point(self) -> Point:
        return one_turn

    async def open(self, clock: SteerableClock) -> Persistence:
        self.point = self.new_point()
        self.one = ServerPersistence(clock, SeededIds(clock), locks=RowLocks(), point=self.point)
        return self.one

    async def second(self, clock: SteerableClock) -> Persistence:
        return self.one.another(self.point)

    async def test_a_claim_and_a_wake_up_never_lose_each_other(self) -> None:
        """A claim passes over a row that is being woken, so it may have to come again."""
        world = await self.world()
        for _ in range(20):
            run, job = await world.with_job()
            wake = Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),))
            leases, _ = await asyncio.gather(
                world.store.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER, only=[job.key]),
                world.other.commit(wake),
            )
            (lease,) = leases or await world.claimed(job.key)
            assert (await world.stored(job)).wakes == 1
            as_claimed = LeaseGuard(key=job.key, lease_id=lease.lease_id, wakes=lease.job.wakes)
            try:
                await world.store.commit(Change(leases=(as_claimed,), job_moves=(released(job, available_at=None),)))
            except StaleChange:
                assert lease.job.wakes == 0
            else:
                assert lease.job.wakes == 1
            await world.store.commit(Change(job_deletes=(job.key,)))


class TestServerPersistenceInterleaved(TestServerPersistence):
    """The same, with every call suspended a random while before, after, and with its locks held."""

    def new_point(self) -> Point:
        dice = Random(0)

        async def linger(name: str) -> None:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)

        return linger
