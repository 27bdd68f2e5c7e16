"""What SQLite brings of its own to the contract: one file, its locks, its limits, and any event loop."""

# pyright: reportPrivateUsage=false

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from mainspring.adapters.memory import ManualClock, SeededIds
from mainspring.adapters.sql.sqlite import SQLitePersistence, open_sqlite
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.change import Change, JobMove, LeaseGuard, RunPatch
from mainspring.ports.errors import (
    InvalidValueError,
    PortError,
    ReadOnlyError,
    StaleChange,
    StoreFullError,
    UnavailableError,
)
from mainspring.ports.names import Payload, Route, RunId, StageId, WorkerId
from mainspring.ports.records import JobKey, RunFilter
from mainspring.ports.sinks import DEFAULT_SINK, Sink
from tests.unit.adapters.sql.conftest import Open, rounds_of

if TYPE_CHECKING:
    from mainspring.ports.contracts.world import World

SHORT = timedelta(milliseconds=20)


def connection_of(store: SQLitePersistence) -> sqlite3.Connection:
    """The store's own connection, to spoil it with."""
    return rounds_of(store)._connection


async def spoilt(store: SQLitePersistence, *statements: str) -> None:
    """Run statements on the store's connection, in its thread and outside of a transaction."""
    answered = asyncio.Event()
    loop = asyncio.get_running_loop()

    def peek(_: object) -> bool:
        for statement in statements:
            connection_of(store).execute(statement).fetchall()
        loop.call_soon_threadsafe(answered.set)
        return True

    await store._thread.write(lambda _: True, peek=peek)
    await answered.wait()


async def test_a_commit_is_durable_in_the_file_when_it_returns(world: "World", path: Path) -> None:
    run = await world.created()
    with closing(sqlite3.connect(path)) as another:
        assert another.execute("select id from runs").fetchall() == [(run.id,)]


