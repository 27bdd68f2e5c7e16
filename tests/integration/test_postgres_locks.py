"""Locks of others: waited for a while, asked again, never waited for in a circle."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import psycopg
import pytest

from mainspring.adapters.sql.postgres_writer import Writer
from mainspring.ports.change import Change, LeaseGuard, Progress, RunPatch, Wake
from mainspring.ports.errors import UnavailableError
from mainspring.ports.names import LeaseId
from mainspring.ports.records import JobKey
from tests.integration.postgres_stores import (
    connections_of,
    foreign,
    openings,
    rows,
    settings_of,
    until,
    waiting_for_a_lock,
    world_of,
)

LEASE = timedelta(seconds=30)
HOLD = "select 1 from mainspring.runs where id = %s for update"


class Pauses:
    """Stands for sleep: counts the pauses, and lets the test act in one."""

    def __init__(self, act: Callable[[], Awaitable[None]]) -> None:
        self.seconds: list[float] = []
        self._act = act

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == 1:
            await self._act()


@pytest.mark.fault(57, 58)
async def test_a_lock_that_does_not_come_in_time_is_asked_for_again(database: str) -> None:
    async with world_of(database) as world:
        runs = [await world.created() for _ in range(2)]
        with foreign(database) as other:
            other.execute(HOLD, (runs[1].id,))

            async def leave() -> None:
                other.rollback()

            async with openings(database) as [(store, _)]:
                settings_of(store)["lock_timeout"] = "50ms"
                pauses = Pauses(leave)
                changes = [Change(run=RunPatch(run_id=run.id, revision=0)) for run in runs]
                assert await Writer(connections_of(store), pauses).write(changes) == [None, None]
        assert len(pauses.seconds) == 1
        assert rows(database, "select revision from runs") == [(1,), (1,)]


@pytest.mark.fault(58)
async def test_a_lock_that_never_comes_is_told_after_some_tries_and_nothing_is_written(database: str) -> None:
    async with world_of(database) as world:
        runs = [await world.created() for _ in range(2)]
        with foreign(database) as other:
            other.execute(HOLD, (runs[1].id,))

            async def stay() -> None:
                return

            async with openings(database) as [(store, _)]:
                settings_of(store)["lock_timeout"] = "20ms"
                pauses = Pauses(stay)
                changes = [Change(run=RunPatch(run_id=run.id, revision=0)) for run in runs]
                told = await Writer(connections_of(store), pauses).write(changes)
        assert [type(error) for error in told] == [UnavailableError] * 2
        assert 3 <= len(pauses.seconds) <= 10
        assert sum(pauses.seconds) < 5
        assert rows(database, "select revision from runs") == [(0,), (0,)]


@pytest.mark.fault(57)
async def test_a_deadlock_with_somebody_elses_transaction_is_asked_again(database: str) -> None:
    async with world_of(database) as world:
        runs = [await world.created() for _ in range(3)]
        changes = [Change(run=RunPatch(run_id=run.id, revision=0)) for run in runs]
        with foreign(database) as door, foreign(database) as other:
            door.execute(HOLD, (runs[1].id,))
            other.execute("set deadlock_timeout = '30s'")  # it is not the one that notices
            other.execute(HOLD, (runs[2].id,))

            async def leave() -> None:
                await crossing
                other.rollback()

            async with openings(database) as [(store, _)]:
                settings_of(store)["deadlock_timeout"] = "10ms"
                pauses = Pauses(leave)
                writing = asyncio.create_task(Writer(connections_of(store), pauses).write(changes))
                await until(lambda: len(waiting_for_a_lock(database)) == 1)  # it has the first, and waits at the door
                crossing = asyncio.create_task(asyncio.to_thread(other.execute, HOLD, (runs[0].id,)))
                await until(lambda: len(waiting_for_a_lock(database)) == 2)
                door.rollback()
                assert await writing == [None] * 3
        assert len(pauses.seconds) == 1
        assert rows(database, "select revision from runs") == [(1,)] * 3
        await until(lambda: deadlocks(database) == 1)


@pytest.mark.fault(58)
async def test_a_statement_that_takes_too_long_is_ended_and_nothing_is_written(database: str) -> None:
    async with world_of(database) as world:
        runs = [await world.created() for _ in range(2)]
        async with openings(database) as [(store, _)]:
            settings_of(store)["statement_timeout"] = "100ms"
            with foreign(database) as other:
                other.execute(HOLD, (runs[1].id,))
                changes = [Change(run=RunPatch(run_id=run.id, revision=0)) for run in runs]
                told = await asyncio.gather(*map(store.commit, changes), return_exceptions=True)
            assert [type(error) for error in told] == [UnavailableError] * 2
            assert rows(database, "select revision from runs") == [(0,), (0,)]
            await asyncio.gather(*map(store.commit, changes))


@pytest.mark.fault(58, 59)
async def test_every_connection_has_an_end_to_each_wait(database: str, bouncer: str) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    asked = " || ' ' || ".join(f"current_setting('{name}')" for name in names)
    for url in (database, f"{bouncer}?pgbouncer=transaction"):
        async with openings(url) as [(store, _)]:
            for lane in ("commit", "claim", "heartbeat", "read 1", "read 2", "sweep"):
                ((found,),) = await connections_of(store).lane(lane).ask(f"select {asked}".encode())
                assert found == "30s 5s 1min", lane


@pytest.mark.fault(67)
async def test_heartbeats_and_reads_do_not_wait_for_commits_and_claims(database: str) -> None:
    async with world_of(database) as world:
        settings_of(world.store)["lock_timeout"] = "0"  # the commit waits until we let it go on
        run, job = await world.with_job()
        lease = await world.leased(job)
        with foreign(database) as other:
            other.execute(HOLD, (run.id,))
            writing = asyncio.create_task(world.store.commit(Change(run=RunPatch(run_id=run.id, revision=0))))
            await until(lambda: waiting_for_a_lock(database))
            (answer,) = await asyncio.wait_for(world.store.extend([(job.key, lease.lease_id)], LEASE), 8)
            assert not answer.lost
            assert await world.store.run(run.id) is not None
            assert await world.claimed() == []
            assert not writing.done()
        await writing


@pytest.mark.fault(57)
@pytest.mark.parametrize("kind", ["runs", "jobs", "wakes", "mixed"])
async def test_two_processes_that_write_the_same_rows_in_opposite_orders_never_deadlock(
    database: str, kind: str
) -> None:
    async with world_of(database) as world:
        rows(database, f"alter database {database.rpartition('/')[2]} set deadlock_timeout = '5ms'")
        made = [await world.with_job() for _ in range(12)]
        leases = {lease.job.key: lease.lease_id for lease in await world.claimed()}

        def changes() -> list[Change]:
            runs = [Change(wakes=(Wake(run_id=run.id, at=world.clock.now()),)) for run, _ in made]
            told = [
                Change(leases=(_guard(job.key, leases),), progress=Progress(key=job.key, data="{}")) for _, job in made
            ]
            guarded = [Change(leases=(_guard(job.key, leases),), events=(world.event(run),)) for run, job in made]
            both = [one for pair in zip(runs, told, strict=True) for one in pair]
            return {"runs": guarded, "jobs": told, "wakes": runs, "mixed": both}[kind]

        async with openings(database, 2) as [(one, _), (two, _)]:
            for _ in range(125):
                forwards, backwards = changes(), changes()[::-1]
                answers = await asyncio.gather(
                    *map(one.commit, forwards), *map(two.commit, backwards), return_exceptions=True
                )
                assert set(answers) == {None}
        assert deadlocks(database) == 0


def _guard(key: JobKey, leases: dict[JobKey, LeaseId]) -> LeaseGuard:
    return LeaseGuard(key=key, lease_id=leases[key])


def deadlocks(url: str) -> int:
    """How many the server found in the database; all connections are closed, so all are counted."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])
