"""Processes and threads race on one PostgreSQL database for runs, signals, jobs and joins: each has one winner."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mainspring import Mainspring
from tests.integration.processes import processes
from tests.integration.races_postgres_process import (
    BRANCHES,
    ELEMENTS,
    FOLDER,
    GATE,
    JOBS,
    KEYS,
    SIGNALS,
    THREADS,
    group,
    mapped,
    plain,
)

MODULE = "tests.integration.races_postgres_process"
PROCESSES = 2
SOON = 60.0
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database ="


@contextmanager
def gate(url: str) -> Generator[None]:
    """Closed for the block: on leaving it waits until every thread stands before the gate, and opens it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (GATE,))
        yield
        until = time.monotonic() + SOON
        asked = f"{WAITING} (select oid from pg_database where datname = current_database())".encode()
        while connection.execute(asked).fetchall() != [(PROCESSES * THREADS,)]:
            time.sleep(0.01)
            assert time.monotonic() < until, "not all came to the gate"


def raced(what: str, url: str) -> list[Any]:
    """Let the threads of all processes race; what each one won."""
    racers: list[subprocess.Popen[str]] = []
    with processes() as started:
        with gate(url):
            for _ in range(PROCESSES):
                command = [sys.executable, "-m", MODULE, what, url]
                racers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            started.alive += racers
        told = [racer.communicate(timeout=SOON)[0] for racer in racers]
        assert [racer.returncode for racer in racers] == [0] * PROCESSES
    won = [json.loads(line) for text in told for line in text.splitlines()]
    assert len(won) == PROCESSES * THREADS
    return won


@pytest.mark.promise(8)
@pytest.mark.fault(14)
async def test_a_key_that_many_start_gives_one_run(database: str) -> None:
    won = raced("start", database)
    assert len({tuple(one["ids"]) for one in won}) == 1
    assert sorted(number for one in won for number in one["made"]) == list(range(KEYS))
    async with Mainspring(database, worker=False) as engine:
        assert {run.id for run in (await engine.runs(limit=2 * KEYS)).runs} == set(won[0]["ids"])


@pytest.mark.promise(9)
@pytest.mark.fault(88)
async def test_a_signal_that_many_send_is_kept_once_and_each_sender_in_order(database: str) -> None:
    async with Mainspring(database, workflows=[plain], worker=False) as engine:
        run = await engine.start(plain, 1)
        won = raced("signal", database)
        assert sorted(number for one in won for number in one["taken"]) == list(range(SIGNALS))
        kept = await engine.parts.store.inbox(run.id)
    assert [signal.seq for signal in kept] == list(range(1, len(kept) + 1))
    common = [signal.id for signal in kept if signal.name == "go"]
    assert sorted(common) == sorted(f"common {number}" for number in range(SIGNALS))
    own: dict[str, list[int]] = {}
    for signal in kept:
        if signal.name == "own":
            sender, number = json.loads(signal.payload)
            own.setdefault(sender, []).append(number)
    assert list(own.values()) == [list(range(SIGNALS))] * (PROCESSES * THREADS)


@pytest.mark.promise(13)
@pytest.mark.fault(29)
async def test_a_job_that_many_claim_is_had_by_one(database: str) -> None:
    async with Mainspring(database, workflows=[plain], worker=False) as engine:
        runs = await engine.start_many(plain, range(JOBS))
    won = raced("claim", database)
    claims = [(run_id, token) for one in won for run_id, token in one["taken"]]
    assert sorted(run_id for run_id, _ in claims) == sorted(run.id for run in runs)
    assert len({token for _, token in claims}) == JOBS


@pytest.mark.promise(4)
@pytest.mark.fault(95)
async def test_joins_of_a_wide_group_and_a_wide_map_over_two_workers_happen_once(database: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mainspring", "worker", f"{MODULE}:group", f"{MODULE}:mapped"]
    command += ["--database", database, "--concurrency", "16", "--log-level", "warning"]
    environment = {**os.environ, FOLDER: str(tmp_path)}
    with processes() as started:
        started.alive += [subprocess.Popen(command, env=environment, text=True) for _ in range(2)]
        async with Mainspring(database, workflows=[group, mapped], worker=False) as engine:
            groups = await engine.start_many(group, range(4))
            maps = await engine.start_many(mapped, [ELEMENTS] * 2)
            found = [await run.result(SOON) for run in groups]
            assert found == [BRANCHES * n + sum(range(BRANCHES)) for n in range(4)]
            assert [await run.result(SOON) for run in maps] == [sum(range(0, 2 * ELEMENTS, 2))] * 2
            workers: set[str | None] = set()
            for run in (*groups, *maps):
                records = await engine.parts.store.stages(run.id)
                assert len(records) == (BRANCHES + 1 if run in groups else ELEMENTS + 2)
                workers |= {record.worker for record in records}
            assert len(workers) == 2
    for name, runs in (("joined", groups), ("summed", maps)):
        calls = Counter((tmp_path / name).read_text().splitlines())
        assert calls == Counter(f"{run.id}/{name}/0" for run in runs)
