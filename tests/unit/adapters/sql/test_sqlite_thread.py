"""What the thread makes of a connection that fails at the worst moment."""

# pyright: reportPrivateUsage=false

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from mainspring.adapters.sql.sqlite import SQLitePersistence
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.errors import StoreFullError, UnavailableError, UnknownOutcomeError
from mainspring.ports.sinks import Sink
from tests.unit.adapters.sql.conftest import Open, rounds_of


def failure(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("planted")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "PLANTED"
    return error


class SpoiltCursor:
    """The real cursor, but for commits, which go as the test says."""

    def __init__(self, cursor: sqlite3.Cursor, commit: Callable[[sqlite3.Cursor], None]) -> None:
        self._cursor = cursor
        self._commit = commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, statement: str, *values: Any) -> Any:
        return self._commit(self._cursor) if statement == "commit" else self._cursor.execute(statement, *values)


def spoil(store: SQLitePersistence, commit: Callable[[sqlite3.Cursor], None]) -> Callable[[], None]:
    rounds = rounds_of(store)
    cursor = rounds._cursor
    rounds._cursor = SpoiltCursor(cursor, commit)  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

    def mend() -> None:
        rounds._cursor = cursor

    return mend


@pytest.mark.fault(5)
async def test_a_failed_commit_that_was_taken_back_is_known_not_to_be_written(opened: Open) -> None:
    def fail(_: sqlite3.Cursor) -> None:
        raise failure(sqlite3.SQLITE_IOERR)

    store, _ = opened()
    mend = spoil(store, fail)
    with pytest.raises(UnavailableError):
        await store.add_sink(Sink())
    mend()
    assert await store.sinks() == []


@pytest.mark.fault(5)
async def test_a_commit_that_failed_after_its_transaction_ended_is_of_unknown_outcome(opened: Open) -> None:
    def commit_and_fail(cursor: sqlite3.Cursor) -> None:
        cursor.execute("commit")
        raise failure(sqlite3.SQLITE_IOERR)

    store, _ = opened()
    mend = spoil(store, commit_and_fail)
    with pytest.raises(UnknownOutcomeError, match="written whole, or not"):
        await store.add_sink(Sink())
    mend()
    assert await store.sinks() == [Sink()]


@pytest.mark.fault(68)
async def test_a_disk_that_fills_at_the_commit_refuses_it(opened: Open) -> None:
    def roll_back_and_fail(cursor: sqlite3.Cursor) -> None:
        cursor.execute("rollback")  # as SQLite does by itself
        raise failure(sqlite3.SQLITE_FULL)

    store, _ = opened()
    mend = spoil(store, roll_back_and_fail)
    with pytest.raises(StoreFullError):
        await store.add_sink(Sink())
    mend()
    assert await store.sinks() == []


async def test_a_commit_that_meets_a_lock_is_tried_again(opened: Open) -> None:
    tries = 0

    def second_time(cursor: sqlite3.Cursor) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise failure(sqlite3.SQLITE_BUSY)
        cursor.execute("commit")

    store, _ = opened()
    mend = spoil(store, second_time)
    await store.add_sink(Sink())
    mend()
    assert tries == 2
    assert await store.sinks() == [Sink()]


async def test_writes_that_wait_share_one_flush_to_the_disk(opened: Open) -> None:
    commits = 0

    def count(cursor: sqlite3.Cursor) -> None:
        nonlocal commits
        commits += 1
        cursor.execute("commit")

    store, _ = opened()
    mend = spoil(store, count)
    await asyncio.gather(*(store.add_sink(Sink()) for _ in range(100)))
    mend()
    assert commits < 20


async def test_one_read_that_fails_fails_no_other(opened: Open) -> None:
    store, _ = opened()

    def bug(_: Transaction) -> None:
        raise KeyError("a bug")

    answers = await asyncio.gather(store.workers(), store._thread.read(bug), store.workers(), return_exceptions=True)
    assert answers[0] == answers[2] == []
    assert isinstance(answers[1], KeyError)


async def test_one_write_that_fails_fails_no_other_and_leaves_nothing(opened: Open) -> None:
    store, _ = opened()

    def bug(tx: Transaction) -> None:
        tx.execute("insert into settings values ('half', 'written')")
        raise KeyError("a bug")

    def written(tx: Transaction) -> list[str]:
        return [row[0] for row in tx.execute("select name from settings where name = 'half'").fetchall()]

    answers = await asyncio.gather(
        store.add_sink(Sink()), store._thread.write(bug), store.sinks(), return_exceptions=True
    )
    assert answers[0] is None
    assert isinstance(answers[1], KeyError)
    assert await store._thread.read(written) == []
    assert await store.sinks() == [Sink()]


async def test_reads_asked_together_are_one_snapshot(opened: Open) -> None:
    """They run in one transaction; between them no other process' commit becomes visible."""
    store, _ = opened()
    other, _ = opened()
    seen: list[bool] = []

    def look(tx: Transaction) -> None:
        seen.append(bool(tx.sinks))

    def look_after_a_commit_elsewhere(tx: Transaction) -> None:
        asyncio.run_coroutine_threadsafe(other.add_sink(Sink()), loop).result()
        look(Transaction(rounds_of(store)._cursor, store._clock, careful=tx.careful))  # one that has not looked yet

    loop = asyncio.get_running_loop()
    await asyncio.gather(store._thread.read(look), store._thread.read(look_after_a_commit_elsewhere))
    assert seen == [False, False]
    assert await store.sinks() == [Sink()]
