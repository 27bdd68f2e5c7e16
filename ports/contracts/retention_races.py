"""Sweeps against all that may happen to a run at the same moment: a signal, the relay, a start, another sweep."""

import asyncio
from collections.abc import Awaitable, Callable

from mainspring.ports.change import Change, RunGuard, Wake
from mainspring.ports.contracts.retention_store import AGE, ended, passes, settlement, swept_by
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import LEASE_LENGTH, STAGE, World
from mainspring.ports.names import RunId
from mainspring.ports.records import Run


class SweepRacesContract(PersistenceSuite):
    """Whatever a sweep meets comes before it or after it; what it cannot lock it leaves for the next."""

    async def _against(
        self, prepare: Callable[[World, Run], Awaitable[Change]]
    ) -> tuple[World, list[tuple[Run, bool, bool]]]:
        """Of many runs: whether the Change passed, and whether the run was swept; one process each, at once."""
        world = await self.world()
        outcomes: list[tuple[Run, bool, bool]] = []
        for _ in range(20):
            run = await ended(world)
            await world.advance(AGE)
            change = await prepare(world, run)
            if len(outcomes) % 2:
                passed, swept = await asyncio.gather(passes(world.other, change), swept_by(world.store))
            else:
                swept, passed = await asyncio.gather(swept_by(world.store), passes(world.other, change))
            outcomes.append((run, passed, run.id in swept))
        return world, outcomes

    async def test_a_signal_is_either_received_or_refused_and_leaves_nothing(self) -> None:
        async def signal(world: World, run: Run) -> Change:
            return Change(
                run_guard=RunGuard(run_id=run.id, revision=run.revision),
                signals=(world.signal(run),),
                wakes=(Wake(run_id=run.id, at=world.clock.now()),),
                events=(world.event(run),),
            )

        world, outcomes = await self._against(signal)
        told = {event.run_id for event in await world.other.unpublished(1_000)}
        for run, received, swept in outcomes:
            assert received is not swept
            assert (await world.other.run(run.id) is None) is swept
            assert len(await world.other.inbox(run.id)) == int(received)
            assert (run.id in told) is received

    async def test_a_run_is_never_swept_before_the_relay_has_settled_its_events(self) -> None:
        async def published(world: World, run: Run) -> Change:
            await world.store.commit(Change(events=(world.event(run),)))
            change = await settlement(world, published=((run.id, 1),))
            await world.advance(LEASE_LENGTH * 2)
            return change

        world, outcomes = await self._against(published)
        assert all(settled for _, settled, _ in outcomes)
        assert await world.other.unpublished(1_000) == []
        await swept_by(world.store)
        assert [run.id for run, _, _ in outcomes if await world.other.run(run.id) is not None] == []

    async def test_a_run_is_never_swept_while_the_relay_gives_up_its_event(self) -> None:
        async def dead(world: World, run: Run) -> Change:
            await world.store.commit(Change(events=(world.event(run),)))
            change = await settlement(world, dead=((run.id, 1, "no sink"),))
            await world.advance(LEASE_LENGTH * 2)
            return change

        world, outcomes = await self._against(dead)
        assert [(settled, swept) for _, settled, swept in outcomes] == [(True, False)] * 20
        letters = {letter.event.run_id for letter in await world.other.dead_letters(100)}
        assert letters == {run.id for run, _, _ in outcomes}

    async def test_a_start_under_the_key_of_a_run_that_is_swept_meets_it_or_comes_after_it(self) -> None:
        world = await self.world()
        for number in range(20):
            old = await ended(world, key=f"key-{number}")
            await world.advance(AGE)
            new = world.run(key=f"key-{number}")
            started, swept = await asyncio.gather(
                passes(world.other, Change(create=new, jobs=(world.job(new),))), swept_by(world.store)
            )
            holder = await world.other.run_by_key(old.workflow, f"key-{number}")
            if started:
                assert (swept, holder) == ([old.id], new)
            else:
                assert holder in (old, None)
                assert (holder is None) is (swept == [old.id])
            assert len(await world.other.jobs(new.id)) == int(started)

    async def test_a_run_that_is_swept_is_not_rerun_and_one_that_is_rerun_stays(self) -> None:
        reruns: dict[RunId, RunId] = {}

        async def rerun(world: World, run: Run) -> Change:
            new = world.run(rerun_of=run.id, rerun_from=STAGE)
            reruns[run.id] = new.id
            return Change(run_guard=RunGuard(run_id=run.id, revision=run.revision), create=new)

        world, outcomes = await self._against(rerun)
        for run, rerun_there, swept in outcomes:
            assert (await world.other.run(run.id) is None) is swept
            assert (await world.other.run(reruns[run.id]) is not None) is rerun_there
            assert rerun_there is not swept

    async def test_two_sweeps_at_once_delete_each_run_once(self) -> None:
        world = await self.world()
        runs = [await ended(world) for _ in range(30)]
        for run in runs:
            await world.store.commit(Change(stages=(world.stage(run),)))
        await world.advance(AGE)
        sweeps = [swept_by((world.store, world.other)[n % 2], 7) for n in range(12)]
        swept = [run_id for found in await asyncio.gather(*sweeps) for run_id in found]
        assert len(swept) == len(set(swept))
        swept += await swept_by(world.store)
        assert sorted(swept) == sorted(run.id for run in runs)
