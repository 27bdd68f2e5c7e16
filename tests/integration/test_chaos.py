"""Real processes on one file under SIGKILL and SIGSTOP: nothing lost, nothing recorded twice, every run terminal."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from mainspring import Mainspring
from mainspring.ports.records import StageStatus
from mainspring.ports.sinks import Sink
from tests.integration.chaos_process import LEASE, expected, flow
from tests.integration.processes import Processes, processes

MODULE = "tests.integration.chaos_process"
RUNS = int(os.environ.get("CHAOS_RUNS", "150"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "12"))


def strike(
    started: Processes, crew: dict[str, subprocess.Popen[str]], dice: random.Random, url: str
) -> subprocess.Popen[str] | None:
    """Kill one process and start another like it, or stop one for longer than its lease; the stopped one."""
    name = dice.choice(sorted(crew))
    if dice.random() < 0.6:
        started.kill(crew[name])
        crew[name] = started.start(MODULE, name.partition("-")[0], url)
        return None
    crew[name].send_signal(signal.SIGSTOP)
    return crew[name]


@pytest.mark.promise(1, 4, 7, 11, 13)
@pytest.mark.timeout(240)
@pytest.mark.fault(1, 2, 3, 5, 11, 17, 27, 29, 31, 32, 69, 106)
async def test_killed_and_stopped_processes_lose_nothing_and_record_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "chaos.db"
    url = f"sqlite:///{path}"
    dice = random.Random(20261120)
    async with Mainspring(url, workflows=[flow], worker=False) as client:
        await client.parts.store.add_sink(Sink())
        with processes() as started:
            crew = {
                name: started.start(MODULE, name.partition("-")[0], url)
                for name in ("worker-1", "worker-2", "serverless-1")
            }
            runs = [await client.start(flow, number, key=f"run {number}") for number in range(RUNS // 2)]
            for turn in range(ROUNDS):
                more = range(RUNS // 2 + turn * RUNS // (2 * ROUNDS), RUNS // 2 + (turn + 1) * RUNS // (2 * ROUNDS))
                runs += [await client.start(flow, number, key=f"run {number}") for number in more]
                stopped = await asyncio.to_thread(strike, started, crew, dice, url)
                await asyncio.sleep(1.6 * LEASE.total_seconds() if stopped else dice.uniform(0.1, 0.6))
                if stopped is not None:
                    stopped.send_signal(signal.SIGCONT)  # a zombie: its lease ran out while it stood still
            results = await asyncio.wait_for(asyncio.gather(*(run.result() for run in runs)), 120)
        assert results == [expected(number) for number in range(len(runs))]
        for run in runs:
            rows = await client.parts.store.stages(run.id)
            assert all(row.status is StageStatus.COMPLETED for row in rows)
            assert Counter(row.stage for row in rows) == {"spread": 1, "square": 4, "least": 1, "total": 1, "gap": 1}
            assert await client.parts.store.jobs(run.id) == []
    check_events(path, [run.id for run in runs])


def check_events(path: Path, run_ids: list[str]) -> None:
    """Events of each run are numbered without gaps, begin and end once, and tell of each stage's end once."""
    with sqlite3.connect(path) as database:
        rows = database.execute("select run_id, seq, type from outbox order by run_id, seq").fetchall()
    database.close()
    by_run: dict[str, list[tuple[int, str]]] = {}
    for run_id, seq, kind in rows:
        by_run.setdefault(run_id, []).append((seq, kind))
    assert sorted(by_run) == sorted(run_ids)
    for events in by_run.values():
        assert [seq for seq, _ in events] == list(range(1, len(events) + 1))
        kinds = Counter(kind for _, kind in events)
        assert kinds["run.created"] == kinds["run.started"] == kinds["run.completed"] == 1
        assert kinds["stage.completed"] == 8
        assert events[-1][1] == "run.completed"
