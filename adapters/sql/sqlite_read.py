"""What is read from SQLite, as records.

Rule: each function is one piece of work inside a read transaction, so what it answers is one snapshot.
"""

import json
from collections.abc import Collection
from datetime import datetime

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.moments import maybe_from_micros
from mainspring.adapters.sql.rows import (
    read_attempt,
    read_job,
    read_run,
    read_run_status,
    read_signal,
    read_stage,
    read_worker,
)
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.names import Fingerprint, RunId, SignalId, StageId, WorkflowId
from mainspring.ports.records import (
    Answer,
    AttemptRecord,
    ExpiredLease,
    Graph,
    Job,
    JobKey,
    Run,
    RunFilter,
    RunState,
    Signal,
    StageRecord,
    StageTally,
    WorkerRecord,
)


def run(tx: Transaction, run_id: RunId) -> Run | None:
    """The run, or None."""
    row = tx.execute(sql.RUN, (run_id,)).fetchone()
    return None if row is None else read_run(row)


def run_by_key(tx: Transaction, workflow: WorkflowId, key: str) -> Run | None:
    """The run that was started under the key, or None."""
    row = tx.execute(sql.RUN_BY_KEY, (workflow, key)).fetchone()
    return None if row is None else read_run(row)


def run_state(tx: Transaction, run_id: RunId) -> RunState | None:
    """The run and its tallies, or None."""
    found = run(tx, run_id)
    if found is None:
        return None
    ended = {row[0]: row[1:] for row in tx.execute(sql.STAGE_TALLY, (run_id,)).fetchall()}
    present = {row[0]: row[1:] for row in tx.execute(sql.JOB_TALLY, (run_id,)).fetchall()}
    stages: dict[StageId, StageTally] = {}
    for stage in ended | present:
        completed, failed, cancelled, skipped = ended.get(stage, (0, 0, 0, 0))
        active, parked = present.get(stage, (0, 0))
        stages[stage] = StageTally(
            completed=completed, failed=failed, cancelled=cancelled, skipped=skipped, active=active, parked=parked
        )
    return RunState(run=found, stages=stages)


def runs(tx: Transaction, where: RunFilter, *, limit: int, before: RunId | None) -> list[Run]:
    """Matching runs, newest first."""
    from mainspring.adapters.sql.reads import sqlite_runs

    statement, values = sqlite_runs(where, limit=limit, before=before)
    return [read_run(row) for row in tx.execute(statement, values).fetchall()]


def finished(tx: Transaction, run_ids: str) -> list[Run]:
    """Those of the runs (a JSON array of ids) that are terminal."""
    return [read_run(row) for row in tx.execute(sql.RUNS_FINISHED, (run_ids,)).fetchall()]


def jobs(tx: Transaction, run_id: RunId) -> list[Job]:
    """The run's jobs, by key."""
    return [read_job(row) for row in tx.execute(sql.JOBS, (run_id,)).fetchall()]


def job(tx: Transaction, key: JobKey) -> Job | None:
    """One job, or None."""
    row = tx.execute(sql.JOB, (key.run_id, key.stage, key.index)).fetchone()
    return None if row is None else read_job(row)


def stages(tx: Transaction, run_id: RunId, only: Collection[StageId] | None) -> list[StageRecord]:
    """Ended stages, by stage and index."""
    if only is None:
        return [read_stage(row) for row in tx.execute(sql.STAGES, (run_id,)).fetchall()]
    asked = json.dumps(list(only))
    return [read_stage(row) for row in tx.execute(sql.STAGES_ONLY, (run_id, asked)).fetchall()]


def attempts(tx: Transaction, run_id: RunId) -> list[AttemptRecord]:
    """Tries that did not end their stage, by start."""
    return [read_attempt(row) for row in tx.execute(sql.ATTEMPTS, (run_id,)).fetchall()]


def inbox(tx: Transaction, run_id: RunId) -> list[Signal]:
    """Unconsumed signals, in order of arrival."""
    return [read_signal(row) for row in tx.execute(sql.INBOX, (run_id,)).fetchall()]


def signal(tx: Transaction, run_id: RunId, signal_id: SignalId) -> Signal | None:
    """A signal the run received, or None."""
    row = tx.execute(sql.SIGNAL, (run_id, signal_id)).fetchone()
    return None if row is None else read_signal(row)


def answer(tx: Transaction, command: str, key: str) -> Answer | None:
    """The remembered answer, or None."""
    row = tx.execute(sql.ANSWER, (command, key)).fetchone()
    return None if row is None else Answer(command=row[0], key=row[1], request_hash=row[2], result=row[3])


def graph(tx: Transaction, fingerprint: Fingerprint) -> Graph | None:
    """A stored shape, or None."""
    row = tx.execute(sql.GRAPH, (fingerprint,)).fetchone()
    return None if row is None else Graph(fingerprint=row[0], shape=row[1])


def expired_leases(tx: Transaction, limit: int) -> list[ExpiredLease]:
    """Leases that ran out, the longest expired first."""
    rows = tx.execute(sql.LEASES_EXPIRED, (tx.now, limit)).fetchall()
    return [ExpiredLease(job=read_job(row), run_status=read_run_status(row[-1])) for row in rows]


def overdue_runs(tx: Transaction, limit: int) -> list[RunId]:
    """Runs past their deadline, the most overdue first."""
    return [row[0] for row in tx.execute(sql.RUNS_OVERDUE, (tx.now, limit)).fetchall()]


def next_upkeep(tx: Transaction) -> datetime | None:
    """The earliest end of a lease or deadline of an active run, or None."""
    firsts = [tx.execute(statement).fetchone()[0] for statement in (sql.LEASE_FIRST, sql.DEADLINE_FIRST)]
    return maybe_from_micros(min((first for first in firsts if first is not None), default=None))


def workers(tx: Transaction) -> list[WorkerRecord]:
    """Recorded workers, by id."""
    return [read_worker(row) for row in tx.execute(sql.WORKERS).fetchall()]
