"""What upkeep reads: expired leases, overdue runs, the next moment to look, and who is alive."""

import attrs

from mainspring.ports.change import Change, LeaseGuard, RunPatch
from mainspring.ports.contracts.commit_guards import released
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import LEASE_LENGTH, OTHER_ROUTE, OTHER_WORKER, ROUTE, SECOND, WORKER
from mainspring.ports.records import TERMINAL_RUN_STATUSES, ExpiredLease, RunStatus, WorkerRecord


class UpkeepStoreContract(PersistenceSuite):
    """Bounded, ordered by how late they are, by the store's time."""

    async def test_leases_expire_by_the_stores_time(self) -> None:
        world = await self.world()
        run = await world.created(status=RunStatus.CANCELLING)
        job = await world.added(run)
        lease = await world.leased(job)
        await world.advance(LEASE_LENGTH - SECOND)
        assert await world.other.expired_leases(10) == []
        await world.advance(SECOND * 2)
        expired = ExpiredLease(job=lease.job, run_status=RunStatus.CANCELLING)
        assert await world.other.expired_leases(10) == [expired]

    async def test_the_longest_expired_come_first_and_no_more_than_the_limit(self) -> None:
        world = await self.world()
        run = await world.created()
        for index, length in ((1, 3), (2, 1), (3, 2), (4, 900)):
            await world.added(run, index=index)
            await world.claimed(length=SECOND * length)
        await world.advance(SECOND * 10)
        assert [found.job.index for found in await world.other.expired_leases(10)] == [2, 3, 1]
        assert [found.job.index for found in await world.other.expired_leases(2)] == [2, 3]
        assert await world.other.expired_leases(0) == []

    async def test_a_lease_given_up_does_not_expire(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        mine = LeaseGuard(key=job.key, lease_id=(await world.leased(job)).lease_id)
        await world.store.commit(Change(leases=(mine,), job_moves=(released(job),)))
        await world.advance(LEASE_LENGTH * 2)
        assert await world.other.expired_leases(10) == []

    async def test_active_runs_past_their_deadline_are_overdue_the_latest_first(self) -> None:
        world = await self.world()
        now = world.clock.now()
        late = await world.created(deadline=now + SECOND * 2)
        later = await world.created(deadline=now + SECOND)
        await world.created()
        await world.created(deadline=now + SECOND * 900)
        assert await world.other.overdue_runs(10) == []
        await world.advance(SECOND * 3)
        assert await world.other.overdue_runs(10) == [later.id, late.id]
        assert await world.other.overdue_runs(1) == [later.id]

    async def test_a_finished_run_is_never_overdue(self) -> None:
        world = await self.world()
        for status in TERMINAL_RUN_STATUSES:
            run = await world.created(deadline=world.clock.now() + SECOND)
            await world.store.commit(Change(run=RunPatch(run_id=run.id, revision=0, status=status)))
        await world.advance(SECOND * 2)
        assert await world.other.overdue_runs(10) == []
        assert await world.other.next_upkeep() is None

    async def test_every_active_status_can_be_overdue(self) -> None:
        world = await self.world()
        statuses = [status for status in RunStatus if status not in TERMINAL_RUN_STATUSES]
        ids = {(await world.created(status=status, deadline=world.clock.now())).id for status in statuses}
        await world.advance(SECOND)
        assert set(await world.other.overdue_runs(10)) == ids

    async def test_the_next_upkeep_is_the_earliest_lease_end_or_deadline(self) -> None:
        world = await self.world()
        assert await world.other.next_upkeep() is None
        now = world.clock.now()
        await world.created(deadline=now + SECOND * 50)
        assert await world.other.next_upkeep() == now + SECOND * 50
        _, job = await world.with_job()
        lease = await world.leased(job)
        assert await world.other.next_upkeep() == lease.job.lease_until
        await world.store.extend([(job.key, lease.lease_id)], LEASE_LENGTH * 10)
        assert await world.other.next_upkeep() == now + SECOND * 50

    async def test_a_worker_is_recorded_replaced_and_forgotten(self) -> None:
        world = await self.world()
        now = world.clock.now()
        one = WorkerRecord(id=WORKER, routes=(ROUTE, OTHER_ROUTE), build="b1", started_at=now, seen_at=now)
        two = WorkerRecord(id=OTHER_WORKER, routes=(), build="b2", started_at=now, seen_at=now)
        await world.store.record_worker(two)
        await world.store.record_worker(one)
        assert await world.other.workers() == [one, two]
        seen = attrs.evolve(one, routes=(ROUTE,), seen_at=now + SECOND)
        await world.other.record_worker(seen)
        assert await world.store.workers() == [seen, two]
        await world.store.forget_worker(OTHER_WORKER)
        await world.store.forget_worker(OTHER_WORKER)
        assert await world.other.workers() == [seen]