@pytest.mark.fault(70)
async def test_the_file_is_kept_as_promised(opened: Open) -> None:
    store, _ = opened()

    def kept(tx: Transaction) -> list[object]:
        return [tx.execute(f"pragma {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert await store._thread.read(kept) == ["wal", 2]  # 2: a flush to the disk with every commit


async def test_changes_wanted_together_share_a_transaction_and_see_each_other(world: "World", opened: Open) -> None:
    store, _ = opened()
    run = await world.created()
    patches = [Change(run=RunPatch(run_id=run.id, revision=revision)) for revision in (0, 1, 1, 2)]
    verdicts = await asyncio.gather(*(store.commit(change) for change in patches), return_exceptions=True)
    assert [type(verdict) for verdict in verdicts] == [type(None), type(None), StaleChange, type(None)]
    found = await store.run(run.id)
    assert found is not None
    assert found.revision == 3


async def test_a_poisoned_change_takes_no_neighbour_along(world: "World", opened: Open) -> None:
    store, _ = opened()
    good = [world.run() for _ in range(20)]
    bad = world.run(input=Payload("canary\udcff"))
    twice = world.job(good[0])
    changes = [Change(create=run) for run in good]
    changes[7:7] = [Change(create=bad), Change(jobs=(twice, twice))]
    verdicts = await asyncio.gather(*(store.commit(change) for change in changes), return_exceptions=True)
    assert isinstance(verdicts[7], InvalidValueError)
    assert "canary" not in str(verdicts[7])
    assert isinstance(verdicts[8], PortError)
    assert [verdict for verdict in verdicts if verdict is not None] == verdicts[7:9]
    assert len(await store.runs(RunFilter(), limit=100)) == 20
    assert await store.jobs(good[0].id) == []


async def test_a_poisoned_change_leaves_nothing_of_its_own_first_writes(world: "World", opened: Open) -> None:
    store, _ = opened()
    run = world.run()
    move = JobMove(
        key=JobKey(run.id, StageId("none")),
        stage=StageId("x"),
        index=0,
        route=Route("r"),
        available_at=None,
        attempt=0,
        max_attempts=1,
    )
    with pytest.raises(PortError, match="no job"):
        await store.commit(Change(create=run, job_moves=(move,)))
    assert await store.run(run.id) is None


async def test_a_bug_in_one_change_is_raised_as_it_is_and_hurts_no_neighbour(world: "World", opened: Open) -> None:
    store, _ = opened()
    naive = world.run(created_at=world.clock.now().replace(tzinfo=None))
    fine = world.run()
    verdicts = await asyncio.gather(
        store.commit(Change(create=naive)), store.commit(Change(create=fine)), return_exceptions=True
    )
    assert isinstance(verdicts[0], TypeError)
    assert verdicts[1] is None
    assert await store.run(fine.id) == fine


async def test_a_claim_beside_a_poisoned_batch_is_answered(world: "World", opened: Open) -> None:
    store, _ = opened()
    _, job = await world.with_job()
    bad = store.commit(Change(create=world.run(input=Payload("\udcff"))))
    claim = store.claim([job.route], limit=1, length=timedelta(seconds=30), worker=WorkerId("w"))
    refused, leases = await asyncio.gather(bad, claim, return_exceptions=True)
    assert isinstance(refused, InvalidValueError)
    assert not isinstance(leases, BaseException)
    assert [lease.job.key for lease in leases] == [job.key]


@pytest.mark.fault(69)
async def test_a_lock_that_stays_is_unavailable_and_names_the_file(world: "World", opened: Open, path: Path) -> None:
    store, _ = opened(lock_timeout=SHORT)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")
    with pytest.raises(UnavailableError, match=r"store\.db is locked"):
        await store.commit(Change(create=world.run()))
    assert await store.runs(RunFilter(), limit=1) == []  # readers go on
    holder.execute("rollback")
    holder.close()
    await store.commit(Change(create=world.run()))


@pytest.mark.fault(69)
async def test_a_lock_that_goes_is_waited_for(world: "World", opened: Open, path: Path) -> None:
    store, _ = opened()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")
    run = world.run()
    waiting = asyncio.create_task(store.commit(Change(create=run)))
    assert await store.run(run.id) is None  # a whole round trip through the other's eyes
    assert not waiting.done()
    holder.execute("commit")
    holder.close()
    await waiting
    assert await store.run(run.id) == run


@pytest.mark.fault(69)
async def test_two_openings_that_write_at_once_never_fail(world: "World", opened: Open) -> None:
    stores = [opened()[0] for _ in range(3)]
    runs = [world.run() for _ in range(90)]
    await asyncio.gather(*(stores[number % 3].commit(Change(create=run)) for number, run in enumerate(runs)))
    assert len(await stores[0].runs(RunFilter(), limit=100)) == 90


@pytest.mark.fault(68)
async def test_a_full_disk_refuses_and_goes_on_when_there_is_space(world: "World", opened: Open) -> None:
    store, _ = opened()
    await spoilt(store, "pragma max_page_count = 1")
    big = world.run(input=Payload('"' + "x" * 1_000_000 + '"'))
    with pytest.raises(StoreFullError, match="nothing was written"):
        await store.commit(Change(create=big))
    await spoilt(store, "pragma max_page_count = 1000000")
    await store.commit(Change(create=big))
    assert await store.run(big.id) == big


async def test_a_store_that_refuses_writes_says_so_and_still_reads(world: "World", opened: Open) -> None:
    run = await world.created()
    store, _ = opened()
    await spoilt(store, "pragma query_only = on")
    with pytest.raises(ReadOnlyError):
        await store.commit(Change(create=world.run()))
    assert await store.run(run.id) == run
    await spoilt(store, "pragma query_only = off")
    await store.commit(Change(create=world.run()))


async def test_a_cancelled_commit_is_written_and_its_neighbours_are_told(world: "World", opened: Open) -> None:
    store, _ = opened()
    one, other = world.run(), world.run()
    tasks = [asyncio.create_task(store.commit(Change(create=run))) for run in (one, other)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tasks[1].exception() is None
    assert await store.run(other.id) == other


async def test_reads_answer_while_a_write_waits_its_turn(world: "World", opened: Open) -> None:
    store, _ = opened()
    run = await world.created()
    results = await asyncio.gather(
        *(store.commit(Change(create=world.run())) for _ in range(50)), *(store.run(run.id) for _ in range(50))
    )
    assert results[50:] == [run] * 50


async def test_a_claim_that_finds_nothing_asks_for_no_lock(opened: Open, path: Path) -> None:
    store, _ = opened(lock_timeout=SHORT)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")
    assert await store.claim([Route("r")], limit=10, length=timedelta(1), worker=WorkerId("w")) == []
    holder.execute("rollback")
    holder.close()


async def test_a_claim_merges_routes_of_one_priority_by_moment(world: "World", clock: ManualClock) -> None:
    run = await world.created()
    routes = [Route(f"route-{number}") for number in range(7)]
    start, made = clock.now(), list[JobKey]()
    for number in range(60):
        moment = start - timedelta(seconds=1000 - number)
        job = await world.added(run, index=number, route=routes[number * 5 % 7], available_at=moment)
        made.append(job.key)
    leases = await world.store.claim(routes, limit=40, length=timedelta(seconds=30), worker=WorkerId("w"))
    assert [lease.job.key for lease in leases] == made[:40]
    rest = await world.store.claim(routes, limit=40, length=timedelta(seconds=30), worker=WorkerId("w"))
    assert [lease.job.key for lease in rest] == made[40:]


@pytest.mark.promise(5)
async def test_a_fencing_token_grows_over_openings(world: "World") -> None:
    _, job = await world.with_job()
    tokens: list[int] = []
    for store in (world.store, world.other, world.store):
        (lease,) = await store.claim([job.route], limit=1, length=timedelta(seconds=30), worker=WorkerId("w"))
        tokens.append(lease.job.token)
        move = JobMove(
            key=job.key,
            stage=job.stage,
            index=0,
            route=job.route,
            available_at=job.available_at,
            attempt=0,
            max_attempts=3,
        )
        guard = LeaseGuard(key=job.key, lease_id=lease.lease_id)
        await store.commit(Change(leases=(guard,), job_moves=(move,)))
    assert tokens == sorted(set(tokens))


@pytest.mark.promise(7)
async def test_events_are_numbered_without_gaps_over_two_openings(world: "World") -> None:
    await world.store.add_sink(Sink())
    run = await world.created()
    stale = RunPatch(run_id=run.id, revision=99)
    for number in range(6):
        store = (world.store, world.other)[number % 2]
        await store.commit(Change(events=(world.event(run), world.event(run))))
        with pytest.raises(StaleChange):
            await store.commit(Change(run=stale, events=(world.event(run),)))
    events = await world.other.unpublished(100)
    assert [event.seq for event in events] == list(range(1, 13))


async def test_events_are_off_unless_the_store_says_otherwise(opened: Open, world: "World") -> None:
    assert await world.store.sinks() == []
    run = await world.created()
    await world.store.commit(Change(events=(world.event(run),)))
    assert await world.other.unpublished(10) == []


def test_one_store_serves_several_loops_in_turn(path: Path, clock: ManualClock) -> None:
    store, transport = open_sqlite(path, clock=clock, ids=SeededIds(clock, 1))

    async def look() -> None:
        await (store.remove_sink(DEFAULT_SINK) if await store.sinks() else store.add_sink(Sink()))

    for expected in (True, False, True):
        asyncio.run(look())
        assert bool(asyncio.run(store.sinks())) is expected

    async def close() -> None:
        await transport.close()
        await store.close()

    asyncio.run(close())


def test_a_loop_that_was_torn_down_in_the_middle_leaves_the_store_usable(path: Path, clock: ManualClock) -> None:
    store, transport = open_sqlite(path, clock=clock, ids=SeededIds(clock, 1))

    async def leave_in_the_middle() -> None:
        left = [asyncio.create_task(store.add_sink(Sink())) for _ in range(10)]
        left += [asyncio.create_task(store.commit(Change())) for _ in range(10)]
        await asyncio.sleep(0)

    async def close() -> None:
        await store.workers()
        await store.commit(Change())
        await transport.close()
        await store.close()

    asyncio.run(leave_in_the_middle())
    asyncio.run(close())


async def test_closing_finishes_what_was_handed_in_and_refuses_the_rest(path: Path, clock: ManualClock) -> None:
    store, transport = open_sqlite(path, clock=clock, ids=SeededIds(clock, 1))
    writing = [asyncio.create_task(store.add_sink(Sink())) for _ in range(5)]
    writing += [asyncio.create_task(store.commit(Change())) for _ in range(5)]
    await asyncio.sleep(0)
    await transport.close()
    await asyncio.gather(store.close(), store.close())
    await asyncio.gather(*writing)
    for call in (store.workers(), store.commit(Change()), store.now(), store.remove_sink(DEFAULT_SINK)):
        with pytest.raises(UnavailableError, match="closed"):
            await call


async def test_the_last_close_leaves_one_file(path: Path, clock: ManualClock) -> None:
    store, transport = open_sqlite(path, clock=clock, ids=SeededIds(clock, 1))
    await store.add_sink(Sink())
    await transport.close()
    await store.close()
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name]


SCRIPT = """
import asyncio, os, sys
from pathlib import Path
from mainspring.adapters.memory import ManualClock, SeededIds
from mainspring.adapters.sql.sqlite import open_sqlite
from mainspring.ports.sinks import Sink
clock = ManualClock()
store, transport = open_sqlite(Path(sys.argv[1]), clock=clock, ids=SeededIds(clock, 1))
asyncio.run(store.add_sink(Sink()))
{rest}
print("alembic" in sys.modules, "sqlalchemy" in sys.modules)
"""


def script(path: Path, rest: str = "") -> "subprocess.CompletedProcess[str]":
    code = SCRIPT.format(rest=rest)
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_open_store_keeps_no_interpreter_from_exiting_and_a_current_schema_imports_no_alembic(path: Path) -> None:
    ended = script(path)
    assert (ended.returncode, ended.stdout.split()) == (0, ["False", "False"]), ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_is_told_to_open_the_store_again(path: Path) -> None:
    rest = """
if os.fork() == 0:
    try:
        asyncio.run(store.workers())
    except Exception as error:
        os._exit(7 if "forked" in str(error) else 1)
    os._exit(2)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    ended = script(path, rest)
    assert ended.stdout.split()[0] == "7", ended.stderr


@pytest.mark.promise(1)
@pytest.mark.fault(70)
def test_what_a_killed_process_was_told_is_there(path: Path, clock: ManualClock) -> None:
    ended = script(path, "os.kill(os.getpid(), 9)")
    assert ended.returncode == -9
    store, _ = open_sqlite(path, clock=clock, ids=SeededIds(clock, 1))

    async def look() -> bool:
        try:
            return bool(await store.sinks())
        finally:
            await store.close()

    assert asyncio.run(look()) is True


async def test_a_run_with_every_field_comes_back(world: "World") -> None:
    plain = world.run()
    fields: dict[str, object] = {field.name: getattr(plain, field.name) for field in attrs.fields(type(plain))}
    run = await world.created(**(fields | {"id": RunId("r"), "key": "k", "tags": ("b", "a"), "queue": "q"}))
    assert await world.other.run(run.id) == run
    assert await world.other.runs(RunFilter(tag="a"), limit=1) == [run]
