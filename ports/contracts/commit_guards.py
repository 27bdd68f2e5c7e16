"""What must still hold when a Change is written: each guard is lost once, and then kept."""

from datetime import timedelta
from typing import Any

from mainspring.ports.change import (
    Change,
    JobMove,
    LeaseGuard,
    OutboxSettlement,
    RunGuard,
    RunPatch,
    UnleasedGuard,
    Wake,
)
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import LEASE_LENGTH, ROUTE, SECOND, STAGE
from mainspring.ports.names import StageId
from mainspring.ports.records import Job, JobKey, RunStatus


def released(job: Job, **fields: Any) -> JobMove:
    """The job given back as it stands, without its lease."""
    plain: dict[str, Any] = {
        "key": job.key,
        "stage": job.stage,
        "index": job.index,
        "route": ROUTE,
        "available_at": job.available_at,
        "attempt": 0,
        "max_attempts": 3,
    }
    return JobMove(**(plain | fields))


class CommitGuardsContract(PersistenceSuite):
    """A Change whose guard is lost is refused whole; with the guard right it is written."""

    async def test_a_stale_exclusive_revision_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run = await world.created()
        patch = RunPatch(run_id=run.id, revision=0, status=RunStatus.RUNNING)
        await world.store.commit(Change(run=patch))
        await world.assert_refused(Change(run=patch))
        await world.store.commit(Change(run=RunPatch(run_id=run.id, revision=1)))

    async def test_a_revision_of_the_future_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.assert_refused(Change(run=RunPatch(run_id=run.id, revision=1)))

    async def test_a_patch_of_an_unknown_run_is_refused(self) -> None:
        world = await self.world()
        await world.assert_refused(Change(run=RunPatch(run_id=world.run_id(), revision=0)))

    async def test_a_stale_shared_revision_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.commit(Change(run=RunPatch(run_id=run.id, revision=0)))
        await world.assert_refused(Change(run_guard=RunGuard(run_id=run.id, revision=0)))
        await world.store.commit(Change(run_guard=RunGuard(run_id=run.id, revision=1)))

    async def test_a_shared_guard_on_an_unknown_run_is_refused(self) -> None:
        world = await self.world()
        await world.assert_refused(Change(run_guard=RunGuard(run_id=world.run_id(), revision=0)))

    async def test_a_shared_guard_bumps_nothing(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.commit(Change(run_guard=RunGuard(run_id=run.id, revision=0), signals=(world.signal(run),)))
        assert await world.other.run(run.id) == run

    async def test_a_lease_id_of_another_claim_refuses_the_whole_change(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease = await world.leased(job)
        wrong = LeaseGuard(key=job.key, lease_id=world.lease_id())
        await world.assert_refused(Change(leases=(wrong,), job_deletes=(job.key,)))
        right = LeaseGuard(key=job.key, lease_id=lease.lease_id)
        await world.store.commit(Change(leases=(right,), job_deletes=(job.key,)))

    async def test_a_lease_that_was_given_up_refuses_the_whole_change(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        guard = LeaseGuard(key=job.key, lease_id=(await world.leased(job)).lease_id)
        give_back = Change(leases=(guard,), job_moves=(released(job),))
        await world.store.commit(give_back)
        await world.assert_refused(give_back)

    async def test_a_lease_that_was_taken_over_refuses_the_whole_change(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        guard = LeaseGuard(key=job.key, lease_id=(await world.leased(job)).lease_id)
        await world.store.commit(Change(leases=(guard,), job_moves=(released(job),)))
        await world.leased(job)
        await world.assert_refused(Change(leases=(guard,), job_deletes=(job.key,)))

    async def test_a_lease_on_a_job_that_is_gone_refuses_the_whole_change(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        guard = LeaseGuard(key=job.key, lease_id=(await world.leased(job)).lease_id)
        await world.store.commit(Change(job_deletes=(job.key,)))
        await world.assert_refused(Change(leases=(guard,)))

    async def test_a_lease_moves_with_a_job_handed_over_and_is_lost_at_the_old_stage(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease_id = (await world.leased(job)).lease_id
        here = LeaseGuard(key=job.key, lease_id=lease_id)
        move = released(job, stage=StageId("goodbye"), keep_lease=True, attempt=1, claimed_at=world.clock.now())
        await world.store.commit(Change(leases=(here,), job_moves=(move,)))
        await world.assert_refused(Change(leases=(here,)))
        there = LeaseGuard(key=JobKey(job.run_id, StageId("goodbye")), lease_id=lease_id)
        await world.store.commit(Change(leases=(there,)))

    async def test_one_lost_lease_among_several_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run = await world.created()
        jobs = [await world.added(run, index=index) for index in range(3)]
        leases = await world.claimed()
        guards = [LeaseGuard(key=lease.job.key, lease_id=lease.lease_id) for lease in leases]
        lost = LeaseGuard(key=guards[1].key, lease_id=world.lease_id())
        keys = tuple(job.key for job in jobs)
        await world.assert_refused(Change(leases=(guards[0], lost, guards[2]), job_deletes=keys))
        await world.store.commit(Change(leases=tuple(guards), job_deletes=keys))
        assert await world.other.jobs(run.id) == []

    async def test_a_guard_on_a_lease_ignores_that_its_time_is_over(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        guard = LeaseGuard(key=job.key, lease_id=(await world.leased(job)).lease_id)
        await world.advance(LEASE_LENGTH * 2)
        await world.store.commit(Change(leases=(guard,), job_deletes=(job.key,)))

    async def test_a_job_woken_since_its_wake_count_was_read_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        lease_id = (await world.leased(job)).lease_id
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
        suspend = released(job, available_at=None)
        unseen = LeaseGuard(key=job.key, lease_id=lease_id, wakes=0)
        await world.assert_refused(Change(leases=(unseen,), job_moves=(suspend,)))
        seen = LeaseGuard(key=job.key, lease_id=lease_id, wakes=1)
        await world.store.commit(Change(leases=(seen,), job_moves=(suspend,)))

    async def test_a_lease_that_has_not_run_out_is_not_reaped(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        expired = LeaseGuard(key=job.key, lease_id=(await world.leased(job)).lease_id, expired=True)
        reap = Change(leases=(expired,), job_moves=(released(job),))
        await world.assert_refused(reap)
        await world.advance(LEASE_LENGTH - SECOND)
        await world.assert_refused(reap)
        await world.advance(SECOND * 2)
        await world.store.commit(reap)

    async def test_a_lease_that_was_extended_since_it_was_seen_expired_is_not_reaped(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease = await world.leased(job)
        await world.advance(LEASE_LENGTH + SECOND)
        assert [found.job.key for found in await world.store.expired_leases(10)] == [job.key]
        await world.other.extend([(job.key, lease.lease_id)], LEASE_LENGTH)
        expired = LeaseGuard(key=job.key, lease_id=lease.lease_id, expired=True)
        await world.assert_refused(Change(leases=(expired,), job_moves=(released(job),)))

    async def test_a_job_leased_meanwhile_refuses_what_was_decided_of_it_unleased(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        cancel = Change(unleased=(UnleasedGuard(key=job.key, token=0),), job_deletes=(job.key,))
        await world.leased(job)
        await world.assert_refused(cancel)

    async def test_a_leased_job_is_not_unleased_even_if_its_newest_token_is_known(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease = await world.leased(job)
        guard = UnleasedGuard(key=job.key, token=lease.job.token)
        await world.assert_refused(Change(unleased=(guard,), job_deletes=(job.key,)))

    async def test_a_job_claimed_and_given_back_meanwhile_refuses_what_was_decided_of_it(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease = await world.leased(job)
        mine = LeaseGuard(key=job.key, lease_id=lease.lease_id)
        await world.store.commit(Change(leases=(mine,), job_moves=(released(job),)))
        as_read = UnleasedGuard(key=job.key, token=0)
        await world.assert_refused(Change(unleased=(as_read,), job_deletes=(job.key,)))
        as_is = UnleasedGuard(key=job.key, token=(await world.stored(job)).token)
        await world.store.commit(Change(unleased=(as_is,), job_deletes=(job.key,)))

    async def test_a_job_that_is_gone_is_not_unleased(self) -> None:
        world = await self.world()
        run = await world.created()
        guard = UnleasedGuard(key=JobKey(run.id, STAGE), token=0)
        await world.assert_refused(Change(unleased=(guard,)))

    async def test_a_relay_without_the_lease_settles_nothing(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.commit(Change(events=(world.event(run),)))
        mine, theirs = world.lease_id(), world.lease_id()
        settle = Change(outbox=OutboxSettlement(lease_id=mine, published=((run.id, 1),)))
        await world.assert_refused(settle)
        assert await world.store.lease_relay(mine, LEASE_LENGTH)
        await world.advance(LEASE_LENGTH + SECOND)
        assert await world.other.lease_relay(theirs, LEASE_LENGTH)
        await world.assert_refused(settle)
        await world.store.commit(Change(outbox=OutboxSettlement(lease_id=theirs, published=((run.id, 1),))))
        assert await world.other.unpublished(10) == []

    async def test_the_relays_lease_guards_by_its_id_and_not_by_time(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.commit(Change(events=(world.event(run),)))
        mine = world.lease_id()
        assert await world.store.lease_relay(mine, LEASE_LENGTH)
        await world.advance(LEASE_LENGTH + timedelta(hours=1))
        await world.store.commit(Change(outbox=OutboxSettlement(lease_id=mine, published=((run.id, 1),))))
        assert await world.other.unpublished(10) == []

    async def test_a_change_with_all_its_guards_right_is_written(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        lease_id = (await world.leased(job)).lease_id
        await world.store.commit(
            Change(
                run=RunPatch(run_id=run.id, revision=0, status=RunStatus.RUNNING),
                leases=(LeaseGuard(key=job.key, lease_id=lease_id, wakes=0),),
                unleased=(),
                stages=(world.stage(run),),
                job_deletes=(job.key,),
            )
        )
        assert await world.other.jobs(run.id) == []
        assert [record.stage for record in await world.other.stages(run.id)] == [STAGE]
