"""What upkeep reads: expired leases, overdue runs, the next moment to look, and who is alive."""

import attrs

from mainspring.ports.change import Change, LeaseGuard, RunPatch, Unpark, Wake
from mainspring.ports.contracts.commit_guards import released
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import (
    LEASE_LENGTH,
    NEXT_STAGE,
    OTHER_ROUTE,
    OTHER_WORKER,
    ROUTE,
    SECOND,
    WORKER,
)
from mainspring.ports.persistence import ANNOUNCED_AFTER, SELDOMEST
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Backlog,
    ExpiredLease,
    JobPhase,
    Pointer,
    RouteBacklog,
    RunStatus,
    SinkBacklog,
    WorkerRecord,
)
from mainspring.ports.sinks import DEFAULT_SINK, Sink


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

    async def test_a_job_nobody_took_is_announced_once_until_it_is_time_to_announce_it_again(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        await world.advance(ANNOUNCED_AFTER - SECOND)
        assert await world.store.announce(10, SECOND * 60) == []
        await world.advance(SECOND)
        assert await world.store.announce(10, SECOND * 60) == [Pointer.to(job.key)]
        assert await world.other.announce(10, SECOND * 60) == []
        await world.advance(SECOND * 60)
        assert await world.other.announce(10, SECOND * 60) == [Pointer.to(job.key)]

    async def test_the_longer_a_job_has_waited_the_less_often_it_is_announced(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        await world.advance(SECOND * 300)
        assert await world.store.announce(10, SECOND * 60) == [Pointer.to(job.key)]
        await world.advance(SECOND * 299)
        assert await world.other.announce(10, SECOND * 60) == []
        await world.advance(SECOND)
        assert await world.other.announce(10, SECOND * 60) == [Pointer.to(job.key)]
        await world.advance(SELDOMEST * 5)
        assert await world.other.announce(10, SECOND * 60) == [Pointer.to(job.key)]
        await world.advance(SELDOMEST - SECOND)
        assert await world.other.announce(10, SECOND * 60) == []
        await world.advance(SECOND)
        assert await world.other.announce(10, SECOND * 60) == [Pointer.to(job.key)]

    async def test_wakes_do_not_put_an_announcement_off(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        sleeping = await world.added(run, stage=NEXT_STAGE, available_at=None)
        for _ in range(5):
            await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
            await world.advance(SECOND)
        found = await world.store.announce(10, SECOND * 900)
        assert sorted(found, key=str) == sorted((Pointer.to(one.key) for one in (job, sleeping)), key=str)

    async def test_a_wake_brings_the_next_announcement_forward(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        await world.advance(ANNOUNCED_AFTER)
        assert await world.store.announce(10, SECOND * 900) == [Pointer.to(job.key)]
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now(), hurry=True),)))
        await world.advance(ANNOUNCED_AFTER)
        assert await world.store.announce(10, SECOND * 900) == [Pointer.to(job.key)]

    async def test_only_jobs_that_may_be_claimed_are_announced_the_longest_unheard_first(self) -> None:
        world = await self.world()
        run = await world.created()
        due = world.clock.now()
        await world.added(run, index=1, available_at=due + SECOND * 2)
        await world.added(run, index=2, available_at=due + SECOND)
        await world.added(run, index=3, available_at=due + SECOND * 900)
        await world.added(run, index=4, available_at=None)
        await world.added(run, index=5, phase=JobPhase.PARKED)
        await world.added(run, index=6, phase=JobPhase.BLOCKED)
        await world.leased(await world.added(run, index=7))
        await world.advance(SECOND * 10)
        assert await world.store.announce(0, SECOND) == []
        assert [found.index for found in await world.store.announce(1, SECOND)] == [2]
        assert [found.index for found in await world.other.announce(10, SECOND)] == [1]

    async def test_a_job_that_falls_due_anew_is_announced_anew(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        await world.advance(ANNOUNCED_AFTER)
        assert await world.store.announce(10, SECOND * 900) == [Pointer.to(job.key)]
        lease = await world.leased(job)
        guard = LeaseGuard(key=job.key, lease_id=lease.lease_id)
        again = attrs.evolve(released(job), available_at=world.clock.now() + SECOND)
        await world.store.commit(Change(leases=(guard,), job_moves=(again,)))
        assert await world.store.announce(10, SECOND * 900) == []
        await world.advance(SECOND + ANNOUNCED_AFTER)
        assert await world.store.announce(10, SECOND * 900) == [Pointer.to(job.key)]

    async def test_a_job_that_was_freed_or_woken_is_announced(self) -> None:
        world = await self.world()
        run = await world.created()
        parked = await world.added(run, index=1, phase=JobPhase.PARKED)
        sleeping = await world.added(run, stage=NEXT_STAGE, available_at=None)
        now = world.clock.now()
        unpark = Unpark(run_id=run.id, stage=parked.stage, count=1, at=now)
        await world.store.commit(Change(unpark=(unpark,)))
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=now),)))
        await world.advance(ANNOUNCED_AFTER)
        found = await world.other.announce(10, SECOND * 900)
        assert sorted(found, key=str) == sorted((Pointer.to(job.key) for job in (parked, sleeping)), key=str)

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

    async def test_nothing_waits_in_an_empty_store(self) -> None:
        world = await self.world()
        seen = await world.other.backlog()
        assert seen == Backlog(at=seen.at, sinks=(SinkBacklog(sink=DEFAULT_SINK),))
        await world.advance(SECOND)
        assert (await world.other.backlog()).at - seen.at >= SECOND

    async def test_the_backlog_counts_by_route_and_state(self) -> None:
        world = await self.world()
        now, run = world.clock.now(), await world.created()
        leased = await world.added(run, index=1)
        await world.leased(leased)
        await world.added(run, index=2, available_at=now - SECOND * 5, priority=3)
        await world.added(run, index=3, available_at=now - SECOND * 9)
        await world.added(run, index=4, available_at=now + SECOND * 60, priority=7)
        await world.added(run, index=5, available_at=None)
        await world.added(run, index=6, available_at=None, phase=JobPhase.PARKED)
        await world.added(run, index=7, available_at=now, phase=JobPhase.BLOCKED)
        await world.added(run, index=8, available_at=now + SECOND * 60, route=OTHER_ROUTE)
        here = RouteBacklog(
            route=ROUTE, ready_due=2, ready_later=1, leased=1, parked=1, blocked=1, oldest_due=now - SECOND * 9
        )
        there = RouteBacklog(route=OTHER_ROUTE, ready_later=1)
        assert (await world.other.backlog()).routes == (here, there)

    async def test_jobs_fall_due_in_the_backlog_by_the_stores_time(self) -> None:
        world = await self.world()
        moment = world.clock.now() + SECOND
        await world.with_job(available_at=moment)
        (waiting,) = (await world.other.backlog()).routes
        assert (waiting.ready_due, waiting.ready_later, waiting.oldest_due) == (0, 1, None)
        await world.advance(SECOND)
        (waiting,) = (await world.other.backlog()).routes
        assert (waiting.ready_due, waiting.ready_later, waiting.oldest_due) == (1, 0, moment)

    async def test_the_backlog_counts_no_further_than_asked(self) -> None:
        world = await self.world()
        now, run = world.clock.now(), await world.created()
        for index in range(3):
            await world.added(run, index=index, priority=index)
            await world.added(run, index=10 + index, priority=index, available_at=now + SECOND * 60)
            await world.added(run, index=20 + index, available_at=None, phase=JobPhase.PARKED)
        (waiting,) = (await world.other.backlog(2)).routes
        assert (waiting.ready_due, waiting.ready_later, waiting.parked, waiting.oldest_due) == (2, 2, 2, now)

    async def test_the_backlog_tells_how_many_events_wait_and_how_old_the_first_is(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink())
        run = await world.created()
        first = world.event(run)
        await world.store.commit(Change(events=(first,)))
        await world.advance(SECOND)
        await world.store.commit(Change(events=(world.event(run), world.event(run))))
        seen = await world.other.backlog()
        assert (seen.unpublished, seen.oldest_event) == (3, first.at)
        assert (await world.other.backlog(2)).unpublished == 2
