"""Races between two processes on one store: every pair that must have one winner has one."""

import asyncio
from collections.abc import Iterable

from mainspring.ports.change import Change, LeaseGuard, RunGuard, RunPatch, UnleasedGuard, Wake
from mainspring.ports.contracts.commit_guards import released
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import LEASE_LENGTH, OTHER_WORKER, ROUTE, SECOND, STAGE, WORKER, World
from mainspring.ports.errors import PortError, StaleChange
from mainspring.ports.names import Payload
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import JobKey, Lease, RunStatus


async def _passes(store: Persistence, change: Change) -> bool:
    try:
        await store.commit(change)
    except StaleChange:
        return False
    return True


async def _verdicts(world: World, changes: Iterable[Change]) -> list[bool]:
    """Which of the Changes are written when all are committed at once, by two processes in turn."""
    stores = (world.store, world.other)
    return list(await asyncio.gather(*(_passes(stores[n % 2], change) for n, change in enumerate(changes))))


class RacesContract(PersistenceSuite):
    """Whatever runs at once, the outcome is that of some order."""

    async def test_only_the_one_stale_change_of_many_is_refused(self) -> None:
        world = await self.world()
        runs = [await world.created() for _ in range(40)]
        changes = [
            Change(run=RunPatch(run_id=run.id, revision=int(n == 17)), stages=(world.stage(run),))
            for n, run in enumerate(runs)
        ]
        assert await _verdicts(world, changes) == [n != 17 for n in range(40)]
        states = [await world.other.run_state(run.id) for run in runs]
        assert [state is not None and state.run.revision for state in states] == [int(n != 17) for n in range(40)]
        assert [len(await world.other.stages(run.id)) for run in runs] == [int(n != 17) for n in range(40)]

    async def test_a_change_that_cannot_be_written_harms_no_neighbour(self) -> None:
        world = await self.world()
        runs = [await world.created() for _ in range(20)]
        changes = [
            Change(
                run=RunPatch(run_id=run.id, revision=0),
                stages=(world.stage(run),),
                jobs=(world.job(run), world.job(run, index=int(n % 7 != 3))),  # the same key twice is a poison
            )
            for n, run in enumerate(runs)
        ]
        answers = await asyncio.gather(*map(world.store.commit, changes), return_exceptions=True)
        assert [isinstance(answer, PortError) for answer in answers] == [n % 7 == 3 for n in range(20)]
        assert [len(await world.other.jobs(run.id)) for run in runs] == [0 if n % 7 == 3 else 2 for n in range(20)]
        assert [len(await world.other.stages(run.id)) for run in runs] == [int(n % 7 != 3) for n in range(20)]

    async def test_one_of_two_exclusive_changes_of_a_run_is_written(self) -> None:
        world = await self.world()
        for _ in range(10):
            run = await world.created()
            changes = [Change(run=RunPatch(run_id=run.id, revision=0, output=Payload(str(n)))) for n in range(4)]
            verdicts = await _verdicts(world, changes)
            assert sorted(verdicts) == [False, False, False, True]
            stored = await world.other.run(run.id)
            assert stored is not None
            assert stored.output == str(verdicts.index(True))

    async def test_one_of_many_starts_under_a_key_is_written(self) -> None:
        world = await self.world()
        runs = [world.run(key="order-42") for _ in range(20)]
        changes = [Change(create=run, jobs=(world.job(run),)) for run in runs]
        verdicts = await _verdicts(world, changes)
        assert verdicts.count(True) == 1
        winner = runs[verdicts.index(True)]
        assert await world.other.run_by_key(winner.workflow, "order-42") == winner
        assert [lease.job.run_id for lease in await world.claimed()] == [winner.id]

    async def test_one_of_many_signals_with_an_id_is_written(self) -> None:
        world = await self.world()
        run = await world.created()
        signal = world.signal(run)
        changes = [Change(signals=(world.signal(run, id=signal.id, payload=Payload(str(n))),)) for n in range(20)]
        verdicts = await _verdicts(world, changes)
        assert verdicts.count(True) == 1
        assert [found.payload for found in await world.other.inbox(run.id)] == [str(verdicts.index(True))]

    async def test_one_of_many_answers_under_a_key_is_written(self) -> None:
        world = await self.world()
        verdicts = await _verdicts(world, [Change(answer=world.answer(key="k", result=str(n))) for n in range(20)])
        assert verdicts.count(True) == 1
        answer = await world.other.answer("run.cancel", "k")
        assert answer is not None
        assert answer.result == str(verdicts.index(True))

    async def test_one_of_many_ends_of_a_stage_is_written(self) -> None:
        world = await self.world()
        run = await world.created()
        rows = [world.stage(run, output=Payload(str(n))) for n in range(20)]
        verdicts = await _verdicts(world, [Change(stages=(row,)) for row in rows])
        assert verdicts.count(True) == 1
        assert await world.other.stages(run.id) == [rows[verdicts.index(True)]]

    async def test_two_processes_never_lease_one_job_twice(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.commit(Change(jobs=tuple(world.job(run, index=index) for index in range(60))))

        def claim(number: int) -> "asyncio.Future[list[Lease]]":
            store, worker = ((world.store, WORKER), (world.other, OTHER_WORKER))[number % 2]
            return asyncio.ensure_future(store.claim((ROUTE,), limit=7, length=LEASE_LENGTH, worker=worker))

        leased = [lease for leases in await asyncio.gather(*map(claim, range(20))) for lease in leases]
        assert sorted(lease.job.index for lease in leased) == list(range(60))
        assert len({lease.lease_id for lease in leased}) == 60

    async def test_two_processes_pointed_at_one_job_lease_it_once(self) -> None:
        world = await self.world()
        for _ in range(10):
            _, job = await world.with_job()
            claims = (
                store.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER, only=[job.key])
                for store in (world.store, world.other, world.store, world.other)
            )
            assert sorted(len(leases) for leases in await asyncio.gather(*claims)) == [0, 0, 0, 1]

    async def test_a_job_is_either_claimed_or_decided_of_as_unleased(self) -> None:
        world = await self.world()
        for _ in range(20):
            _, job = await world.with_job()
            cancel = Change(unleased=(UnleasedGuard(key=job.key, token=0),), job_deletes=(job.key,))
            deleted, leases = await asyncio.gather(
                _passes(world.store, cancel),
                world.other.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER, only=[job.key]),
            )
            assert deleted is not bool(leases)

    async def test_a_lease_is_either_reaped_or_extended_but_never_reaped_alive(self) -> None:
        world = await self.world()
        for _ in range(20):
            _, job = await world.with_job()
            lease = await world.leased(job)
            await world.advance(LEASE_LENGTH + SECOND)
            expired = LeaseGuard(key=job.key, lease_id=lease.lease_id, expired=True)
            reaped, (answer,) = await asyncio.gather(
                _passes(world.store, Change(leases=(expired,), job_moves=(released(job),))),
                world.other.extend([(job.key, lease.lease_id)], LEASE_LENGTH),
            )
            assert reaped is answer.lost
            assert (await world.stored(job)).lease_id == (None if reaped else lease.lease_id)
            await world.store.commit(Change(job_deletes=(job.key,)))

    async def test_a_suspension_and_a_wake_up_never_lose_each_other(self) -> None:
        world = await self.world()
        for _ in range(20):
            run, job = await world.with_job()
            lease = await world.leased(job)
            unseen = LeaseGuard(key=job.key, lease_id=lease.lease_id, wakes=0)
            suspended, woken = await _verdicts(
                world,
                [
                    Change(leases=(unseen,), job_moves=(released(job, available_at=None),)),
                    Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)),
                ],
            )
            assert woken
            stored = await world.stored(job)
            assert stored.wakes == 1
            if suspended:
                assert stored.available_at == world.clock.now(), "suspended for ever: the wake-up was lost"
            else:
                assert stored.lease_id == lease.lease_id

    async def test_wake_ups_at_once_are_all_counted(self) -> None:
        world = await self.world()
        run, job = await world.with_job(available_at=None)
        wake = Change(run_guard=RunGuard(run_id=run.id, revision=0), wakes=(Wake(run_id=run.id, at=world.clock.now()),))
        assert all(await _verdicts(world, [wake] * 30))
        assert (await world.stored(job)).wakes == 30

    async def test_a_shared_and_an_exclusive_guard_of_a_run_come_in_some_order(self) -> None:
        world = await self.world()
        for _ in range(10):
            run, job = await world.with_job(available_at=None)
            wake = Wake(run_id=run.id, at=world.clock.now())
            shared, exclusive = await _verdicts(
                world,
                [
                    Change(run_guard=RunGuard(run_id=run.id, revision=0), wakes=(wake,)),
                    Change(run=RunPatch(run_id=run.id, revision=0, status=RunStatus.CANCELLING)),
                ],
            )
            assert exclusive
            assert (await world.stored(job)).wakes == int(shared)

    async def test_events_written_at_once_are_numbered_without_gaps(self) -> None:
        world = await self.world()
        runs = [await world.created() for _ in range(3)]
        changes = [
            Change(events=tuple(world.event(run, f"{n}.{part}") for run in runs for part in range(2)))
            for n in range(20)
        ]
        assert all(await _verdicts(world, changes))
        events = await world.other.unpublished(1_000)
        for run in runs:
            of_run = [event for event in events if event.run_id == run.id]
            assert [event.seq for event in of_run] == list(range(1, 41))
            told = [event.data.split(".") for event in of_run]
            assert all(told[n][0] == told[n + 1][0] and told[n + 1][1] == "1" for n in range(0, 40, 2))

    async def test_tokens_given_at_once_differ(self) -> None:
        world = await self.world()
        run = await world.created()
        for index in range(20):
            await world.added(run, index=index)
        claims = (
            store.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER, only=[JobKey(run.id, STAGE, index)])
            for index in range(20)
            for store in (world.store, world.other)
        )
        leases = [lease for leases in await asyncio.gather(*claims) for lease in leases]
        assert len({lease.job.token for lease in leases}) == len(leases) == 20

    async def test_a_state_is_one_snapshot_though_others_write(self) -> None:
        world = await self.world()
        run = await world.created()

        async def write() -> None:
            for n in range(30):
                await world.store.commit(
                    Change(run=RunPatch(run_id=run.id, revision=n), stages=(world.stage(run, index=n),))
                )

        async def read() -> None:
            revision = 0
            while revision < 30:
                state = await world.other.run_state(run.id)
                assert state is not None
                assert sum(tally.completed for tally in state.stages.values()) == state.run.revision >= revision
                revision = state.run.revision

        await asyncio.gather(write(), read(), read())

    async def test_a_claim_and_a_wake_up_never_lose_each_other(self) -> None:
        """A claim may pass over a row that is being woken; then it has to come again."""
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
