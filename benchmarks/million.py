"""A claim of 100 with a million rows in its way, filled in by SQL. Ours alone."""

import asyncio
import sqlite3
import statistics
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from benchmarks.cells import Numbers
from benchmarks.processes import Side, scratch, url_of
from benchmarks.workloads import NOOP3, document
from mainspring import Mainspring
from mainspring.ports.names import Route, WorkerId

CLAIMS, TAKEN = 30, 100
ROUTE = str(NOOP3.plan.route)

RUNS = """
insert into runs (id, workflow, version, fingerprint, queue, status, revision, priority, request_hash, input,
  created_at)
with recursive n(i) as (select 0 union all select i + 1 from n where i < ? - 1)
select printf('m%09d', i), 'noop3', '1', ?, 'default', ?, 0, 0, '', ?, 1700000000000000 + i from n"""
JOBS = """
insert into jobs (run_id, stage, idx, route, phase, priority, available_at, attempt, max_attempts, wakes, token)
select id, 'first', 0, {route}, 'ready', {priority}, {at}, 0, 3, 0, 0 from runs where id like 'm%' {where}"""

PAST, FUTURE = "1700000000000000 + rowid", "99000000000000000 + rowid"
CASES = {
    "due": JOBS.format(route=f"'{ROUTE}'", priority="0", at=PAST, where=""),
    "sleeping": JOBS.format(route=f"'{ROUTE}'", priority="0", at=FUTURE, where=""),
    "5 priorities": JOBS.format(route=f"'{ROUTE}'", priority="rowid % 5", at=FUTURE, where=""),
    "unserved": JOBS.format(route="'other/' || (rowid % 50)", priority="0", at=PAST, where=""),
}


def claims(side: Side, count: int) -> Numbers:
    """Median milliseconds of a claim of 100, its commit included."""
    assert side.name == "mainspring"
    return asyncio.run(_claims(count))


async def _claims(count: int) -> Numbers:
    found: Numbers = {}
    with scratch() as path:
        async with Mainspring(url_of(path), workflows=[NOOP3], worker=False):
            pass
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("pragma synchronous = off")
            text = str(document(0)).replace("'", '"')
            fingerprint = NOOP3.plan.fingerprint
            database.execute(RUNS, (count, fingerprint, "completed", text))
            found["finished ms"] = await _median(path)
            database.execute("update runs set status = 'pending'")
            for name, fill in CASES.items():
                database.execute("delete from jobs")
                database.execute(fill)
                database.execute("pragma wal_checkpoint(truncate)")
                found[f"{name} ms"] = await _median(path)
    return found


async def _median(path: Path) -> float:
    """Put the jobs to claim beside what is there, and claim them a hundred at a time."""
    async with Mainspring(url_of(path), workflows=[NOOP3], worker=False) as engine:
        await engine.start_many(NOOP3, [document(number) for number in range(CLAIMS * TAKEN)])
        store, taken = engine.parts.store, list[float]()
        for _ in range(CLAIMS):
            begin = time.perf_counter()
            leases = await store.claim([Route(ROUTE)], limit=TAKEN, length=timedelta(hours=1), worker=WorkerId("bench"))
            taken.append(time.perf_counter() - begin)
            assert len(leases) == TAKEN
    return statistics.median(taken) * 1e3
