"""The marks every attempt leaves: that it and its run began, the guard on its lease, and the rows of its end."""

from datetime import datetime

import attrs

from mainspring.kernel.decision import Facts
from mainspring.kernel.events import run_event, stage_event
from mainspring.kernel.transitions import RUN, STAGE, RunEvent, StageEvent, StageStanding, step
from mainspring.ports.change import JobMove, LeaseGuard, RunPatch
from mainspring.ports.evolving import evolved
from mainspring.ports.names import Payload
from mainspring.ports.records import (
    Artifact,
    AttemptRecord,
    EventDraft,
    Failure,
    Job,
    RunState,
    RunStatus,
    StageRecord,
)


@attrs.frozen(slots=False)
class Begun:
    """What an attempt's first Change carries beside its own: the run's start, the attempt's start."""

    status: RunStatus | None  #: the run's new status, if this begins it
    started_at: datetime | None
    events: tuple[EventDraft, ...]


def begin(state: RunState, job: Job, facts: Facts, *, started_told: bool) -> tuple[RunState, Begun]:
    """The run as begun by this attempt, if nothing had begun it, and what tells of both starts."""
    run = state.run
    events: list[EventDraft] = []
    status: RunStatus | None = None
    started = job.claimed_at or facts.now
    if run.status is RunStatus.PENDING:
        status = step(RUN, run.status, RunEvent.BEGIN)
        state = RunState(run=evolved(run, status=status, started_at=started), stages=state.stages)
        events.append(run_event("run.started", run.id, started))
    if not started_told and job.polling is None:  # a check is no start: there may be thousands
        events.append(started_event(job, started))
    return state, Begun(status, started if status else None, tuple(events))


def started_event(job: Job, at: datetime) -> EventDraft:
    """An attempt began."""
    return stage_event("stage.started", job.key, at, attempt=job.attempt, worker=job.worker)


def lease_guard(job: Job, wakes: int | None = None) -> LeaseGuard:
    """The job is still held as it was."""
    if job.lease_id is None:
        msg = f"a finish of {job.key} without a lease"
        raise AssertionError(msg)
    return LeaseGuard(key=job.key, lease_id=job.lease_id, wakes=wakes)


def patch(
    state: RunState,
    begun: Begun,
    status: RunStatus | None = None,
    *,
    finished_at: datetime | None = None,
    output: Payload | None = None,
    failure: Failure | None = None,
) -> RunPatch:
    """The exclusive guard on the run, with its start if this begins it, and its end if ``status`` is one."""
    return RunPatch(
        run_id=state.run.id,
        revision=state.run.revision,
        status=status or begun.status,
        started_at=begun.started_at,
        finished_at=finished_at,
        output=output,
        failure=failure,
    )


def patched(state: RunState, change: RunPatch) -> RunState:
    """The state after the patch was written."""
    run = state.run
    after = evolved(
        run,
        revision=run.revision + change.bump,
        status=change.status or run.status,
        started_at=change.started_at or run.started_at,
        finished_at=change.finished_at or run.finished_at,
        output=change.output if change.output is not None else run.output,
        failure=change.failure or run.failure,
    )
    return RunState(run=after, stages=state.stages)


def ended(
    job: Job,
    event: StageEvent,
    facts: Facts,
    *,
    output: Payload | None = None,
    failure: Failure | None = None,
    artifacts: tuple[Artifact, ...] = (),
) -> StageRecord:
    """The row that an ended stage leaves; written once."""
    return StageRecord(
        run_id=job.run_id,
        stage=job.stage,
        index=job.index,
        status=step(STAGE, StageStanding.ACTIVE, event),
        attempt=job.attempt,
        worker=job.worker,
        started_at=job.claimed_at if job.polling is None else job.polling.since,
        finished_at=facts.now,
        output=output,
        failure=failure,
        artifacts=artifacts,
    )


def attempt_record(job: Job, facts: Facts, failure: Failure | None) -> AttemptRecord:
    """The row a try leaves that did not end its stage."""
    if job.lease_id is None or job.worker is None:
        msg = f"a try of {job.key} ended without a lease"
        raise AssertionError(msg)
    return AttemptRecord(
        run_id=job.run_id,
        stage=job.stage,
        index=job.index,
        attempt=job.attempt,
        lease_id=job.lease_id,
        worker=job.worker,
        started_at=job.claimed_at or facts.now,
        ended_at=facts.now,
        failure=failure,
    )


def given_back(job: Job, *, attempt: int, available_at: datetime | None, not_before: datetime | None = None) -> JobMove:
    """The job without its lease, at the same stage."""
    return JobMove(
        key=job.key,
        stage=job.stage,
        index=job.index,
        route=job.route,
        available_at=available_at,
        not_before=not_before,
        attempt=attempt,
        max_attempts=job.max_attempts,
        input=job.input,
        polling=job.polling,
    )
