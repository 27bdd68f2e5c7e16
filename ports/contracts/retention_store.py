"""What retention deletes, and what it must leave: by the store's time, whole runs only, never what somebody needs."""

from datetime import timedelta
from typing import Any

from mainspring.ports.change import Change, OutboxSettlement, Postponed, RunPatch
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import LEASE_LENGTH, SECOND, STAGE, World
from mainspring.ports.errors import StaleChange
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Run, RunFilter, RunStatus, Swept

AGE = timedelta(days=30)


async def ended(world: World, **fields: Any) -> Run:
    """A run that has ended now."""
    plain: dict[str, Any] = {"status": RunStatus.COMPLETED, "finished_at": world.clock.now()}
    return await world.created(**(plain | fields))


async def swept_by(store: Persistence, limit: int = 100) -> list[str]:
    """The runs that a sweep of AGE deletes."""
    return list((await store.sweep(runs=AGE, answers=None, limit=limit)).runs)


async def passes(store: Persistence, change: Change) -> bool:
    """Whether the Change is written."""
    try:
        await store.commit(change)
    except StaleChange:
        return False
    return True


async def settlement(world: World, **fields: Any) -> Change:
    """What a relay that holds the lease writes."""
    lease_id = world.lease_id()
    assert await world.store.lease_relay(lease_id, LEASE_LENGTH)
    return Change(outbox=OutboxSettlement(lease_id=lease_id, **fields))


class SweptRunsContract(PersistenceSuite):
    """A run goes whole, when it is old enough, and leaves a tombstone."""

    async def test_a_run_goes_when_it_ended_long_enough_ago_by_the_stores_time(self) -> None:
        world = await self.world()
        run = await ended(world)
        await world.advance(AGE - SECOND)
        assert await swept_by(world.store) == []
        assert await world.other.run(run.id) == run
        await world.advance(SECOND)
        assert await swept_by(world.store) == [run.id]
        assert await world.other.run(run.id) is None
        assert await swept_by(world.other) == []

    async def test_every_terminal_status_goes_and_no_other_does(self) -> None:
        world = await self.world()
        now = world.clock.now()
        runs = [await world.created(status=status, finished_at=now) for status in RunStatus]
        endless = await world.created(status=RunStatus.COMPLETED)
        await world.advance(AGE * 2)
        gone = {run.id for run in runs if run.status in TERMINAL_RUN_STATUSES}
        assert set(await swept_by(world.store)) == gone
        left = {run.id for run in await world.other.runs(RunFilter(), limit=100)}
        assert left == {run.id for run in runs} - gone | {endless.id}

    async def test_all_rows_of_a_run_go_with_it_and_those_of_others_stay(self) -> None:
        world = await self.world()
        runs = [await ended(world, tags=("red", "green"), key=f"key-{n}") for n in range(2)]
        for run in runs:
            stages = tuple(world.stage(run, index=index) for index in range(3))
            await world.store.commit(
                Change(stages=stages, attempts=(world.attempt(run),), signals=(world.signal(run, id="hello"),))
            )
        going, staying = runs
        await world.store.commit(Change(events=(world.event(staying),)))
        await world.advance(AGE)
        before = await world.everything()
        assert await swept_by(world.store) == [going.id]
        after = await world.everything()
        assert after == before | {going.id: (None, [], [], [], [])}
        assert await world.other.signal(going.id, world.signal(going, id="hello").id) is None
        assert [run.id for run in await world.other.runs(RunFilter(tag="red"), limit=9)] == [staying.id]
        assert await world.other.finished([going.id, staying.id]) == [staying]

    async def test_the_key_of_a_swept_run_is_free_again(self) -> None:
        world = await self.world()
        first = await ended(world, key="order-42")
        again = world.run(key="order-42")
        assert not await passes(world.store, Change(create=again))
        await world.advance(AGE)
        await swept_by(world.store)
        assert await world.other.run_by_key(first.workflow, "order-42") is None
        assert await passes(world.store, Change(create=again))
        assert await world.other.run_by_key(first.workflow, "order-42") == again

    async def test_the_first_to_end_go_first_and_no_more_than_the_limit(self) -> None:
        world = await self.world()
        now = world.clock.now()
        ends = (3, 1, 2, 5, 4)
        ids = {n: (await ended(world, finished_at=now + SECOND * n)).id for n in ends}
        await world.advance(AGE * 2)
        assert await swept_by(world.store, 0) == []
        assert set(await swept_by(world.store, 2)) == {ids[1], ids[2]}
        assert set(await swept_by(world.store, 2)) == {ids[3], ids[4]}
        assert await swept_by(world.store, 2) == [ids[5]]

    async def test_what_is_not_asked_for_stays(self) -> None:
        world = await self.world()
        run = await ended(world)
        await world.store.commit(Change(answer=world.answer(key="k")))
        await world.advance(AGE)
        assert await world.store.sweep(runs=None, answers=None, limit=100) == Swept()
        assert await world.other.run(run.id) == run
        assert await world.other.answer("run.cancel", "k") is not None

    async def test_an_age_beyond_all_time_sweeps_nothing(self) -> None:
        world = await self.world()
        await ended(world)
        assert await world.store.sweep(runs=timedelta.max, answers=timedelta.max, limit=100) == Swept()

    async def test_old_answers_go_by_the_time_they_were_given_and_no_more_than_the_limit(self) -> None:
        world = await self.world()
        for key in ("first", "second", "third"):
            await world.store.commit(Change(answer=world.answer(key=key)))
            await world.advance(SECOND)
        await world.advance(AGE - SECOND * 2)

        async def left() -> list[str]:
            keys = ("first", "second", "third")
            return [key for key in keys if await world.other.answer("run.cancel", key) is not None]

        assert await world.store.sweep(runs=None, answers=AGE, limit=1) == Swept(answers=1)
        assert await left() == ["second", "third"]
        assert await world.store.sweep(runs=None, answers=AGE, limit=9) == Swept(answers=1)
        assert await left() == ["third"]
        assert await passes(world.store, Change(answer=world.answer(key="first")))


