"""Noticing others' commits: a notice that was taken is followed up, also when the watch was disarmed meanwhile."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from mainspring.adapters.sql.sqlite_thread import SqliteThread
from mainspring.adapters.sql.sqlite_watch import CommitWatch, Inotify


class FakeThread:
    """Sees what others committed only when it looks, as a connection does."""

    def __init__(self) -> None:
        self.data_version = 1
        self.looks = 0
        self.committed = 1
        self.pending: list[asyncio.Future[None]] = []
        self.answers = True

    def look(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = loop.create_future()
        self.pending.append(future)
        if self.answers:
            self.answer()
        return future

    def answer(self) -> None:
        self.data_version = self.committed
        self.looks += 1
        for future in self.pending:
            future.set_result(None)
        self.pending.clear()


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    wal = tmp_path / "x.db-wal"
    wal.write_bytes(b"")
    try:
        Inotify(wal).close()
    except OSError:
        pytest.skip("there is no inotify here")
    return wal


async def armed(wal: Path) -> tuple[FakeThread, CommitWatch, list[int]]:
    thread, found = FakeThread(), list[int]()
    watch = CommitWatch(cast("SqliteThread", thread), wal, lambda: found.append(1))
    watch.arm(asyncio.get_running_loop())
    await asyncio.sleep(0.1)  # whatever the first arming looks for
    found.clear()
    return thread, watch, found


def write(wal: Path) -> None:
    """One write, so one notice."""
    with wal.open("ab", buffering=0) as log:
        log.write(b"frame")


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_write_noticed_before_its_commit_was_visible_is_found_after_a_disarming(wal: Path) -> None:
    thread, watch, found = await armed(wal)
    looked = thread.looks
    write(wal)
    await until(lambda: thread.looks > looked)
    await asyncio.sleep(0)  # noticed, looked for: nothing to see yet; another look is planned
    watch.disarm()
    thread.committed = 2
    watch.arm(asyncio.get_running_loop())
    await until(lambda: found)
    watch.close()


async def test_a_look_that_is_answered_after_a_disarming_swallows_nothing(wal: Path) -> None:
    thread, watch, found = await armed(wal)
    thread.answers = False
    write(wal)
    await until(lambda: thread.pending)
    watch.disarm()
    thread.committed = 2
    thread.answer()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    thread.answers = True
    watch.arm(asyncio.get_running_loop())
    await until(lambda: found)
    watch.close()
