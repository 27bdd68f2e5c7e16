"""What a Change writes to runs, stages, attempts and jobs: moves, unparking, progress and the end of jobs."""

import attrs

from mainspring.ports.change import Change, EndJobs, LeaseGuard, Progress, RunPatch, Unpark, Wake
from mainspring.ports.contracts.commit_guards import released
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import LEASE_LENGTH, NEXT_STAGE, OTHER_ROUTE, ROUTE, SECOND, STAGE, WORKER
from mainspring.ports.errors import StaleChange
from mainspring.ports.names import Payload
from mainspring.ports.records import Failure, JobPhase, Polling, RunStatus, StageStatus


class CommitWritesContract(PersistenceSuite):
    """Every part of a Change is written as its docstring says, and seen by another process at once."""

    async def test_a_patch_writes_the_columns_it_names_and_grows_the_revision(self) -> None:
        world = await self.world()
        run = await world.created(output=None)
        failure = Failure(code="failed", message="m", type="T", details="{}", traceback="tb", stage=STAGE)
        now = world.clock.now()
        patch = RunPatch(
            run_id=run.id,
            revision=0,
            status=RunStatus.FAILED,
            started_at=now,
            finished_at=now + SECOND,
            output=Payload("1"),
            failure=failure,
            cancel_reason="why not",
        )
        await world.store.commit(Change(run=patch))
        assert await world.other.run(run.id) == attrs.evolve(
            run,
            revision=1,
            status=RunStatus.FAILED,
            started_at=now,
            finished_at=now + SECOND,
            output=Payload("1"),
            failure=failure,
            cancel_reason="why not",
        )

    async def test_a_patch_leaves_the_columns_it_does_not_name(self) -> None:
        world = await self.world()
        run = await world.created()
        now = world.clock.now()
        patch = RunPatch(run_id=run.id, revision=0, status=RunStatus.RUNNING, started_at=now, cancel_reason="r")
        await world.store.commit(Change(run=patch))
        await world.store.commit(Change(run=RunPatch(run_id=run.id, revision=1)))
        stored = await world.other.run(run.id)
        assert stored == attrs.evolve(run, revision=2, status=RunStatus.RUNNING, started_at=now, cancel_reason="r")

    async def test_a_patch_without_a_bump_keeps_the_revision(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.commit(Change(run=RunPatch(run_id=run.id, revision=0, bump=0)))
        assert await world.other.run(run.id) == run

    async def test_a_job_given_back_is_not_leased_and_keeps_what_a_move_does_not_tell(self) -> None:
        world = await self.world()
        run, job = await world.with_job(priority=7)
        lease = await world.leased(job)
        mine = LeaseGuard(key=job.key, lease_id=lease.lease_id)
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
        await world.store.commit(Change(leases=(mine,), progress=Progress(key=job.key, data="1")))
        later = world.clock.now() + SECOND
        move = released(job, available_at=later, not_before=later, attempt=1, max_attempts=5, input=Payload("2"))
        await world.store.commit(Change(leases=(mine,), job_moves=(move,)))
        stored = await world.stored(job)
        assert (stored.lease_id, stored.worker, stored.lease_until) == (None, None, None)
        assert (stored.wakes, stored.token, stored.priority) == (1, lease.job.token, 7)
        assert (stored.available_at, stored.not_before) == (later, later)
        assert (stored.attempt, stored.max_attempts, stored.input) == (1, 5, "2")
        assert (stored.route, stored.phase, stored.progress) == (ROUTE, JobPhase.READY, None)

    async def test_a_job_waits_for_its_check_as_long_as_its_moves_say_so(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        now = world.clock.now()
        waits = Polling(state=Payload('{"batch":"b1"}'), every=SECOND * 2, since=now, until=now + SECOND * 60)
        for polling in (waits, attrs.evolve(waits, state=Payload("2"), until=None, checks=1)):
            mine = LeaseGuard(key=job.key, lease_id=(await world.leased(job)).lease_id)
            await world.store.commit(Change(leases=(mine,), job_moves=(released(job, polling=polling),)))
            assert (await world.stored(job)).polling == polling
        lease = await world.leased(job)
        assert lease.job.polling == polling
        mine = LeaseGuard(key=job.key, lease_id=lease.lease_id)
        ahead = released(job, stage=NEXT_STAGE, keep_lease=True)
        await world.store.commit(Change(leases=(mine,), stages=(world.stage(run),), job_moves=(ahead,)))
        (stored,) = await world.other.jobs(run.id)
        assert (stored.stage, stored.polling) == (NEXT_STAGE, None)

    async def test_a_hand_over_in_place_keeps_the_lease_and_the_wakes_and_leaves_no_row_behind(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        lease = await world.leased(job)
        mine = LeaseGuard(key=job.key, lease_id=lease.lease_id)
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
        began = world.clock.now() + SECOND
        move = released(job, stage=NEXT_STAGE, index=2, route=OTHER_ROUTE, attempt=1, claimed_at=began, keep_lease=True)
        await world.store.commit(Change(leases=(mine,), stages=(world.stage(run),), job_moves=(move,)))
        (stored,) = await world.other.jobs(run.id)
        assert (stored.stage, stored.index, stored.route) == (NEXT_STAGE, 2, OTHER_ROUTE)
        assert (stored.lease_id, stored.worker) == (lease.lease_id, WORKER)
        assert stored.lease_until == lease.job.lease_until
        assert (stored.claimed_at, stored.wakes, stored.token) == (began, 1, lease.job.token)

    async def test_a_job_may_be_made_leased_for_a_length_that_counts_from_the_stores_time_on(self) -> None:
        world = await self.world()
        run = await world.created()
        ahead = world.clock.now() + SECOND * 3600  # whoever made it has another clock
        mine = world.lease_id()
        fields = {"lease_id": mine, "worker": WORKER, "attempt": 1, "token": 1, "claimed_at": ahead}
        made = await world.added(run, lease_until=ahead + SECOND * 7, **fields)
        stored = await world.stored(made)
        assert stored == attrs.evolve(made, lease_until=world.clock.now() + SECOND * 7)
        assert await world.claimed() == []
        assert await world.other.expired_leases(10) == []
        world.clock.advance(SECOND * 8)
        (expired,) = await world.other.expired_leases(10)
        assert expired.job == stored
        guard = LeaseGuard(key=made.key, lease_id=mine)
        await world.store.commit(Change(leases=(guard,), job_moves=(released(made, attempt=1),)))
        lease = await world.leased(made)
        assert (lease.job.attempt, lease.job.token > 1) == (2, True)

    async def test_a_job_may_be_blocked_and_is_not_claimable_then(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        mine = LeaseGuard(key=job.key, lease_id=(await world.leased(job)).lease_id)
        await world.store.commit(Change(leases=(mine,), job_moves=(released(job, phase=JobPhase.BLOCKED),)))
        assert await world.claimed() == []
        state = await world.other.run_state(run.id)
        assert state is not None
        assert state.active == 1

    async def test_the_lowest_parked_instances_are_unparked(self) -> None:
        world = await self.world()
        run = await world.created()
        for index in (10, 9, 2, 1):
            await world.added(run, index=index, phase=JobPhase.PARKED, available_at=None)
        await world.added(run, stage=NEXT_STAGE, phase=JobPhase.PARKED, available_at=None)
        assert await world.claimed() == []
        at = world.clock.now()
        await world.store.commit(Change(unpark=(Unpark(run_id=run.id, stage=STAGE, count=3, at=at),)))
        claimed = await world.claimed()
        assert sorted(lease.job.index for lease in claimed) == [1, 2, 9]
        assert {lease.job.available_at for lease in claimed} == {at}

    async def test_unparking_more_than_there_are_unparks_all(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.added(run, phase=JobPhase.PARKED)
        unpark = Unpark(run_id=run.id, stage=STAGE, count=5, at=world.clock.now())
        await world.store.commit(Change(unpark=(unpark,)))
        assert len(await world.claimed()) == 1

    async def test_a_finish_deletes_its_job_and_unparks_the_next_in_one_change(self) -> None:
        world = await self.world()
        run = await world.created()
        first = await world.added(run, index=0)
        await world.added(run, index=1, phase=JobPhase.PARKED)
        mine = LeaseGuard(key=first.key, lease_id=(await world.leased(first)).lease_id)
        unpark = Unpark(run_id=run.id, stage=STAGE, count=1, at=world.clock.now())
        await world.store.commit(
            Change(leases=(mine,), stages=(world.stage(run),), job_deletes=(first.key,), unpark=(unpark,))
        )
        assert [lease.job.index for lease in await world.claimed()] == [1]

    async def test_progress_is_kept_on_the_job(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease = await world.leased(job)
        mine = LeaseGuard(key=job.key, lease_id=lease.lease_id)
        await world.store.commit(Change(leases=(mine,), progress=Progress(key=job.key, data='{"done":1}')))
        assert await world.stored(job) == attrs.evolve(lease.job, progress='{"done":1}')

    async def test_ending_all_jobs_leaves_a_stage_row_of_each(self) -> None:
        world = await self.world()
        run, bystander = await world.created(), await world.created()
        await world.added(bystander)
        leased = await world.added(run)
        lease = await world.leased(leased)
        await world.added(run, index=1, phase=JobPhase.PARKED)
        await world.added(run, stage=NEXT_STAGE, available_at=None)
        at = world.clock.now() + SECOND
        end = EndJobs(run_id=run.id, status=StageStatus.CANCELLED, at=at)
        await world.store.commit(Change(run=RunPatch(run_id=run.id, revision=0), end_jobs=end))
        assert await world.other.jobs(run.id) == []
        rows = await world.other.stages(run.id)
        assert {(row.stage, row.index) for row in rows} == {(STAGE, 0), (STAGE, 1), (NEXT_STAGE, 0)}
        assert {(row.status, row.finished_at, row.output, row.failure) for row in rows} == {
            (StageStatus.CANCELLED, at, None, None)
        }
        attempts = {(row.stage, row.index): (row.attempt, row.worker) for row in rows}
        assert attempts == {(STAGE, 0): (1, lease.job.worker), (STAGE, 1): (0, None), (NEXT_STAGE, 0): (0, None)}
        assert len(await world.other.jobs(bystander.id)) == 1

    async def test_ending_all_jobs_fences_those_that_are_leased(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        lease = await world.leased(job)
        end = EndJobs(run_id=run.id, status=StageStatus.CANCELLED, at=world.clock.now())
        await world.store.commit(Change(end_jobs=end))
        await world.assert_refused(Change(leases=(LeaseGuard(key=job.key, lease_id=lease.lease_id),)))
        (answer,) = await world.store.extend([(job.key, lease.lease_id)], LEASE_LENGTH)
        assert answer.lost

    async def test_jobs_end_after_the_other_job_writes_of_the_change(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        mine = LeaseGuard(key=job.key, lease_id=(await world.leased(job)).lease_id)
        sibling = await world.added(run, index=1)
        failed = world.stage(run, status=StageStatus.FAILED, output=None)
        end = EndJobs(run_id=run.id, status=StageStatus.CANCELLED, at=world.clock.now())
        await world.store.commit(Change(leases=(mine,), stages=(failed,), job_deletes=(job.key,), end_jobs=end))
        ended = [(row.index, row.status) for row in await world.other.stages(run.id)]
        assert ended == [(0, StageStatus.FAILED), (sibling.index, StageStatus.CANCELLED)]

    async def test_a_change_without_guards_and_writes_is_harmless(self) -> None:
        world = await self.world()
        await world.created()
        before = await world.everything()
        await world.store.commit(Change())
        assert await world.everything() == before

    async def test_a_refused_change_does_no_harm_to_the_ones_before_and_after_it(self) -> None:
        world = await self.world()
        run = await world.created()
        for index in range(5):
            good = Change(stages=(world.stage(run, index=index),))
            await world.store.commit(good)
            try:
                await world.store.commit(good)
            except StaleChange:
                continue
            raise AssertionError("a stage row was written twice")
        assert [row.index for row in await world.other.stages(run.id)] == [0, 1, 2, 3, 4]