class KeptRunsContract(PersistenceSuite):
    """What anybody may still need stays, however old."""

    async def test_a_run_with_an_event_that_waits_stays(self) -> None:
        world = await self.world()
        run = await ended(world)
        await world.store.commit(Change(events=(world.event(run),)))
        await world.advance(AGE)
        assert await swept_by(world.store) == []
        until = world.clock.now() + AGE
        waits = Postponed(run_id=run.id, seq=1, tries=1, until=until)
        await world.store.commit(await settlement(world, postponed=(waits,)))
        assert await swept_by(world.store) == [], "an event that is postponed is not published"
        await world.advance(LEASE_LENGTH * 2)
        await world.store.commit(await settlement(world, published=((run.id, 1),)))
        assert await swept_by(world.store) == [run.id]

    async def test_a_run_with_a_dead_letter_stays(self) -> None:
        world = await self.world()
        run = await ended(world)
        await world.store.commit(Change(events=(world.event(run),)))
        await world.store.commit(await settlement(world, dead=((run.id, 1, "no sink"),)))
        await world.advance(AGE)
        assert await swept_by(world.store) == []
        assert [letter.event.run_id for letter in await world.other.dead_letters(9)] == [run.id]

    async def test_a_run_with_a_job_stays(self) -> None:
        world = await self.world()
        run = await ended(world)
        job = await world.added(run)
        await world.advance(AGE)
        assert await swept_by(world.store) == []
        await world.store.commit(Change(job_deletes=(job.key,)))
        assert await swept_by(world.store) == [run.id]

    async def test_parent_and_child_stay_while_the_other_goes_on(self) -> None:
        world = await self.world()
        parent = await ended(world)
        child = await world.created(parent_run=parent.id, parent_step="call")
        active = await world.created()
        ended_child = await ended(world, parent_run=active.id, parent_step="call")
        await world.advance(AGE)
        assert await swept_by(world.store) == []
        for run in (child, active):
            end = RunPatch(run_id=run.id, revision=0, status=RunStatus.FAILED, finished_at=world.clock.now())
            await world.store.commit(Change(run=end))
        assert set(await swept_by(world.store)) == {parent.id, ended_child.id}
        await world.advance(AGE)
        assert set(await swept_by(world.store)) == {child.id, active.id}

    async def test_a_run_stays_as_long_as_a_rerun_of_it_does(self) -> None:
        world = await self.world()
        first = await ended(world)
        second = await ended(world, rerun_of=first.id, rerun_from=STAGE)
        third = await world.created(rerun_of=second.id, rerun_from=STAGE)
        await world.advance(AGE)
        assert await swept_by(world.store) == []
        end = RunPatch(run_id=third.id, revision=0, status=RunStatus.COMPLETED, finished_at=world.clock.now())
        await world.store.commit(Change(run=end))
        assert await swept_by(world.store) == [], "the rerun has ended, and still names what the run put out"
        await world.advance(AGE)
        for run in (third, second, first):
            assert await swept_by(world.store) == [run.id]

    async def test_kept_runs_do_not_stand_in_the_way_of_others(self) -> None:
        world = await self.world()
        kept = [await ended(world) for _ in range(5)]
        await world.store.commit(Change(events=tuple(world.event(run) for run in kept)))
        run = await ended(world, finished_at=world.clock.now() + SECOND)
        await world.advance(AGE * 2)
        assert await swept_by(world.store, 1) == [run.id]


