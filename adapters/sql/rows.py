"""Rows and records: which columns a record is made of, in which order, and how it is read from them.

Rule: everything is positional. A record is built from a row by place, so that reading costs one call and no lookups.
Moments are integers here (SQLite); a dialect that has its own type for them brings its own readers.
"""

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

from mainspring.adapters.sql.json_columns import artifacts_text, polling_text, read_artifacts, read_polling
from mainspring.adapters.sql.moments import from_micros, maybe_from_micros, to_micros
from mainspring.ports.change import JobMove
from mainspring.ports.names import Route
from mainspring.ports.records import (
    AttemptRecord,
    Event,
    Failure,
    Job,
    JobPhase,
    Run,
    RunStatus,
    Signal,
    StageRecord,
    StageStatus,
    WorkerRecord,
)

Row: TypeAlias = tuple[Any, ...]

RUN_COLUMNS = (
    "id, workflow, version, fingerprint, queue, status, revision, priority, key, request_hash, input, config, tags,"
    " metadata, created_at, start_at, started_at, finished_at, deadline, output, failure, cancel_reason, parent_run,"
    " parent_step, rerun_of, rerun_from"
)
STAGE_COLUMNS = "run_id, stage, idx, status, attempt, worker, started_at, finished_at, output, failure, artifacts"
ATTEMPT_COLUMNS = "run_id, stage, idx, attempt, lease_id, worker, started_at, ended_at, failure"
JOB_COLUMNS = (
    "run_id, stage, idx, route, phase, priority, available_at, not_before, attempt, max_attempts, wakes, token,"
    " lease_id, worker, lease_until, claimed_at, input, progress, polling"
)
SIGNAL_COLUMNS = "id, run_id, name, payload, sent_at, seq"
ANSWER_COLUMNS = "command, key, request_hash, result"
EVENT_COLUMNS = "run_id, seq, type, at, data, tries"
WORKER_COLUMNS = "id, routes, build, started_at, seen_at"

RUN_WIDTH = len(RUN_COLUMNS.split(", "))
JOB_WIDTH = len(JOB_COLUMNS.split(", "))

#: Looking a member up by its value through the class is five times slower.
_RUN_STATUS = {status.value: status for status in RunStatus}
_STAGE_STATUS = {status.value: status for status in StageStatus}
_PHASE = {phase.value: phase for phase in JobPhase}


def listed(columns: str) -> list[str]:
    """The names in a column list."""
    return columns.split(", ")


def prefixed(columns: str, table: str) -> str:
    """The column list with each name qualified by its table."""
    return ", ".join(f"{table}.{name}" for name in listed(columns))


def texts(values: Iterable[str]) -> str | None:
    """A tuple of texts as a JSON array; None if there are none."""
    members = list(values)
    return json.dumps(members) if members else None


