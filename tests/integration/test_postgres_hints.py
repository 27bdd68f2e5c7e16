"""Hints between processes: they come, their connection comes back, and work is done without them."""

import asyncio
import gc
from datetime import timedelta

import pytest

from mainspring import Context, Mainspring, workflow
from mainspring.adapters.sql.postgres_transport import PostgresTransport
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Pointer
from tests.integration.postgres_stores import SOON, Opened, kill, openings, rows, until

LONG = timedelta(seconds=60)  # only a hint ends the wait in time
POINTER = Pointer(run_id=RunId("019a0000-0000-7000-8000-000000000001"), stage=StageId("hello"), index=0)
QUICK = WorkerSettings(timing=Timing(safety_poll=timedelta(milliseconds=100)))


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


def listeners(url: str) -> list[int]:
    """The backends that listen on both channels by now."""
    asked = "select pid from pg_stat_activity where datname = current_database() and state = 'idle'"
    return [row[0] for row in rows(url, f"{asked} and query like 'listen%_runs\"'")]


async def told(receiving: "asyncio.Task[object]") -> object:
    return await asyncio.wait_for(receiving, SOON)


async def listening(url: str, transport: PostgresTransport) -> "asyncio.Task[object]":
    """A receiver that waits, and is heard by other processes."""
    receiving = asyncio.create_task(received(transport))
    await until(lambda: listeners(url))
    return receiving


async def received(transport: PostgresTransport) -> object:
    return await transport.receive(10, LONG)


async def test_other_processes_are_told_of_jobs_and_of_runs_that_ended(database: str) -> None:
    async with openings(database, 2) as [(_, here), (_, there)]:
        receiving = await listening(database, here)
        waiting = asyncio.create_task(here.wait([POINTER.run_id], LONG))
        await there.send([POINTER])
        assert await told(receiving)
        assert not waiting.done()
        await there.ended([RunId("019a0000-0000-7000-8000-000000000002")])
        await there.ended([POINTER.run_id])
        await asyncio.wait_for(waiting, SOON)


async def test_more_ended_runs_than_a_notification_holds_wake_their_waiters_too(database: str) -> None:
    ended = [RunId(f"019a0000-0000-7000-8000-{number:012x}") for number in range(500)]
    async with openings(database, 2) as [(_, here), (_, there)]:
        receiving = await listening(database, here)
        waiting = [asyncio.create_task(here.wait([run_id], LONG)) for run_id in ended[::100]]
        await asyncio.sleep(0)
        await there.ended(ended)
        await asyncio.wait_for(asyncio.gather(*waiting), SOON)
        receiving.cancel()


@pytest.mark.fault(63)
async def test_a_listener_whose_connection_is_ended_wakes_all_who_wait_and_listens_again(database: str) -> None:
    async with openings(database, 2) as [(_, here), (_, there)]:
        for _ in range(2):
            receiving = await listening(database, here)
            waiting = asyncio.create_task(here.wait([POINTER.run_id], LONG))
            before = listeners(database)
            await asyncio.to_thread(kill, database, before)
            assert await told(receiving), "what was told meanwhile is lost: look"
            await asyncio.wait_for(waiting, SOON)
            receiving = await listening(database, here)
            assert set(listeners(database)).isdisjoint(before)
            await there.send([POINTER])
            assert await told(receiving)


@pytest.mark.fault(64)
async def test_who_cannot_tell_others_works_on(database: str) -> None:
    troubles: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
    async with openings(database) as [(store, here)]:
        (await listening(database, here)).cancel()
        rows(database, "revoke execute on function pg_catalog.pg_notify(text, text) from public")
        rows(database, "create role no_notify login")
        rows(database, "grant usage on schema mainspring to no_notify")
        rows(database, "grant all on all tables in schema mainspring to no_notify")
        try:
            async with openings(database.replace("postgres@", "no_notify@")) as [(_, there)]:
                await there.send([POINTER])
                await there.ended([POINTER.run_id])
                assert await there.receive(10, LONG)
                await there.wait([POINTER.run_id], LONG)
                await store.now()
        finally:
            rows(database, "drop owned by no_notify")
            rows(database, "drop role no_notify")
    gc.collect()  # a task whose error nobody saw tells of it when it goes
    assert troubles == []


async def works(url: str, *, through: str) -> Opened | None:
    async with (
        Mainspring(through, workflows=[hello], settings=QUICK),
        Mainspring(url, workflows=[hello], worker=False, settings=QUICK) as client,
    ):
        runs = [await client.start(hello, str(number)) for number in range(5)]
        assert await asyncio.gather(*(run.result(SOON) for run in runs)) == [f"hello {number}" for number in range(5)]
    return None


@pytest.mark.fault(35, 63, 65)
async def test_without_any_hint_between_processes_work_is_done_by_the_safety_poll(database: str, bouncer: str) -> None:
    pooled = f"{bouncer}?pgbouncer=transaction"
    await works(pooled, through=pooled)
    assert listeners(database) == []


@pytest.mark.fault(63)
async def test_a_listener_that_never_comes_back_costs_only_time(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(self: PostgresTransport) -> None:
        """Nobody listens."""

    monkeypatch.setattr(PostgresTransport, "_listen", deaf)
    await works(database, through=database)
    assert listeners(database) == []