class TombstonesContract(PersistenceSuite):
    """A tombstone tells that a run was here and is gone, until it is lifted."""

    async def test_a_swept_run_leaves_a_tombstone_of_its_age(self) -> None:
        world = await self.world()
        first = await ended(world)
        second = await ended(world, finished_at=world.clock.now() + SECOND)
        await world.advance(AGE)
        assert await swept_by(world.store) == [first.id]
        await world.advance(SECOND)
        assert await swept_by(world.store) == [second.id]
        assert await world.other.tombstones(SECOND * 0, 9) == [first.id, second.id]
        assert await world.other.tombstones(SECOND * 0, 1) == [first.id]
        assert await world.other.tombstones(SECOND, 9) == [first.id]
        assert await world.other.tombstones(SECOND * 2, 9) == []

    async def test_a_swept_run_is_not_created_again_while_its_tombstone_stands(self) -> None:
        world = await self.world()
        run = await ended(world)
        await world.advance(AGE)
        await swept_by(world.store)
        await world.assert_refused(Change(create=run))
        await world.other.lift_tombstones([run.id])
        assert await world.store.tombstones(SECOND * 0, 9) == []
        assert await passes(world.store, Change(create=run))

    async def test_a_run_created_anew_under_the_id_of_a_swept_one_has_nothing_of_it(self) -> None:
        world = await self.world()
        old = await ended(world, tags=("red",))
        rows = Change(stages=(world.stage(old),), attempts=(world.attempt(old),), signals=(world.signal(old),))
        await world.store.commit(rows)
        await world.store.commit(Change(events=(world.event(old),)))
        await world.store.commit(await settlement(world, published=((old.id, 1),)))
        await world.advance(AGE)
        assert await swept_by(world.store) == [old.id]
        await world.store.lift_tombstones([old.id])
        new = world.run(id=old.id)
        await world.store.commit(Change(create=new, events=(world.event(new),)))
        state = await world.other.run_state(new.id)
        assert state is not None
        assert (state.run, state.stages) == (new, {})
        assert await world.other.attempts(new.id) == []
        assert await world.other.inbox(new.id) == []
        assert await world.other.runs(RunFilter(tag="red"), limit=9) == []
        assert [event.seq for event in await world.other.unpublished(9)] == [1]

    async def test_only_the_tombstones_asked_for_are_lifted(self) -> None:
        world = await self.world()
        runs = [await ended(world) for _ in range(3)]
        await world.advance(AGE)
        await swept_by(world.store)
        await world.store.lift_tombstones([])
        await world.store.lift_tombstones([runs[1].id, world.run_id()])
        assert set(await world.other.tombstones(SECOND * 0, 9)) == {runs[0].id, runs[2].id}

    async def test_tombstones_are_no_answers(self) -> None:
        world = await self.world()
        run = await ended(world)
        await world.advance(AGE)
        await swept_by(world.store)
        await world.advance(AGE)
        assert await world.store.sweep(runs=AGE, answers=AGE, limit=9) == Swept()
        assert await world.other.tombstones(AGE, 9) == [run.id]


class RetentionStoreContract(SweptRunsContract, KeptRunsContract, TombstonesContract):
    """All of RetentionStore, but for its races."""
