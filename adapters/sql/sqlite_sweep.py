"""Sweeping a SQLite file: runs that ended long ago with all their rows, and old answers.

Rule: what may go is found and deleted in one write transaction, so nobody comes in between; whether there is anything
at all is looked up before, without the write lock. A tombstone is an answer of the sweep under the run's id.
"""

import json
from collections.abc import Collection
from datetime import timedelta

import attrs

from mainspring.adapters.sql.moments import span
from mainspring.adapters.sql.predicates import RUN_IS_RERUN, RUN_IS_TERMINAL, TOMBSTONE
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.names import RunId
from mainspring.ports.records import Swept

#: Ended by ?1, and needed by nobody; with the tags, for their rows are found by them.
_RUNS_ENDED = f"""
select id, tags from runs where finished_at <= ? and {RUN_IS_TERMINAL}
and not exists (select 1 from outbox where outbox.run_id = runs.id)
and not exists (select 1 from dead_letters where dead_letters.run_id = runs.id)
and not exists (select 1 from jobs where jobs.run_id = runs.id)
and not exists (select 1 from runs as parent where parent.id = runs.parent_run and not parent.{RUN_IS_TERMINAL})
and id not in (select parent_run from runs as child where parent_run is not null and not child.{RUN_IS_TERMINAL})
and id not in (select rerun_of from runs where {RUN_IS_RERUN})
order by finished_at, id limit ?"""  # noqa: S608
_ANSWERS_GIVEN = f"""
select command, key from answers where command <> '{TOMBSTONE}' and answered_at <= ?
order by answered_at, command, key limit ?"""  # noqa: S608
_ANSWER_DELETE = "delete from answers where command = ? and key = ?"
_TAG_DELETE = "delete from run_tags where tag = ? and run_id = ?"
_AMONG = "in (select value from json_each(?))"
#: The run's own row goes last.
_ROWS_DELETE = (
    f"delete from stages where run_id {_AMONG}",  # noqa: S608
    f"delete from attempts where run_id {_AMONG}",  # noqa: S608
    f"delete from signals where run_id {_AMONG}",  # noqa: S608
    f"delete from runs where id {_AMONG}",  # noqa: S608
)
_TOMBSTONE_PUT = f"""
replace into answers (command, key, request_hash, result, answered_at) values ('{TOMBSTONE}', ?, '', '{{}}', ?)"""  # noqa: S608
_TOMBSTONES = f"""
select key from answers where command = '{TOMBSTONE}' and answered_at <= ? order by answered_at, key limit ?"""  # noqa: S608
_TOMBSTONES_DELETE = f"delete from answers where command = '{TOMBSTONE}' and key {_AMONG}"  # noqa: S608


@attrs.frozen(kw_only=True)
class Sweep:
    """What a sweep asks for."""

    runs: timedelta | None
    answers: timedelta | None
    limit: int


def nothing_to_sweep(tx: Transaction, asked: Sweep) -> Swept | None:
    """An empty answer if there is nothing to delete: found out without the write lock. None otherwise."""
    return None if _runs(tx, asked, 1) or _answers(tx, asked, 1) else Swept()


def sweep(tx: Transaction, asked: Sweep) -> Swept:
    """Delete what may go, the oldest first."""
    runs = _runs(tx, asked, asked.limit)
    ids = tuple(RunId(run_id) for run_id, _ in runs)
    if runs:
        tx.executemany(_TAG_DELETE, [(tag, run_id) for run_id, tags in runs for tag in json.loads(tags or "[]")])
        among = json.dumps(ids)
        for statement in _ROWS_DELETE:
            tx.execute(statement, (among,))
        tx.executemany(_TOMBSTONE_PUT, [(run_id, tx.now) for run_id in ids])
    answers = _answers(tx, asked, asked.limit)
    tx.executemany(_ANSWER_DELETE, answers)
    return Swept(runs=ids, answers=len(answers))


def _runs(tx: Transaction, asked: Sweep, limit: int) -> list[tuple[str, str | None]]:
    if asked.runs is None:
        return []
    return tx.execute(_RUNS_ENDED, (_before(tx, asked.runs), min(limit, asked.limit))).fetchall()


def _answers(tx: Transaction, asked: Sweep, limit: int) -> list[tuple[str, str]]:
    if asked.answers is None:
        return []
    return tx.execute(_ANSWERS_GIVEN, (_before(tx, asked.answers), min(limit, asked.limit))).fetchall()


def _before(tx: Transaction, age: timedelta) -> int:
    """The moment that is so long ago; an age may reach back further than an integer holds."""
    return max(tx.now - span(age), 0)


def tombstones(tx: Transaction, age: timedelta, limit: int) -> list[RunId]:
    """Runs that were swept so long ago, the oldest first."""
    return [row[0] for row in tx.execute(_TOMBSTONES, (_before(tx, age), limit)).fetchall()]


def lift(tx: Transaction, run_ids: Collection[RunId]) -> None:
    """Delete these tombstones."""
    tx.execute(_TOMBSTONES_DELETE, (json.dumps(list(run_ids)),))
