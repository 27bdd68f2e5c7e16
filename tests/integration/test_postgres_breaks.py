"""PostgreSQL goes away before, during and after a commit: it was written or it was not, and whoever asked is told."""

import asyncio
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from mainspring.ports.change import Change, RunPatch
from mainspring.ports.errors import StaleChange, UnavailableError, UnknownOutcomeError
from mainspring.ports.records import RunStatus
from tests.integration.postgres_stores import (
    Line,
    connections_of,
    foreign,
    kill,
    openings,
    ours,
    rows,
    until,
    waiting_for_a_lock,
    world_of,
)
from tests.postgres.server import PostgresServer, StopMode

LENGTH = timedelta(seconds=30)


@pytest.mark.fault(53)
async def test_connections_that_were_ended_while_idle_are_not_noticed_by_the_next_call(database: str) -> None:
    async with world_of(database) as world:
        run, job = await world.with_job()
        for turn in range(3):
            (lease,) = await world.claimed(job.key, length=LENGTH)
            await world.store.now()
            kill(database, ours(database))
            await world.store.commit(Change(run=RunPatch(run_id=run.id, revision=turn)))
            kill(database, ours(database))
            assert not (await world.store.extend([(job.key, lease.lease_id)], LENGTH))[0].lost
            kill(database, ours(database))
            state = await world.store.run_state(run.id)
            assert state is not None
            assert state.run.revision == turn + 1
            kill(database, ours(database))
            rows(database, "update jobs set lease_id = null, worker = null, lease_until = null")


@pytest.mark.fault(52, 53)
async def test_a_read_whose_backend_is_ended_in_the_middle_is_asked_again(database: str) -> None:
    async with world_of(database) as world:
        with foreign(database) as other:
            other.execute("lock table mainspring.runs in access exclusive mode")
            reading = asyncio.create_task(connections_of(world.store).read(b"select count(*) from runs"))
            for _ in range(2):
                await until(lambda: waiting_for_a_lock(database))
                kill(database, waiting_for_a_lock(database))
            other.rollback()
            assert await reading == [(0,)]


@pytest.mark.fault(5, 53)
async def test_a_commit_whose_backend_is_ended_in_the_middle_is_of_unknown_outcome_and_not_sent_again(
    database: str,
) -> None:
    async with world_of(database) as world:
        runs = [await world.created() for _ in range(3)]
        with foreign(database) as other:
            other.execute("select 1 from mainspring.runs where id = %s for update", (runs[1].id,))
            changes = [Change(run=RunPatch(run_id=run.id, revision=0), stages=(world.stage(run),)) for run in runs]
            asked = asyncio.gather(*map(world.store.commit, changes), return_exceptions=True)
            await until(lambda: waiting_for_a_lock(database))
            kill(database, waiting_for_a_lock(database))
            told = await asked
        assert [type(error) for error in told] == [UnknownOutcomeError] * 3
        assert rows(database, "select revision from runs") == [(0,)] * 3
        assert rows(database, "select 1 from stages") == []
        await asyncio.gather(*map(world.store.commit, changes))
        assert rows(database, "select revision from runs") == [(1,)] * 3


@pytest.mark.fault(5)
async def test_a_commit_whose_answer_is_lost_is_of_unknown_outcome_and_written_once(database: str) -> None:
    async with Line(database).open() as line, world_of(line.url, database) as world:
        warm, run = await world.created(), await world.created()
        before, change = (
            Change(run=RunPatch(run_id=one.id, revision=0, status=RunStatus.RUNNING), stages=(world.stage(one),))
            for one in (warm, run)
        )
        await world.store.commit(before)  # the statement is prepared: one round trip is left
        with line.deaf():
            asked = asyncio.create_task(world.store.commit(change))
            await until(lambda: rows(database, "select 1 from stages where run_id = %s", [run.id]))
        with pytest.raises(UnknownOutcomeError):
            await asked
        with pytest.raises(StaleChange):  # who repeats it meets what was written
            await world.store.commit(change)
        assert rows(database, "select revision, status from runs") == [(1, "running")] * 2
        assert len(await world.store.stages(run.id)) == 1


@pytest.mark.fault(2)
async def test_a_claim_whose_answer_is_lost_is_told_and_its_lease_runs_out(database: str) -> None:
    async with Line(database).open() as line, world_of(line.url, database) as world:
        short = timedelta(milliseconds=1)
        assert await world.claimed(length=short) == []  # prepared: one round trip is left
        _, job = await world.with_job()
        with line.deaf():
            asked = asyncio.create_task(world.claimed(length=short))
            await until(lambda: rows(database, "select 1 from jobs where lease_id is not null"))
        with pytest.raises(UnavailableError):
            await asked
        (expired,) = await world.store.expired_leases(10)
        assert (expired.job.key, expired.job.attempt) == (job.key, 1)


