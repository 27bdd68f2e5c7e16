"""A claim of 100 with a million rows in its way, filled in by SQL. Ours alone."""

import asyncio
import sqlite3
import statistics
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg

from benchmarks.cells import Numbers, set_up
from benchmarks.processes import Side
from benchmarks.stores import Place, SqlitePlace, Store
from benchmarks.workloads import NOOP3, document
from mainspring import Mainspring
from mainspring.ports.names import Route, WorkerId

CLAIMS, TAKEN = 30, 100
ROUTE = str(NOOP3.plan.route)
INPUT = str(document(0)).replace("'", '"')

#: Rows of the fill are told from those to claim by their age: made in 2023, a microsecond apart.
RUNS = """
insert into runs (id, workflow, version, fingerprint, queue, status, revision, priority, request_hash, input,
  created_at)
select {id}, 'noop3', '1', '{fingerprint}', 'default', 'completed', 0, 0, '', '{input}', 1700000000000000 + i
from {numbers}"""
JOBS = """
insert into jobs (run_id, stage, idx, route, phase, priority, available_at, attempt, max_attempts, wakes, token)
select id, 'first', 0, {route}, 'ready', {priority}, {at}, 0, 3, 0, 0 from runs where created_at < 1701000000000000"""

DIALECTS = {
    "sqlite": {
        "id": "printf('m%09d', i)",
        "numbers": "(with recursive n(i) as (select 0 union all select i + 1 from n where i < {last}) select i from n)",
    },
    "postgres": {
        "id": "('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid",
        "numbers": "generate_series(0, {last}) i",
    },
}
#: Each run's number, from 0, is its created_at.
NUMBER = "(created_at - 1700000000000000)"
PAST, FUTURE = f"1700000000000000 + {NUMBER}", f"99000000000000000 + {NUMBER}"
CASES = {
    "due": JOBS.format(route=f"'{ROUTE}'", priority="0", at=PAST),
    "sleeping": JOBS.format(route=f"'{ROUTE}'", priority="0", at=FUTURE),
    "5 priorities": JOBS.format(route=f"'{ROUTE}'", priority=f"{NUMBER} % 5", at=FUTURE),
    "unserved": JOBS.format(route=f"'other/' || ({NUMBER} % 50)", priority="0", at=PAST),
}


def claims(side: Side, store: Store, count: int) -> Numbers:
    """Median milliseconds of a claim of 100, its commit included."""
    assert side.is_ours
    with store.place() as place:
        set_up(side, place)
        with closing(Filling(place)) as filling:
            return asyncio.run(_claims(place, filling, store.name, count))


async def _claims(place: Place, filling: "Filling", dialect: str, count: int) -> Numbers:
    words = DIALECTS[dialect] | {"fingerprint": NOOP3.plan.fingerprint, "input": INPUT}
    numbers = DIALECTS[dialect]["numbers"].format(last=count - 1)
    filling.do(RUNS.format(**words | {"numbers": numbers}))
    filling.settle()
    found = {"finished ms": await _median(place.url)}
    filling.do("update runs set status = 'pending'")
    for name, fill in CASES.items():
        filling.do("delete from jobs")
        filling.settle()
        filling.do(fill)
        filling.settle()
        found[f"{name} ms"] = await _median(place.url)
    return found


class Filling:
    """A connection that fills tables, careless of durability."""

    def __init__(self, place: Place) -> None:
        self._connection: Any
        if isinstance(place, SqlitePlace):
            self._connection = sqlite3.connect(place.path, isolation_level=None)
            self.do("pragma synchronous = off")
            self._after = ["pragma wal_checkpoint(truncate)"]
        else:
            self._connection = psycopg.connect(place.url, autocommit=True)
            self.do("set search_path = mainspring")
            self.do("set synchronous_commit = off")
            self._after = ["vacuum analyze runs", "vacuum analyze jobs", "checkpoint"]  # as autovacuum would in time

    def do(self, statement: str) -> None:
        self._connection.execute(statement)

    def settle(self) -> None:
        for statement in self._after:
            self.do(statement)

    def close(self) -> None:
        self._connection.close()


async def _median(url: str) -> float:
    """Put the jobs to claim beside what is there, and claim them a hundred at a time."""
    async with Mainspring(url, workflows=[NOOP3], worker=False) as engine:
        await engine.start_many(NOOP3, [document(number) for number in range(CLAIMS * TAKEN)])
        store, taken = engine.parts.store, list[float]()
        for _ in range(CLAIMS):
            begin = time.perf_counter()
            leases = await store.claim([Route(ROUTE)], limit=TAKEN, length=timedelta(hours=1), worker=WorkerId("bench"))
            taken.append(time.perf_counter() - begin)
            assert len(leases) == TAKEN
    return statistics.median(taken) * 1e3
