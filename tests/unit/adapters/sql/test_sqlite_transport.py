"""Wake-ups between processes; those within one are in the contract."""

# pyright: reportPrivateUsage=false

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mainspring.adapters.memory import ManualClock, SeededIds
from mainspring.adapters.sql import sqlite_watch
from mainspring.adapters.sql.sqlite import open_sqlite
from mainspring.ports.names import RunId, SinkName
from mainspring.ports.sinks import Sink
from tests.unit.adapters.sql.conftest import Open

LONG = timedelta(seconds=60)
NOT_LONG = timedelta(milliseconds=150)
PATIENCE = 30


@pytest.fixture(params=["inotify", "polling", "a loop that watches no descriptor"])
async def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How others' commits are noticed."""

    def no_inotify(self: sqlite_watch.Inotify, wal: Path) -> None:
        raise OSError("no inotify here")

    def no_readers(*_: object) -> None:
        raise NotImplementedError

    if request.param == "polling":
        monkeypatch.setattr(sqlite_watch.Inotify, "__init__", no_inotify)
    elif request.param == "inotify" and not sys.platform.startswith("linux"):
        pytest.skip("inotify is Linux's")
    elif request.param != "inotify":
        monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", no_readers)
    return str(request.param)


async def settled(transport: Any) -> None:
    """Take the hints that opening and earlier commits left behind."""
    while await transport.receive(10, NOT_LONG):
        pass


async def test_another_process_commit_wakes_a_receiver(opened: Open, way: str) -> None:
    store, _ = opened()
    _, transport = opened()
    await settled(transport)
    for number in range(5):
        waiting = asyncio.create_task(transport.receive(10, LONG))
        await asyncio.sleep(0)
        await store.add_sink(Sink(name=SinkName(f"sink-{number}")))
        async with asyncio.timeout(PATIENCE):
            assert await waiting


async def test_a_commit_between_two_calls_is_noticed_at_the_next(opened: Open, way: str) -> None:
    store, _ = opened()
    _, transport = opened()
    await settled(transport)
    await store.add_sink(Sink())
    async with asyncio.timeout(PATIENCE):
        assert await transport.receive(10, LONG)


async def test_another_process_commit_wakes_who_waits_for_a_run(opened: Open, way: str) -> None:
    store, _ = opened()
    _, feed = opened()
    await settled(feed)
    waiting = [asyncio.create_task(feed.wait([RunId(name)], LONG)) for name in ("a", "b")]
    await asyncio.sleep(0)
    await store.add_sink(Sink())
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)


async def test_this_process_own_commits_wake_nobody(opened: Open, way: str) -> None:
    store, transport = opened()
    await settled(transport)
    waiting = asyncio.create_task(transport.receive(10, NOT_LONG))
    await asyncio.sleep(0)
    for number in range(20):
        await store.add_sink(Sink(name=SinkName(f"sink-{number}")))
    assert await waiting == []


async def test_a_log_that_is_made_anew_is_watched_again(opened: Open, path: Path, way: str) -> None:
    clock = ManualClock()
    _, transport = opened()
    await settled(transport)
    wal = path.with_name(path.name + "-wal")
    # SQLite itself deletes the log only when nobody has the file open; a test may be ruder to the name.
    wal.rename(wal.with_name("gone"))
    wal.touch()
    wal.unlink()
    wal.with_name("gone").rename(wal)
    writer, other = open_sqlite(path, clock=clock, ids=SeededIds(clock, 5))
    await settled(transport)
    waiting = asyncio.create_task(transport.receive(10, LONG))
    await asyncio.sleep(0)
    await writer.add_sink(Sink())
    async with asyncio.timeout(PATIENCE):
        assert await waiting
    await other.close()
    await writer.close()


async def test_who_comes_to_wait_a_moment_after_the_end_is_not_kept(opened: Open) -> None:
    _, feed = opened()
    await feed.ended([RunId("a")])
    async with asyncio.timeout(PATIENCE):
        await feed.wait([RunId("a")], LONG)


async def test_the_memory_of_ended_runs_is_bounded(opened: Open) -> None:
    _, feed = opened()
    for number in range(10_000):
        await feed.ended([RunId(str(number))])
    assert len(feed._ended) <= 4_096


async def test_waiting_again_and_again_leaves_nothing_on_the_loop(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, transport = opened()
    loop = asyncio.get_running_loop()
    calls: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        method = getattr(loop, name)

        def call(*args: Any) -> Any:
            calls.append(name)
            return method(*args)

        return call

    for name in ("add_reader", "remove_reader"):
        monkeypatch.setattr(loop, name, counted(name))
    for _ in range(5):
        await transport.receive(1, timedelta(0))
    assert calls.count("add_reader") == calls.count("remove_reader")


def test_a_transport_serves_several_loops_in_turn(path: Path) -> None:
    clock = ManualClock()
    writer, other = open_sqlite(path, clock=clock, ids=SeededIds(clock, 1))
    store, transport = open_sqlite(path, clock=clock, ids=SeededIds(clock, 2))

    async def woken(name: str) -> None:
        await settled(transport)
        waiting = asyncio.create_task(transport.receive(10, LONG))
        await asyncio.sleep(0)
        await writer.add_sink(Sink(name=SinkName(name)))
        async with asyncio.timeout(PATIENCE):
            assert await waiting

    async def close() -> None:
        for opened in (other, writer, transport, store):
            await opened.close()

    asyncio.run(woken("one"))
    asyncio.run(woken("two"))
    asyncio.run(close())


IDLE = """
import asyncio, resource, sys
from datetime import timedelta
from pathlib import Path
from mainspring.adapters.memory import ManualClock, SeededIds
from mainspring.adapters.sql.sqlite import open_sqlite
clock = ManualClock()
store, transport = open_sqlite(Path(sys.argv[1]), clock=clock, ids=SeededIds(clock, 1))

def switches():
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw

async def idle():
    await transport.receive(1, timedelta(milliseconds=200))
    before = switches()
    await transport.receive(1, timedelta(seconds=1))
    print(switches() - before)

asyncio.run(idle())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only inotify costs nothing while nobody writes")
def test_a_receiver_sleeps_while_nobody_writes(path: Path) -> None:
    """Counted in times the process went to sleep, so that a busy computer is no busy receiver."""
    ended = subprocess.run(
        [sys.executable, "-c", IDLE, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 10
