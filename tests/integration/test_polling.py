"""A stage that waits outlives its workers: killed between two checks and in the middle of one, begun only once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mainspring import Mainspring
from tests.integration.chaos_process import LEASE
from tests.integration.polling_process import flow
from tests.integration.processes import processes

MODULE = "tests.integration.polling_process"


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
@pytest.mark.fault(1)
async def test_a_stage_that_waits_goes_on_after_its_worker_was_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    calls = tmp_path / "calls"
    calls.touch()

    def checks() -> int:
        return calls.read_text().count("check")

    async with Mainspring(url, workflows=[flow], worker=False) as client:
        with processes() as started:
            run = await client.start(flow, str(tmp_path))
            first = started.start(MODULE, url)
            await until(lambda: checks() >= 2)
            (tmp_path / "hang").touch()
            seen = checks()
            await until(lambda: checks() > seen)
            await asyncio.sleep(0.1)  # it hangs in a check by now
            started.kill(first)
            second = started.start(MODULE, url)
            seen = checks()
            (tmp_path / "hang").unlink()
            await until(lambda: checks() > seen + 1)
            started.kill(second)
            (tmp_path / "ready").touch()
            started.start(MODULE, url)
            assert await asyncio.wait_for(run.result(), 30) == "batch fetched"
    assert calls.read_text().count("submit") == 1


@pytest.mark.timeout(60)
async def test_of_several_workers_one_makes_a_check_however_long_it_takes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    calls = tmp_path / "calls"
    calls.touch()
    (tmp_path / "hang").touch()
    async with Mainspring(url, workflows=[flow], worker=False) as client:
        with processes() as started:
            for _ in range(3):
                started.start(MODULE, url)
            run = await client.start(flow, str(tmp_path))
            await until(lambda: "check" in calls.read_text())
            await asyncio.sleep(1.5 * LEASE.total_seconds())
            assert calls.read_text().split() == ["submit", "check"]
            (tmp_path / "ready").touch()
            (tmp_path / "hang").unlink()
            assert await asyncio.wait_for(run.result(), 30) == "batch fetched"
    assert calls.read_text().split() == ["submit", "check"]
