"""Many alike Changes at once: the two shapes that come by the hundred, written with a handful of statements.

Why: between Python and SQLite every statement gives the interpreter's lock away and asks for it back, which under load
costs more than the statement. One statement for fifty rows is a tenth of the work, and leaves the other core to the
event loop meanwhile.

Shapes: a **step** ends one stage of its run and moves or deletes its one job; a **start** creates a run with its jobs.
Such Changes touch nothing but their own run, so a batch of them, each of another run, may be guarded together and then
written together. Whatever looks different, or does not pass here, is left to :mod:`sqlite_change`, one by one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.moments import to_micros
from mainspring.adapters.sql.rows import Row, failure_text, job_row, move_row, run_row, stage_row
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.change import Change, RunPatch
from mainspring.ports.errors import PortError

FEWEST = 4
"""Fewer than that are as quick one by one."""

_SIZES = (64, 16, 4)
"""Rows per statement; a rest below the least is one of its own. Few sizes, so that all texts stay prepared."""


def write_steps(tx: Transaction, changes: Sequence[Change]) -> set[int]:
    """Write what passes of those that are steps; their places."""
    steps: dict[str, int] = {}
    for place, change in enumerate(changes):
        if change.run is not None and change.run.run_id not in steps and _is_step(change):
            steps[change.run.run_id] = place
    if len(steps) < FEWEST:
        return set()
    passed = _passing(tx, [(place, changes[place]) for place in steps.values()])
    written = [changes[place] for place in passed]
    bumps: list[Row] = []
    patches: list[Row] = []
    for change in written:
        patch = _patch_row(change.run)
        if any(column is not None for column in patch[2:]):
            patches.append(patch)
        else:
            bumps.append(patch[:2])
    moves = [move_row(move) for change in written for move in change.job_moves]
    _write(tx, sql.MANY_BUMPS, bumps)
    _write(tx, sql.MANY_PATCHES, patches)
    _write(tx, sql.MANY_STAGES, [stage_row(change.stages[0]) for change in written])
    _write(tx, sql.MANY_HAND_OVERS, moves)
    _write(tx, sql.MANY_DELETES, [(key.run_id, key.stage, key.index) for c in written for key in c.job_deletes])
    return set(passed)


def write_starts(tx: Transaction, changes: Sequence[Change]) -> set[int]:
    """Write those that are starts, or none of them if one meets a run that is there already; their places."""
    places = [place for place, change in enumerate(changes) if _is_start(change)]
    if len(places) < FEWEST:
        return set()
    starts = [changes[place] for place in places]
    runs = [run_row(change.create) for change in starts if change.create is not None]
    tx.execute("savepoint starts")
    created = sum(tx.execute(text, parameters).rowcount for text, parameters in _chunks(sql.MANY_RUNS, runs))
    if created != len(runs):
        tx.execute("rollback to starts")
    tx.execute("release starts")
    if created != len(runs):
        return set()
    for fingerprint, shape in {(c.graph.fingerprint, c.graph.shape) for c in starts if c.graph is not None}:
        tx.execute(sql.GRAPH_INSERT, (fingerprint, shape))
    _write(tx, sql.MANY_JOBS, [job_row(job) for change in starts for job in change.jobs])
    return set(places)


def write_rows(tx: Transaction, statement: str, rows: Sequence[Row]) -> None:
    """The statement for all rows; ``{rows}`` stands for them in its text."""
    _write(tx, statement, rows)


def _is_step(change: Change) -> bool:
    """Whether it guards its run and one lease, ends that job's stage, and moves (kept) or deletes that job."""
    if len(change.leases) != 1 or len(change.stages) != 1 or change.run is None:
        return False
    guard, record, run_id = change.leases[0], change.stages[0], change.run.run_id
    key = guard.key
    if guard.wakes is not None or guard.expired or key.run_id != run_id:
        return False
    if (record.run_id, record.stage, record.index) != (run_id, key.stage, key.index):
        return False
    moves, deletes = change.job_moves, change.job_deletes
    if len(moves) + len(deletes) != 1 or (moves or deletes)[0] != key and not (moves and moves[0].key == key):
        return False
    if moves and not moves[0].keep_lease:
        return False
    return not (change.jobs or _has_more(change)) and change.create is None


def _is_start(change: Change) -> bool:
    """Whether it creates a run without tags, with its jobs, and does nothing else."""
    run = change.create
    if run is None or run.tags or change.run is not None or change.leases or change.stages:
        return False
    return not (change.job_moves or change.job_deletes or _has_more(change))


def _has_more(change: Change) -> bool:
    return bool(
        change.run_guard
        or change.unleased
        or change.signals
        or change.answer
        or change.attempts
        or change.unpark
        or change.progress
        or change.end_jobs
        or change.wakes
        or change.outbox
    )


def _passing(tx: Transaction, steps: Sequence[tuple[int, Change]]) -> list[int]:
    """The places of those whose guards and gates hold."""
    rows: list[Row] = []
    for place, change in steps:
        patch, guard = change.run, change.leases[0]
        assert patch is not None  # noqa: S101  a step has one
        key = guard.key
        rows.append((place, patch.run_id, patch.revision, key.stage, key.index, guard.lease_id))
    found: list[int] = []
    for text, parameters in _chunks(sql.MANY_PASS, rows):
        found += json.loads(tx.execute(text, parameters).fetchone()[0])
    return sorted(found)


def _patch_row(patch: RunPatch | None) -> Row:
    assert patch is not None  # noqa: S101  a step has one
    return (
        patch.run_id,
        patch.revision + patch.bump,
        None if patch.status is None else patch.status.value,
        to_micros(patch.started_at),
        to_micros(patch.finished_at),
        patch.output,
        failure_text(patch.failure),
        patch.cancel_reason,
    )


def _write(tx: Transaction, statement: str, rows: Sequence[Row]) -> None:
    written = sum(tx.execute(text, parameters).rowcount for text, parameters in _chunks(statement, rows))
    if written != len(rows):
        raise PortError(f"{len(rows)} rows were to be written together, {written} were; each is tried alone")


def _chunks(statement: str, rows: Sequence[Row]) -> Iterator[tuple[str, list[object]]]:
    """The statement's text for as many rows as it takes at a time, and their parameters in one list."""
    begin = 0
    while begin < len(rows):
        left = len(rows) - begin
        size = next((size for size in _SIZES if size <= left), left)
        chunk = rows[begin : begin + size]
        begin += size
        yield _text(statement, size, len(chunk[0])), _flat(chunk)


def _flat(rows: Iterable[Row]) -> list[object]:
    return [column for row in rows for column in row]


@cache
def _text(statement: str, size: int, columns: int) -> str:
    row = "(" + ", ".join("?" * columns) + ")"
    rows, keys = ", ".join([row] * size), " or ".join([f"({sql.THIS_JOB})"] * size)
    return statement.replace("{rows}", rows).replace("{keys}", keys)