@pytest.mark.fault(52)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_under_load_loses_nothing_that_was_confirmed_and_writes_nothing_twice(
    database: str, postgres: PostgresServer, mode: StopMode
) -> None:
    async with world_of(database) as world:
        runs = [await world.created() for _ in range(8)]
        reached = dict.fromkeys((run.id for run in runs), 0)
        over = asyncio.Event()

        async def load(number: int) -> None:
            run, revision = runs[number], 0
            while not over.is_set() or reached[run.id] < 5:
                try:
                    await world.store.commit(
                        Change(
                            run=RunPatch(run_id=run.id, revision=revision),
                            stages=(world.stage(run, index=revision),),
                        )
                    )
                except UnknownOutcomeError:
                    revision = await revision_of(number)
                except UnavailableError:
                    await asyncio.sleep(0.01)
                else:
                    revision += 1
                reached[run.id] = revision

        async def revision_of(number: int) -> int:
            while True:
                try:
                    run = await world.store.run(runs[number].id)
                except UnavailableError:
                    await asyncio.sleep(0.01)
                else:
                    assert run is not None
                    return run.revision

        working = asyncio.gather(*map(load, range(8)))
        for _ in range(2):
            before = min(reached.values())
            await until(lambda before=before: min(reached.values()) > before)  # type: ignore[misc]
            await asyncio.to_thread(postgres.restart, mode)
        over.set()
        await asyncio.wait_for(working, 30)
        stored = dict(rows(database, "select id::text, revision from runs"))
        assert stored == reached
        counted = dict(rows(database, "select run_id::text, count(*) from stages group by 1"))
        assert counted == reached


@pytest.mark.fault(52)
async def test_a_server_that_is_away_is_told_and_found_again(database: str, postgres: PostgresServer) -> None:
    async with world_of(database) as world:
        run = await world.created()
        postgres.stop()
        try:
            with pytest.raises(UnavailableError, match=urlsplit(database).path[1:]):
                await world.store.run(run.id)
            with pytest.raises((UnavailableError, UnknownOutcomeError)):
                await world.store.commit(Change(run=RunPatch(run_id=run.id, revision=0)))
        finally:
            postgres.start()
        await world.store.commit(Change(run=RunPatch(run_id=run.id, revision=0)))
        assert await world.store.run(run.id) is not None


async def test_a_cancelled_caller_hurts_nobody_and_the_connection_stays_usable(database: str) -> None:
    async with world_of(database) as world:
        runs = [await world.created() for _ in range(3)]
        with foreign(database) as other:
            other.execute("select 1 from mainspring.runs where id = %s for update", (runs[0].id,))
            asked = [
                asyncio.create_task(world.store.commit(Change(run=RunPatch(run_id=run.id, revision=0)))) for run in runs
            ]
            await until(lambda: waiting_for_a_lock(database))
            before = set(ours(database))
            asked[1].cancel()
            await asyncio.wait([asked[1]])
            assert not asked[0].done()
            assert not asked[2].done()
        await asyncio.gather(asked[0], asked[2])
        assert rows(database, "select revision from runs") == [(1,)] * 3
        await world.store.commit(Change(run=RunPatch(run_id=runs[1].id, revision=1)))
        assert set(ours(database)) == before


async def test_a_claim_and_a_read_that_are_cancelled_in_the_middle_leave_their_connections_usable(
    database: str,
) -> None:
    async with world_of(database) as world:
        _, job = await world.with_job()
        with foreign(database) as other:
            other.execute("lock table mainspring.jobs in access exclusive mode")
            for ask in (world.claimed, lambda: world.store.job(job.key), world.store.next_upkeep):
                asked = asyncio.ensure_future(ask())
                await until(lambda: waiting_for_a_lock(database))
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.wait_for(asked, 10)
                await until(lambda: not waiting_for_a_lock(database))
        assert await world.store.job(job.key) is not None
        (lease,) = await world.claimed()
        assert lease.job.key == job.key
        assert lease.job.attempt == 1


def test_one_opening_serves_two_event_loops_in_turn(database: str) -> None:
    from mainspring.adapters.sql.postgres import open_postgres
    from mainspring.ports.contracts.world import World

    store, transport = open_postgres(database)
    made: list[World] = []

    async def use() -> None:
        from mainspring.adapters.memory import ManualClock

        async def advance(by: timedelta) -> None: ...

        if not made:
            made.append(World(store=store, other=store, clock=ManualClock(), advance=advance))
        run, job = await made[0].with_job()
        await made[0].leased(job)
        await asyncio.gather(*(store.now() for _ in range(5)))  # they wait for each other, in this loop
        assert await store.run(run.id) is not None

    async def end() -> None:
        await transport.close()
        await store.close()

    for step in (use, use, use, end):
        asyncio.run(step())
    assert ours(database) == []


async def test_many_openings_close_without_a_trace(database: str) -> None:
    async with openings(database, 4) as opened:
        for store, _ in opened:
            await asyncio.gather(store.now(), store.next_upkeep(), store.workers())
        assert len(ours(database)) >= 8
    await until(lambda: not ours(database))
