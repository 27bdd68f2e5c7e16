"""Claims, heartbeats and due times: who gets which job, in which order, for how long."""

from datetime import timedelta

import attrs

from mainspring.ports.change import Change, LeaseGuard, Wake
from mainspring.ports.contracts.commit_guards import released
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import (
    LEASE_LENGTH,
    NEXT_STAGE,
    OTHER_ROUTE,
    OTHER_WORKER,
    ROUTE,
    SECOND,
    STAGE,
    WORKER,
)
from mainspring.ports.names import Route, RunId, StageId
from mainspring.ports.records import ExtendAnswer, JobKey, JobPhase


class ClaimContract(PersistenceSuite):
    """A claim leases what is due, ready, unleased and of its routes, and nothing else."""

    async def test_a_claim_sets_all_that_makes_a_lease(self) -> None:
        world = await self.world()
        run, job = await world.with_job(attempt=1)
        await world.advance(SECOND)
        now = world.clock.now()
        (lease,) = await world.store.claim((ROUTE,), limit=10, length=LEASE_LENGTH, worker=WORKER)
        assert lease.run == run
        assert lease.job == attrs.evolve(
            job,
            lease_id=lease.lease_id,
            worker=WORKER,
            token=lease.job.token,
            lease_until=now + LEASE_LENGTH,
            claimed_at=now,
            attempt=2,
        )
        assert lease.job.token > 0
        assert await world.stored(job) == lease.job

    async def test_a_leased_job_is_not_claimed_again_even_when_its_lease_ran_out(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease = await world.leased(job)
        assert await world.claimed() == []
        await world.advance(LEASE_LENGTH * 10)
        assert await world.claimed() == []
        assert await world.claimed(job.key) == []
        assert await world.stored(job) == lease.job

    async def test_a_job_is_not_claimed_before_it_is_due(self) -> None:
        world = await self.world()
        _, job = await world.with_job(available_at=world.clock.now() + SECOND)
        assert await world.claimed() == []
        assert await world.claimed(job.key) == []
        await world.advance(SECOND)
        assert [lease.job.key for lease in await world.claimed()] == [job.key]

    async def test_of_given_jobs_those_that_may_be_claimed_are_told_with_route_and_moment(self) -> None:
        world = await self.world()
        run = await world.created()
        now = world.clock.now()
        mine = await world.added(run, index=1, available_at=now - SECOND)
        later = await world.added(run, index=2, route=OTHER_ROUTE, available_at=now + SECOND)
        parked = await world.added(run, index=3, phase=JobPhase.PARKED)
        asleep = await world.added(run, index=4, available_at=None)
        held = await world.added(run, index=5)
        await world.leased(held)
        others = (JobKey(run.id, STAGE, 6), JobKey(RunId("no such run"), STAGE, 0))
        found = await world.store.ready_among([*(job.key for job in (mine, later, parked, asleep, held)), *others])
        assert sorted((one.key, one.route, one.due_in) for one in found) == [
            (mine.key, ROUTE, -SECOND),
            (later.key, OTHER_ROUTE, SECOND),
        ]
        assert await world.store.ready_among([]) == []

    async def test_a_job_that_waits_for_a_wake_up_is_not_claimed(self) -> None:
        world = await self.world()
        _, job = await world.with_job(available_at=None)
        await world.advance(timedelta(days=1000))
        assert await world.claimed() == []
        assert await world.claimed(job.key) == []

    async def test_parked_and_blocked_jobs_are_not_claimed(self) -> None:
        world = await self.world()
        run = await world.created()
        parked = await world.added(run, index=1, phase=JobPhase.PARKED)
        blocked = await world.added(run, index=2, phase=JobPhase.BLOCKED)
        assert await world.claimed() == []
        assert await world.claimed(parked.key, blocked.key) == []

    async def test_only_jobs_of_the_given_routes_are_claimed(self) -> None:
        world = await self.world()
        run = await world.created()
        mine = await world.added(run, index=1)
        theirs = await world.added(run, index=2, route=OTHER_ROUTE)

        async def claim(*routes: Route, only: list[JobKey] | None = None) -> list[JobKey]:
            leases = await world.store.claim(routes, limit=10, length=LEASE_LENGTH, worker=WORKER, only=only)
            return [lease.job.key for lease in leases]

        assert await claim() == []
        assert await claim(Route("default/unknown@1#0")) == []
        assert await claim(ROUTE, only=[theirs.key]) == []
        assert await claim(ROUTE) == [mine.key]
        assert await claim(ROUTE, OTHER_ROUTE) == [theirs.key]

    async def test_higher_priority_comes_first_then_the_earlier_due_then_the_lower_key(self) -> None:
        world = await self.world()
        run = await world.created()
        now = world.clock.now()
        for index, priority, seconds, route in (
            (1, 0, 1, ROUTE),
            (2, 5, 1, OTHER_ROUTE),
            (3, 0, 3, OTHER_ROUTE),
            (4, 5, 2, ROUTE),
            (5, -1, 9, ROUTE),
            (10, 0, 2, ROUTE),
            (9, 0, 2, OTHER_ROUTE),
        ):
            await world.added(run, index=index, priority=priority, available_at=now - SECOND * seconds, route=route)
        order = [lease.job.index for _ in range(7) for lease in await world.claimed(limit=1)]
        assert order == [4, 2, 3, 9, 10, 1, 5]

    async def test_one_claim_answers_in_that_order(self) -> None:
        world = await self.world()
        run = await world.created()
        now = world.clock.now()
        for index, priority in ((1, 0), (2, 9), (3, 4)):
            await world.added(run, index=index, priority=priority, available_at=now - SECOND)
        await world.added(run, index=4, priority=4, available_at=now - SECOND * 2)
        assert [lease.job.index for lease in await world.claimed()] == [2, 4, 3, 1]

    async def test_no_more_than_the_limit_are_claimed(self) -> None:
        world = await self.world()
        run = await world.created()
        for index in range(5):
            await world.added(run, index=index, route=(ROUTE, OTHER_ROUTE)[index % 2], priority=index % 3)
        assert await world.claimed(limit=0) == []
        assert len(await world.claimed(limit=2)) == 2
        assert len(await world.claimed(limit=2)) == 2
        assert len(await world.claimed(limit=2)) == 1

    async def test_pointers_claim_among_the_given_jobs_only(self) -> None:
        world = await self.world()
        run = await world.created()
        jobs = [await world.added(run, index=index, priority=index) for index in range(4)]
        pointed = (jobs[0].key, jobs[2].key, JobKey(run.id, StageId("gone")), JobKey(world.run_id(), STAGE))
        assert [lease.job.index for lease in await world.claimed(*pointed)] == [2, 0]
        assert await world.claimed(*pointed) == []
        leases = await world.store.claim((ROUTE,), limit=9, length=LEASE_LENGTH, worker=WORKER, only=[])
        assert leases == []
        assert [lease.job.index for lease in await world.claimed(jobs[1].key, jobs[3].key, limit=1)] == [3]

    async def test_lease_ids_never_repeat(self) -> None:
        world = await self.world()
        run = await world.created()
        for index in range(50):
            await world.added(run, index=index)
        assert len({lease.lease_id for lease in await world.claimed()}) == 50

    async def test_tokens_grow_with_each_claim_of_a_job(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        tokens: list[int] = []
        for _ in range(3):
            lease = await world.leased(job)
            tokens.append(lease.job.token)
            mine = LeaseGuard(key=job.key, lease_id=lease.lease_id)
            await world.store.commit(Change(leases=(mine,), job_moves=(released(job),)))
        assert tokens == sorted(set(tokens))

    async def test_tokens_grow_over_all_jobs_a_run_ever_had(self) -> None:
        world = await self.world()
        run = await world.created()
        first = await world.added(run)
        given = (await world.leased(first)).job.token
        await world.store.commit(Change(job_deletes=(first.key,)))
        for index in range(3):
            await world.added(run, stage=NEXT_STAGE, index=index)
        tokens = [lease.job.token for lease in await world.claimed()]
        assert min(tokens) > given
        assert len(set(tokens)) == 3
        again = await world.added(run)
        assert (await world.leased(again)).job.token > max(tokens)

    async def test_an_attempt_is_counted_at_the_claim_though_nothing_follows(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        await world.leased(job)
        assert (await world.stored(job)).attempt == 1

    async def test_a_claim_tells_the_wakes_and_the_run_as_they_stand(self) -> None:
        world = await self.world()
        run, job = await world.with_job(available_at=None)
        await world.other.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
        lease = await world.leased(job)
        assert (lease.job.wakes, lease.run) == (1, run)

    async def test_the_length_asked_for_is_given(self) -> None:
        world = await self.world()
        await world.with_job()
        (lease,) = await world.claimed(length=timedelta(hours=3), worker=OTHER_WORKER)
        assert lease.job.lease_until == world.clock.now() + timedelta(hours=3)
        assert lease.job.worker == OTHER_WORKER


class ExtendContract(PersistenceSuite):
    """A heartbeat keeps what is held, and tells what is lost."""

    async def test_extending_moves_the_end_of_a_lease(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease = await world.leased(job)
        await world.advance(SECOND * 10)
        until = world.clock.now() + LEASE_LENGTH
        answers = await world.store.extend([(job.key, lease.lease_id)], LEASE_LENGTH)
        assert answers == [ExtendAnswer(key=job.key, lease_id=lease.lease_id, lost=False, wakes=0, until=until)]
        assert await world.stored(job) == attrs.evolve(lease.job, lease_until=until)

    async def test_lost_ones_are_told_in_the_order_asked(self) -> None:
        world = await self.world()
        run = await world.created()
        jobs = [await world.added(run, index=index) for index in range(5)]
        leases = {lease.job.index: lease for lease in await world.claimed()}
        deleted, given_back, taken_over, held, woken = jobs
        for job in (given_back, taken_over):
            mine = LeaseGuard(key=job.key, lease_id=leases[job.index].lease_id)
            await world.store.commit(Change(leases=(mine,), job_moves=(released(job),)))
        await world.store.commit(Change(job_deletes=(deleted.key,)))
        await world.leased(taken_over)
        order = [woken, deleted, held, taken_over, given_back]
        asked = [(job.key, leases[job.index].lease_id) for job in order]
        answers = await world.store.extend(asked, LEASE_LENGTH)
        assert [(answer.key, answer.lease_id) for answer in answers] == asked
        assert [answer.lost for answer in answers] == [False, True, False, True, True]

    async def test_wake_counts_are_told(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        lease = await world.leased(job)
        for _ in range(2):
            await world.other.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
        (answer,) = await world.store.extend([(job.key, lease.lease_id)], LEASE_LENGTH)
        assert answer.wakes == 2

    async def test_a_lease_that_ran_out_but_was_not_reaped_is_extended(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease = await world.leased(job)
        await world.advance(LEASE_LENGTH * 3)
        (answer,) = await world.store.extend([(job.key, lease.lease_id)], LEASE_LENGTH)
        assert not answer.lost
        assert await world.other.expired_leases(10) == []

    async def test_a_lost_lease_is_not_revived(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        lease = await world.leased(job)
        mine = LeaseGuard(key=job.key, lease_id=lease.lease_id)
        await world.store.commit(Change(leases=(mine,), job_moves=(released(job),)))
        before = await world.stored(job)
        (answer,) = await world.store.extend([(job.key, lease.lease_id)], LEASE_LENGTH)
        assert answer.lost
        assert await world.stored(job) == before

    async def test_extending_nothing_answers_nothing(self) -> None:
        world = await self.world()
        assert await world.store.extend([], LEASE_LENGTH) == []


class NextDueContract(PersistenceSuite):
    """When a worker that sleeps should look again."""

    async def test_the_earliest_due_time_of_the_routes_is_told(self) -> None:
        world = await self.world()
        run = await world.created()
        now = world.clock.now()
        await world.added(run, index=1, available_at=now + SECOND * 9)
        await world.added(run, index=2, available_at=now + SECOND * 5, priority=-3)
        await world.added(run, index=3, available_at=now + SECOND * 2, route=OTHER_ROUTE)
        assert await world.other.next_due((ROUTE,)) == now + SECOND * 5
        assert await world.other.next_due((ROUTE, OTHER_ROUTE)) == now + SECOND * 2
        assert await world.other.next_due(()) is None
        assert await world.other.next_due((Route("default/unknown@1#0"),)) is None

    async def test_what_cannot_become_claimable_by_time_is_not_due(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.added(run, index=1, available_at=None)
        await world.added(run, index=2, phase=JobPhase.PARKED)
        await world.added(run, index=3, phase=JobPhase.BLOCKED)
        leased = await world.added(run, index=4)
        await world.leased(leased)
        assert await world.other.next_due((ROUTE,)) is None

    async def test_a_job_that_is_due_already_is_told(self) -> None:
        world = await self.world()
        _, job = await world.with_job()
        await world.advance(SECOND * 5)
        due = await world.other.next_due((ROUTE,))
        assert due is not None
        assert due <= world.clock.now()
        assert job.available_at is not None


class LeaseStoreContract(ClaimContract, ExtendContract, NextDueContract):
    """All of LeaseStore."""
