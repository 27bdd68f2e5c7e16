"""Leasing jobs: which ones a claim takes, and what it and a heartbeat write.

Rule: time is the transaction's, lease ids are new for every claim, and what is not due is never read.
"""

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from itertools import islice

import attrs

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.moments import from_micros, span
from mainspring.adapters.sql.rows import JOB_WIDTH, Row, read_job, read_run
from mainspring.adapters.sql.sqlite_transaction import TOKENS, Transaction
from mainspring.ports.names import LeaseId, Route, RunId, WorkerId
from mainspring.ports.records import ExtendAnswer, JobKey, Lease, Pointer, ReadyJob, Run

_ABOVE_ALL = 1 << 62


@attrs.frozen(kw_only=True)
class Claim:
    """What a claim asks for."""

    routes: Collection[Route]
    limit: int
    length: timedelta
    worker: WorkerId
    only: Sequence[JobKey] | None
    new_lease_id: Callable[[], LeaseId]


def nothing_due(tx: Transaction, claim: Claim) -> list[Lease] | None:
    """An empty answer if there is nothing to claim: found out without the write lock. None otherwise."""
    if claim.only is None and any(_level_below(tx, route, _ABOVE_ALL) for route in claim.routes):
        return None
    return [] if claim.only is None or not _due_among(tx, claim) else None


def lease(tx: Transaction, claim: Claim) -> list[Lease]:
    """Lease what is due."""
    if claim.limit <= 0:
        return []
    rows = _due(tx, claim.routes, claim.limit) if claim.only is None else _due_among(tx, claim)
    if not rows:
        return []
    tx.execute(sql.TOKENS_TAKE, (TOKENS, len(rows)))
    token = tx.execute(sql.TOKENS_READ, (TOKENS,)).fetchone()[0] - len(rows)
    now, until, worker = tx.now, tx.now + span(claim.length), claim.worker
    leases: list[Lease] = []
    updates: list[Row] = []
    runs: dict[RunId, Run] = {}
    for row in rows:
        token += 1
        lease_id = claim.new_lease_id()
        attempt = row[8] + 1
        job = read_job((*row[:8], attempt, *row[9:11], token, lease_id, worker, until, now, *row[16:JOB_WIDTH]))
        run = runs.get(job.run_id)
        if run is None:
            run = runs[job.run_id] = read_run(row[JOB_WIDTH:])
        updates.append((lease_id, worker, token, until, now, attempt, *row[:3]))
        leases.append(Lease(job=job, run=run))
    tx.executemany(sql.JOB_LEASE, updates)
    return leases


def _order(row: Row) -> Row:
    """The order of claiming within one priority: moment, then key."""
    return (row[6], *row[:3])


def _due_among(tx: Transaction, claim: Claim) -> list[Row]:
    found: list[Row] = []
    for key in set(claim.only or ()):
        row = tx.execute(sql.DUE_ROW, (key.run_id, key.stage, key.index, tx.now)).fetchone()
        if row is not None and row[3] in claim.routes:
            found.append(row)
    return sorted(found, key=lambda row: (-row[5], *_order(row)))[: claim.limit]


def _due(tx: Transaction, routes: Collection[Route], limit: int) -> list[Row]:
    """Walk the priorities from the top; at each, merge the routes that have something due there."""
    found: list[Row] = []
    levels = [(-level[0], route) for route in set(routes) if (level := _level_below(tx, route, _ABOVE_ALL))]
    heapq.heapify(levels)
    while levels and len(found) < limit:
        priority = -levels[0][0]
        here: list[Route] = []
        while levels and levels[0][0] == -priority:
            here.append(heapq.heappop(levels)[1])
        found.extend(_best(tx, here, priority, limit - len(found)))
        if len(found) < limit:
            below = [(-level[0], route) for route in here if (level := _level_below(tx, route, priority))]
            levels = [*levels, *below]
            heapq.heapify(levels)
    return found


def _level_below(tx: Transaction, route: Route, priority: int) -> tuple[int, int] | None:
    """The route's next priority at which a job is due, and its first moment."""
    level: tuple[int, int] | None = tx.execute(sql.DUE_PROBE, (route, priority)).fetchone()
    while level is not None and level[1] > tx.now:
        level = tx.execute(sql.DUE_PROBE, (route, level[0])).fetchone()
    return level


def _best(tx: Transaction, routes: list[Route], priority: int, limit: int) -> list[Row]:
    if len(routes) == 1:
        rows: list[Row] = tx.execute(sql.DUE_ROWS, (routes[0], priority, tx.now, limit, 0)).fetchall()
        return rows
    chunk = limit // len(routes) + 2
    merged = heapq.merge(*(_in_chunks(tx, route, priority, chunk) for route in routes), key=_order)
    return list(islice(merged, limit))


def _in_chunks(tx: Transaction, route: Route, priority: int, size: int) -> Iterator[Row]:
    """The route's due jobs, read a few at a time, so that fifty routes do not each give a hundred rows for nothing."""
    offset = 0
    while chunk := tx.execute(sql.DUE_ROWS, (route, priority, tx.now, size, offset)).fetchall():
        yield from chunk
        if len(chunk) < size:
            return
        offset += size


def ready_among(tx: Transaction, keys: Sequence[JobKey]) -> list[ReadyJob]:
    """Those of the jobs that are ready and unleased."""
    found = ((key, tx.execute(sql.JOB_WAITING, (key.run_id, key.stage, key.index)).fetchone()) for key in keys)
    return [
        ReadyJob(key=key, route=row[0], due_in=timedelta(microseconds=row[1] - tx.now))
        for key, row in found
        if row is not None
    ]


def announce(tx: Transaction, limit: int, again_after: timedelta) -> list[Pointer]:
    """Jobs of which nobody told lately; they count as announced from now on."""
    rows = tx.execute(sql.JOBS_UNHEARD, (tx.now, limit)).fetchall()
    tx.executemany(sql.JOB_ANNOUNCED, [(tx.now, span(again_after), *row) for row in rows])
    return [Pointer(run_id=row[0], stage=row[1], index=row[2]) for row in rows]


def next_due(tx: Transaction, routes: Collection[Route]) -> int | None:
    """The earliest moment in any of the routes, at any priority."""
    first: int | None = None
    for route in set(routes):
        level: tuple[int, int] | None = tx.execute(sql.DUE_PROBE, (route, _ABOVE_ALL)).fetchone()
        while level is not None:
            first = level[1] if first is None else min(first, level[1])
            level = tx.execute(sql.DUE_PROBE, (route, level[0])).fetchone()
    return first


def extend(tx: Transaction, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
    """Extend what is still held, by lease id alone; tell what is not."""
    until = tx.now + span(length)
    until_at = from_micros(until)
    answers: list[ExtendAnswer] = []
    held: list[tuple[object, ...]] = []
    for key, lease_id in leases:
        row = tx.execute(sql.JOB_HELD, (key.run_id, key.stage, key.index)).fetchone()
        wakes = 0 if row is None else row[0]
        if row is None or row[1] != lease_id:
            answers.append(ExtendAnswer(key=key, lease_id=lease_id, lost=True, wakes=wakes, until=None))
            continue
        held.append((until, key.run_id, key.stage, key.index))
        answers.append(ExtendAnswer(key=key, lease_id=lease_id, lost=False, wakes=wakes, until=until_at))
    tx.executemany(sql.JOB_EXTEND, held)
    return answers