def failure_text(failure: Failure | None) -> str | None:
    """A failure as JSON in ASCII: whatever a message held (NUL, lone surrogates) is stored and comes back."""
    if failure is None:
        return None
    fields = {
        "code": failure.code,
        "message": failure.message,
        "type": failure.type,
        "details": failure.details,
        "traceback": failure.traceback,
        "stage": failure.stage,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def read_failure(text: str | None) -> Failure | None:
    """The failure in a column. Fields that newer code may have added are left out."""
    if text is None:
        return None
    fields: dict[str, Any] = json.loads(text)
    return Failure(
        code=fields["code"],
        message=fields["message"],
        type=fields.get("type"),
        details=fields.get("details"),
        traceback=fields.get("traceback"),
        stage=fields.get("stage"),
    )


def run_row(run: Run) -> Row:
    """The run's columns, in their order."""
    return (
        run.id,
        run.workflow,
        run.version,
        run.fingerprint,
        run.queue,
        run.status.value,
        run.revision,
        run.priority,
        run.key,
        run.request_hash,
        run.input,
        run.config,
        texts(run.tags),
        run.metadata,
        to_micros(run.created_at),
        to_micros(run.start_at),
        to_micros(run.started_at),
        to_micros(run.finished_at),
        to_micros(run.deadline),
        run.output,
        failure_text(run.failure),
        run.cancel_reason,
        run.parent_run,
        run.parent_step,
        run.rerun_of,
        run.rerun_from,
    )


def read_run(row: Row) -> Run:
    """The run in a row."""
    return Run(
        id=row[0],
        workflow=row[1],
        version=row[2],
        fingerprint=row[3],
        queue=row[4],
        status=_RUN_STATUS[row[5]],
        revision=row[6],
        priority=row[7],
        key=row[8],
        request_hash=row[9],
        input=row[10],
        config=row[11],
        tags=() if row[12] is None else tuple(json.loads(row[12])),
        metadata=row[13],
        created_at=from_micros(row[14]),
        start_at=maybe_from_micros(row[15]),
        started_at=maybe_from_micros(row[16]),
        finished_at=maybe_from_micros(row[17]),
        deadline=maybe_from_micros(row[18]),
        output=row[19],
        failure=read_failure(row[20]),
        cancel_reason=row[21],
        parent_run=row[22],
        parent_step=row[23],
        rerun_of=row[24],
        rerun_from=row[25],
    )


def read_run_status(text: str) -> RunStatus:
    """The status in a column."""
    return _RUN_STATUS[text]


def stage_row(record: StageRecord) -> Row:
    """The stage's columns, in their order."""
    return (
        record.run_id,
        record.stage,
        record.index,
        record.status.value,
        record.attempt,
        record.worker,
        to_micros(record.started_at),
        to_micros(record.finished_at),
        record.output,
        failure_text(record.failure),
        artifacts_text(record.artifacts),
    )


def read_stage(row: Row) -> StageRecord:
    """The stage in a row."""
    return StageRecord(
        run_id=row[0],
        stage=row[1],
        index=row[2],
        status=_STAGE_STATUS[row[3]],
        attempt=row[4],
        worker=row[5],
        started_at=maybe_from_micros(row[6]),
        finished_at=from_micros(row[7]),
        output=row[8],
        failure=read_failure(row[9]),
        artifacts=() if row[10] is None else read_artifacts(row[10]),
    )


def attempt_row(record: AttemptRecord) -> Row:
    """The attempt's columns, in their order."""
    return (
        record.run_id,
        record.stage,
        record.index,
        record.attempt,
        record.lease_id,
        record.worker,
        to_micros(record.started_at),
        to_micros(record.ended_at),
        failure_text(record.failure),
    )


def read_attempt(row: Row) -> AttemptRecord:
    """The attempt in a row."""
    return AttemptRecord(
        run_id=row[0],
        stage=row[1],
        index=row[2],
        attempt=row[3],
        lease_id=row[4],
        worker=row[5],
        started_at=from_micros(row[6]),
        ended_at=from_micros(row[7]),
        failure=read_failure(row[8]),
    )


def job_row(job: Job) -> Row:
    """The job's columns, in their order."""
    return (
        job.run_id,
        job.stage,
        job.index,
        job.route,
        job.phase.value,
        job.priority,
        to_micros(job.available_at),
        to_micros(job.not_before),
        job.attempt,
        job.max_attempts,
        job.wakes,
        job.token,
        job.lease_id,
        job.worker,
        to_micros(job.lease_until),
        to_micros(job.claimed_at),
        job.input,
        job.progress,
        polling_text(job.polling),
    )


def read_job(row: Row) -> Job:
    """The job in a row."""
    return Job(
        run_id=row[0],
        stage=row[1],
        index=row[2],
        route=row[3],
        phase=_PHASE[row[4]],
        priority=row[5],
        available_at=maybe_from_micros(row[6]),
        not_before=maybe_from_micros(row[7]),
        attempt=row[8],
        max_attempts=row[9],
        wakes=row[10],
        token=row[11],
        lease_id=row[12],
        worker=row[13],
        lease_until=maybe_from_micros(row[14]),
        claimed_at=maybe_from_micros(row[15]),
        input=row[16],
        progress=row[17],
        polling=None if row[18] is None else read_polling(row[18]),
    )


def move_row(move: JobMove) -> Row:
    """Where a moved job stands afterwards, then its key: the parameters of the two statements that move a job."""
    stands = (
        move.stage,
        move.index,
        move.route,
        move.phase.value,
        to_micros(move.available_at),
        to_micros(move.not_before),
        move.attempt,
        move.max_attempts,
        move.input,
        polling_text(move.polling),
    )
    key = (move.key.run_id, move.key.stage, move.key.index)
    return (*stands, to_micros(move.claimed_at), *key) if move.keep_lease else (*stands, *key)


def read_signal(row: Row) -> Signal:
    """The signal in a row."""
    return Signal(id=row[0], run_id=row[1], name=row[2], payload=row[3], sent_at=from_micros(row[4]), seq=row[5])


def read_event(row: Row) -> Event:
    """The event in a row."""
    return Event(run_id=row[0], seq=row[1], type=row[2], at=from_micros(row[3]), data=row[4], tries=row[5])


def worker_row(worker: WorkerRecord) -> Row:
    """The worker's columns, in their order."""
    return (
        worker.id,
        texts(worker.routes),
        worker.build,
        to_micros(worker.started_at),
        to_micros(worker.seen_at),
    )


def read_worker(row: Row) -> WorkerRecord:
    """The worker in a row."""
    return WorkerRecord(
        id=row[0],
        routes=tuple(Route(route) for route in json.loads(row[1] or "[]")),
        build=row[2],
        started_at=from_micros(row[3]),
        seen_at=from_micros(row[4]),
    )
