"""Every table of stored statuses: ``status -> event -> status``. Nothing else decides a status.

The diagrams in ARCHITECTURE.md are generated from these tables (``mermaid``). What an active stage is doing is not
stored: ``activity`` reads it off the job row.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from mainspring.ports.errors import CommandError
from mainspring.ports.records import Job, JobPhase, RunStatus, StageStatus


class RunEvent(StrEnum):
    """What may happen to a run."""

    BEGIN = "begin"  #: its first attempt made a durable Change
    COMPLETE = "complete"  #: its last stage completed
    FAIL = "fail"  #: a stage failed for good, or the deadline passed
    CANCEL = "cancel"  #: asked to stop while attempts are under way
    SETTLE = "settle"  #: asked to stop, and nothing is under way any more


class StageEvent(StrEnum):
    """What may end a stage."""

    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    SKIP = "skip"


class JobEvent(StrEnum):
    """What may happen to a job's phase."""

    UNPARK = "unpark"
    BLOCK = "block"
    UNBLOCK = "unblock"


class StageStanding(StrEnum):
    """Whether a stage has a stage row yet."""

    ACTIVE = "active"


RUN: Mapping[RunStatus, Mapping[RunEvent, RunStatus]] = {
    RunStatus.PENDING: {
        RunEvent.BEGIN: RunStatus.RUNNING,
        RunEvent.FAIL: RunStatus.FAILED,
        RunEvent.CANCEL: RunStatus.CANCELLING,
        RunEvent.SETTLE: RunStatus.CANCELLED,
    },
    RunStatus.RUNNING: {
        RunEvent.COMPLETE: RunStatus.COMPLETED,
        RunEvent.FAIL: RunStatus.FAILED,
        RunEvent.CANCEL: RunStatus.CANCELLING,
        RunEvent.SETTLE: RunStatus.CANCELLED,
    },
    RunStatus.CANCELLING: {
        RunEvent.SETTLE: RunStatus.CANCELLED,
    },
    RunStatus.COMPLETED: {},
    RunStatus.FAILED: {},
    RunStatus.CANCELLED: {},
}

STAGE: Mapping[StageStatus | StageStanding, Mapping[StageEvent, StageStatus]] = {
    StageStanding.ACTIVE: {
        StageEvent.COMPLETE: StageStatus.COMPLETED,
        StageEvent.FAIL: StageStatus.FAILED,
        StageEvent.CANCEL: StageStatus.CANCELLED,
        StageEvent.SKIP: StageStatus.SKIPPED,
    },
    StageStatus.COMPLETED: {},
    StageStatus.FAILED: {},
    StageStatus.CANCELLED: {},
    StageStatus.SKIPPED: {},
}

JOB: Mapping[JobPhase, Mapping[JobEvent, JobPhase]] = {
    JobPhase.PARKED: {JobEvent.UNPARK: JobPhase.READY},
    JobPhase.READY: {JobEvent.BLOCK: JobPhase.BLOCKED},
    JobPhase.BLOCKED: {JobEvent.UNBLOCK: JobPhase.READY},
}


class IllegalTransitionError(CommandError):
    """An event met a status in which it cannot happen: a mistake in a decision, not in a request."""


_S = TypeVar("_S", bound=StrEnum)
_E = TypeVar("_E", bound=StrEnum)
_T = TypeVar("_T", bound=StrEnum)


def step(table: Mapping[_S, Mapping[_E, _T]], status: _S, event: _E) -> _T:
    """The status after the event.

    Raises:
        IllegalTransitionError: the table has no such edge.
    """
    after = table[status].get(event)
    if after is None:
        possible = ", ".join(table[status]) or "nothing, it is final"
        msg = f"{event!s} cannot happen in status {status!s}; possible: {possible}"
        raise IllegalTransitionError(msg)
    return after


class Activity(StrEnum):
    """What an active stage is doing."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    RETRYING = "retrying"
    SUSPENDED = "suspended"
    PARKED = "parked"
    BLOCKED = "blocked"


def activity(job: Job, now: datetime) -> Activity:
    """What the job's stage is doing, read off its row at the store's time ``now``."""
    if job.lease_id is not None:
        return Activity.RUNNING
    if job.phase is JobPhase.PARKED:
        return Activity.PARKED
    if job.phase is JobPhase.BLOCKED:
        return Activity.BLOCKED
    if job.available_at is not None and job.available_at <= now:
        return Activity.QUEUED
    if job.not_before is not None:
        return Activity.RETRYING if job.attempt else Activity.SCHEDULED
    return Activity.SUSPENDED


def mermaid(table: Mapping[_S, Mapping[_E, _T]]) -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for status, edges in table.items():
        lines += [f"    {status} --> {after}: {event}" for event, after in edges.items()]
        if not edges:
            lines.append(f"    {status} --> [*]")
    return "\n".join(lines) + "\n"
