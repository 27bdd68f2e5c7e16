"""What a wake-up does to each kind of job: the table of ``change.Wake``."""

from datetime import datetime, timedelta
from typing import Any

from mainspring.ports.change import Change, Wake
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import NEXT_STAGE, SECOND, STAGE, World
from mainspring.ports.records import Job, JobPhase

HOUR = timedelta(hours=1)


class WakesContract(PersistenceSuite):
    """Each job's wake count grows by one; an unleased one is pulled nearer, never before its ``not_before``."""

    async def _woken(self, world: World, hurry: bool = False, **fields: Any) -> Job:  # noqa: FBT001, FBT002
        run, job = await world.with_job(**fields)
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now(), hurry=hurry),)))
        woken = await world.stored(job)
        assert woken.wakes == 1
        return woken

    async def test_a_ready_job_keeps_its_place(self) -> None:
        world = await self.world()
        earlier = world.clock.now() - HOUR
        assert (await self._woken(world, available_at=earlier)).available_at == earlier

    async def test_a_job_suspended_without_a_deadline_is_available_now(self) -> None:
        world = await self.world()
        assert (await self._woken(world, available_at=None)).available_at == world.clock.now()
        assert len(await world.claimed()) == 1

    async def test_a_job_suspended_with_a_deadline_is_available_now(self) -> None:
        world = await self.world()
        assert (await self._woken(world, available_at=world.clock.now() + HOUR)).available_at == world.clock.now()

    async def test_a_delayed_job_keeps_its_moment(self) -> None:
        world = await self.world()
        later = world.clock.now() + HOUR
        woken = await self._woken(world, available_at=later, not_before=later)
        assert (woken.available_at, woken.not_before) == (later, later)

    async def test_a_job_suspended_without_a_deadline_waits_for_its_not_before(self) -> None:
        world = await self.world()
        later = world.clock.now() + HOUR
        assert (await self._woken(world, available_at=None, not_before=later)).available_at == later

    async def test_a_not_before_in_the_past_delays_nothing(self) -> None:
        world = await self.world()
        now = world.clock.now()
        assert (await self._woken(world, available_at=None, not_before=now - HOUR)).available_at == now

    async def test_a_hurried_wake_pulls_even_a_delayed_job(self) -> None:
        world = await self.world()
        later = world.clock.now() + HOUR
        woken = await self._woken(world, hurry=True, available_at=later, not_before=later)
        assert (woken.available_at, woken.not_before) == (world.clock.now(), None)
        assert len(await world.claimed()) == 1

    async def test_a_wake_of_the_future_does_not_delay_a_job(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        due: datetime | None = job.available_at
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now() + HOUR),)))
        assert (await world.stored(job)).available_at == due

    async def test_a_leased_job_is_only_counted(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        lease = await world.leased(job)
        await world.advance(SECOND)
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
        woken = await world.stored(job)
        assert (woken.wakes, woken.lease_id, woken.available_at) == (1, lease.lease_id, job.available_at)

    async def test_a_parked_job_stays_parked(self) -> None:
        world = await self.world()
        woken = await self._woken(world, phase=JobPhase.PARKED, available_at=None)
        assert woken.phase is JobPhase.PARKED
        assert await world.claimed() == []

    async def test_all_jobs_of_the_run_are_woken_and_no_others(self) -> None:
        world = await self.world()
        run, other = await world.created(), await world.created()
        for stage, index in ((STAGE, 0), (STAGE, 1), (NEXT_STAGE, 0)):
            await world.added(run, stage=stage, index=index, available_at=None)
        await world.added(other, available_at=None)
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
        assert [job.wakes for job in await world.other.jobs(run.id)] == [1, 1, 1]
        assert [job.wakes for job in await world.other.jobs(other.id)] == [0]

    async def test_several_runs_are_woken_by_one_change(self) -> None:
        world = await self.world()
        runs = [await world.created() for _ in range(3)]
        for run in runs:
            await world.added(run, available_at=None)
        await world.store.commit(Change(wakes=tuple(Wake(run_id=run.id, at=world.clock.now()) for run in runs)))
        assert len(await world.claimed()) == 3

    async def test_a_wake_of_a_run_without_jobs_is_harmless(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
        assert await world.other.jobs(run.id) == []

    async def test_a_wake_grows_no_revision(self) -> None:
        world = await self.world()
        run, _ = await world.with_job()
        await world.store.commit(Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)))
        assert await world.other.run(run.id) == run
