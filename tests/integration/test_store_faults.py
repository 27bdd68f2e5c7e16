"""A file that is locked, read-only or full: a wait or a clear error, never a lost run."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mainspring import Context, Mainspring, Retry, RunStatus, Workflow, stage, workflow
from mainspring.errors import PortError, ReadOnlyError, SchemaError, SettingsError, StoreFullError
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from tests.integration.processes import processes

SOON = 20.0
QUICK = WorkerSettings(
    timing=Timing(
        lease=timedelta(seconds=5),
        heartbeat=timedelta(seconds=0.5),
        reap=timedelta(seconds=0.2),
        safety_poll=timedelta(seconds=0.2),
    )
)


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@stage(retry=Retry(max_attempts=3, initial=timedelta(hours=1), maximum=timedelta(hours=1)))
async def fails_once(ctx: Context, value: int) -> int:
    if ctx.attempt == 1:
        raise ValueError("later")
    return value


patient = Workflow("patient", version="1").pipe(fails_once)


@pytest.mark.fault(69)
async def test_a_file_locked_by_another_process_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with Mainspring(f"sqlite:///{path}", workflows=[hello], settings=QUICK) as engine:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        starting = asyncio.ensure_future(engine.start(hello, "x"))
        done, _ = await asyncio.wait([starting], timeout=0.3)
        assert not done
        other.execute("commit")
        other.close()
        run = await starting
        assert await run.result(SOON) == "hello x"


@pytest.mark.fault(68)
async def test_a_full_disk_refuses_new_runs_and_loses_nothing(tmp_path: Path) -> None:
    """``max_page_count`` makes SQLite itself report a full disk."""
    path = tmp_path / "store.db"
    async with Mainspring(f"sqlite:///{path}", workflows=[hello], settings=QUICK) as engine:
        thread: Any = getattr(engine.parts.store, "_thread")  # noqa: B009  the only way to the pragma
        pages = await thread.read(_asked(None))
        await thread.read(_asked(pages + 1))
        begun: list[str] = []
        with pytest.raises(StoreFullError):
            await _fill(engine, begun)
        await thread.read(_asked(1_000_000))
        again = await engine.start(hello, "after", key="after")
        assert await again.result(SOON) == "hello after"
        for run_id in begun:
            assert await engine.handle(run_id).result(SOON)


async def _fill(engine: Mainspring, begun: list[str]) -> None:
    for number in range(2_000):
        run = await engine.start(hello, "x" * 2_000, key=f"run {number}")
        begun.append(run.id)


def _asked(pages: int | None) -> Callable[[Any], int]:
    return lambda tx: _limit(tx, pages)


def _limit(tx: Any, pages: int | None) -> int:
    connection = getattr(tx, "connection", tx)
    if pages is None:
        return int(connection.execute("pragma page_count").fetchone()[0])
    return int(connection.execute(f"pragma max_page_count = {pages}").fetchone()[0])


async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        async with Mainspring(f"sqlite:///{tmp_path}/nowhere/store.db"):
            pass


async def test_a_file_that_is_no_database_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("this is a letter, not a database\n" * 100)
    with pytest.raises((SettingsError, PortError), match=r"store\.db"):
        async with Mainspring(f"sqlite:///{path}"):
            pass
    assert path.read_text().startswith("this is a letter")


async def test_a_missing_schema_is_told_with_the_command_to_run(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    sqlite3.connect(path).close()
    with pytest.raises(SchemaError, match="mainspring migrate"):
        async with Mainspring(f"sqlite:///{path}", migrate=False):
            pass


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/db", "sqlite://host/x.db", "sqlite:///", "memory"])
async def test_a_wrong_url_is_told_what_it_may_be(url: str) -> None:
    with pytest.raises(SettingsError, match="sqlite:///"):
        async with Mainspring(url):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another user")
async def test_a_read_only_store_is_told_so(tmp_path: Path) -> None:
    """Root may write anywhere, so another user opens the file."""
    path = tmp_path / "store.db"
    async with Mainspring(f"sqlite:///{path}", workflows=[hello], worker=False) as engine:
        await engine.start(hello, "x")
    code = (
        "import asyncio, os, sys\n"
        "from mainspring import Mainspring\n"
        "import mainspring.errors as errors, mainspring.adapters.sql.sqlite, mainspring.adapters.filesystem\n"
        "async def warm():\n"
        "    async with Mainspring(sys.argv[1], worker=False):\n"
        "        pass\n"
        "asyncio.run(warm())  # the interpreter's own files are out of the other user's reach\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "async def main():\n"
        "    async with Mainspring(sys.argv[1], worker=False) as engine:\n"
        "        await engine.handle('x').cancel()\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except errors.PortError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    said = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{path}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ReadOnlyError.__name__ in said.stdout, said


@pytest.mark.fault(2, 106)
async def test_after_a_kill_during_a_back_off_the_next_attempt_is_due_at_the_same_moment(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with Mainspring(url, workflows=[patient], worker=False) as client:
        with processes() as started:
            worker = started.start("tests.integration.backoff_process", url)
            run = await client.start(patient, 1)
            async with asyncio.timeout(SOON):
                while not await client.parts.store.attempts(run.id):
                    await asyncio.sleep(0.02)
            (before,) = await client.parts.store.jobs(run.id)
            started.kill(worker)
            started.start("tests.integration.backoff_process", url)
            async with asyncio.timeout(SOON):
                while not await client.parts.store.workers():
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.5)
            (after,) = await client.parts.store.jobs(run.id)
        assert (after.available_at, after.not_before, after.attempt) == (before.available_at, before.not_before, 1)
        assert await run.status() is RunStatus.RUNNING
