"""The records that cross the ports: runs, stages, jobs, leases, attempts, signals, events.

All are frozen values. Which status may follow which is decided in ``kernel.transitions`` only. Those that are made anew
at every step of a run have no slots: they are made and changed in half the time.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

import attrs

from mainspring.ports.names import (
    BlobKey,
    Fingerprint,
    LeaseId,
    Payload,
    Route,
    RunId,
    SignalId,
    SinkName,
    StageId,
    Version,
    WorkerId,
    WorkflowId,
)


class RunStatus(StrEnum):
    """A run's stored status."""

    PENDING = "pending"
    RUNNING = "running"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StageStatus(StrEnum):
    """How a stage ended; while it is active, its job row tells what it is doing."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class JobPhase(StrEnum):
    """Whether a job may be claimed at all."""

    READY = "ready"
    PARKED = "parked"  #: a mapped stage's instance beyond the bound on parallel ones
    BLOCKED = "blocked"  #: only other code can go on (divergence); waits for another build


@attrs.frozen(kw_only=True)
class Failure:
    """Why a stage or a run failed. Every text is cut to a bounded length before it is stored."""

    code: str  #: stable and short: ``failed``, ``timed_out``, ``worker_lost``, ``invalid_input``, ``invalid_output`` …
    message: str
    type: str | None = None  #: the exception's class, qualified
    details: str | None = None  #: JSON text, or None
    traceback: str | None = None
    stage: StageId | None = None


@attrs.frozen(kw_only=True, slots=False)
class Run:
    """One execution of a workflow."""

    id: RunId
    workflow: WorkflowId
    version: Version
    fingerprint: Fingerprint
    queue: str
    status: RunStatus
    revision: int  #: grows with every Change that is exclusive to this run
    priority: int  #: higher first
    key: str | None  #: the starter's idempotency key, unique per workflow
    request_hash: str  #: of canonical input, config and options; tells a repeat from a conflict
    input: Payload
    config: Payload | None  #: ``{stage id: config}``
    tags: tuple[str, ...]
    metadata: Payload | None
    created_at: datetime
    start_at: datetime | None  #: not before this moment
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None  #: run time-out
    output: Payload | None
    failure: Failure | None
    cancel_reason: str | None = None
    parent_run: RunId | None = None
    parent_step: str | None = None
    rerun_of: RunId | None = None  #: the run whose outputs this one took over; it is kept as long as this one
    rerun_from: StageId | None = None  #: the stage it was begun anew from


@attrs.frozen(kw_only=True)
class Artifact:
    """Bytes that a stage left beside its output."""

    name: str  #: unique in the stage's instance
    blob: BlobKey  #: where they lie; the key's last segment is their SHA-256
    size: int  #: bytes
    media_type: str


@attrs.frozen(kw_only=True, slots=False)
class StageRecord:
    """A stage (or one instance of a mapped stage) that has ended; written once."""

    run_id: RunId
    stage: StageId
    index: int  #: 0, or the instance's place in a mapped stage
    status: StageStatus
    attempt: int  #: the attempt that ended it; 0 if none began
    worker: WorkerId | None
    started_at: datetime | None
    finished_at: datetime
    output: Payload | None
    failure: Failure | None
    artifacts: tuple[Artifact, ...] = ()  #: by name


@attrs.frozen(kw_only=True)
class AttemptRecord:
    """A try that did not end its stage: it failed and will be retried, or was reaped."""

    run_id: RunId
    stage: StageId
    index: int
    attempt: int
    lease_id: LeaseId  #: names the try: a refunded attempt's number comes again
    worker: WorkerId
    started_at: datetime
    ended_at: datetime
    failure: Failure | None


@attrs.frozen(order=True, slots=False)
class JobKey:
    """Which job: jobs are locked in the order of their keys."""

    run_id: RunId
    stage: StageId
    index: int = 0


@attrs.frozen(kw_only=True)
class Polling:
    """What a stage waits for whose body returned ``Pending``: its check is called again and again with the state."""

    state: Payload
    every: timedelta  #: between two checks
    since: datetime  #: when the attempt began that returned ``Pending``
    until: datetime | None = None  #: the stage fails if it is not ready by then
    checks: int = 0  #: that found it not ready


@attrs.frozen(kw_only=True, slots=False)
class Job:
    """The standing order to execute one stage of one run. The job row is the truth; messages are hints."""

    run_id: RunId
    stage: StageId
    index: int = 0
    route: Route
    phase: JobPhase = JobPhase.READY
    priority: int = 0
    available_at: datetime | None  #: claimable from then on; None: only a wake-up makes it so
    not_before: datetime | None = None  #: a wake-up does not pull ``available_at`` before this moment
    attempt: int = 0  #: attempts begun, counted at the claim
    max_attempts: int = 1
    wakes: int = 0  #: wake-ups so far; a suspension holds only if the body saw them all
    token: int = 0  #: fencing token of the newest claim; 1 for a job that was made leased, claims give greater ones
    lease_id: LeaseId | None = None
    worker: WorkerId | None = None
    lease_until: datetime | None = None
    claimed_at: datetime | None = None  #: when the newest claim was made
    input: Payload | None = None  #: a mapped instance's element; None: read the upstream stages' outputs
    progress: str | None = None  #: JSON text: what the body last told of its progress
    polling: Polling | None = None  #: the body was called; from now on its check is

    @property
    def key(self) -> JobKey:
        """The row's key."""
        return JobKey(self.run_id, self.stage, self.index)


@attrs.frozen(kw_only=True)
class Lease:
    """The right to work on a job until a moment: what a claim returns, with what the first attempt needs."""

    job: Job  #: as claimed: lease id, worker, token, ``lease_until``, ``claimed_at`` and attempt are set
    run: Run  #: read in the same snapshot as the job

    @property
    def lease_id(self) -> LeaseId:
        """The name of this claim."""
        if self.job.lease_id is None:  # pragma: no cover - a claim always sets it
            msg = f"job {self.job.key} was claimed without a lease id"
            raise AssertionError(msg)
        return self.job.lease_id


@attrs.frozen(kw_only=True, slots=False)
class StageTally:
    """How many of a stage's instances stand where."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0
    active: int = 0  #: job rows that may be claimed, or are leased
    parked: int = 0  #: job rows beyond the bound

    @property
    def width(self) -> int:
        """All instances known of the stage."""
        return self.completed + self.failed + self.cancelled + self.skipped + self.active + self.parked


@attrs.frozen(kw_only=True, slots=False)
class RunState:
    """A run and its tallies in one snapshot: all that commands of a run decide on.

    Every Change that creates, moves or deletes a job row or ends a stage bumps ``run.revision`` and is guarded by it,
    so a state is exact as long as the run stands at its revision.
    """

    run: Run
    stages: dict[StageId, StageTally]  #: stages with at least one row; treat as read-only

    @property
    def active(self) -> int:
        """Job rows of the run, parked ones included."""
        return sum(tally.active + tally.parked for tally in self.stages.values())


@attrs.frozen(kw_only=True)
class Signal:
    """A message from outside, kept until a body consumes it. First in, first out per run and name."""

    id: SignalId
    run_id: RunId
    name: str
    payload: Payload
    sent_at: datetime
    seq: int = 0  #: the order of arrival at the run; given by the store


EventType = Literal[
    "run.created",
    "run.started",
    "run.completed",
    "run.failed",
    "run.cancelling",
    "run.cancelled",
    "run.signalled",
    "stage.started",
    "stage.completed",
    "stage.failed",
    "stage.retrying",
    "stage.cancelled",
    "stage.skipped",
    "stage.suspended",
    "stage.progress",
]


@attrs.frozen(kw_only=True, slots=False)
class EventDraft:
    """An event as a decision makes it; the commit gives it the run's next number."""

    run_id: RunId
    type: EventType
    at: datetime
    data: str  #: JSON text of fields we made ourselves, never a payload


@attrs.frozen(kw_only=True)
class Event:
    """A committed event that waits to be published. Its id, ``<run id>/<seq>``, is the same however often it comes."""

    run_id: RunId
    seq: int  #: 1, 2, 3 … per run, without gaps
    type: EventType
    at: datetime
    data: str
    tries: int = 0  #: failed publications so far

    @property
    def id(self) -> str:
        """Stable id; consumers recognise a repeat by it."""
        return f"{self.run_id}/{self.seq}"


@attrs.frozen(kw_only=True)
class Answer:
    """What a command answered under an idempotency key, remembered with its effect."""

    command: str
    key: str
    request_hash: str
    result: str  #: JSON text of the command's result


@attrs.frozen(kw_only=True)
class Graph:
    """A workflow's shape, stored once per fingerprint so that a run can be drawn without the user's code."""

    fingerprint: Fingerprint
    shape: str  #: JSON text


@attrs.frozen(kw_only=True)
class WorkerRecord:
    """A worker that was alive at ``seen_at``."""

    id: WorkerId
    routes: tuple[Route, ...]
    build: str
    started_at: datetime
    seen_at: datetime


@attrs.frozen(kw_only=True)
class RouteBacklog:
    """What waits on one route. No count is greater than what was asked for; one that stands at it may be more."""

    route: Route
    ready_due: int = 0  #: claimable now
    ready_later: int = 0  #: claimable at a later moment: retries, delayed starts
    leased: int = 0
    parked: int = 0
    blocked: int = 0
    oldest_due: datetime | None = None  #: since when the one that is due longest is


@attrs.frozen(kw_only=True)
class SinkBacklog:
    """What waits for one sink; counted as of ``RouteBacklog``."""

    sink: SinkName
    unpublished: int = 0  #: events in the outbox
    oldest_event: datetime | None = None  #: when the oldest of them happened
    dead: int = 0  #: dead letters


@attrs.frozen(kw_only=True)
class Backlog:
    """What waits in the store, for operators to look at."""

    at: datetime  #: the store's time
    routes: tuple[RouteBacklog, ...] = ()  #: those on which anything waits, by route
    sinks: tuple[SinkBacklog, ...] = ()  #: all that there are, by name

    @property
    def unpublished(self) -> int:
        """Events in the outbox, for all sinks."""
        return sum(sink.unpublished for sink in self.sinks)

    @property
    def oldest_event(self) -> datetime | None:
        """When the oldest event happened that any sink still is to get."""
        return min((sink.oldest_event for sink in self.sinks if sink.oldest_event is not None), default=None)


@attrs.frozen(kw_only=True, slots=False)
class RunFilter:
    """Which runs to list; every field that is set must hold."""

    workflow: WorkflowId | None = None
    status: tuple[RunStatus, ...] = ()
    tag: str | None = None
    key: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    rerun_of: RunId | None = None


@attrs.frozen(kw_only=True)
class ExtendAnswer:
    """What a heartbeat learned of one lease."""

    key: JobKey
    lease_id: LeaseId
    lost: bool
    wakes: int
    until: datetime | None


@attrs.frozen(kw_only=True)
class ReadyJob:
    """A ready job that nobody has leased."""

    key: JobKey
    route: Route
    due_in: timedelta  #: by the store's time; zero or less: it is due


@attrs.frozen(kw_only=True)
class ExpiredLease:
    """A lease that ran out, and the run it belongs to: what ``lease.reap`` decides on."""

    job: Job
    run_status: RunStatus


@attrs.frozen(kw_only=True)
class Swept:
    """What a sweep deleted."""

    runs: tuple[RunId, ...] = ()  #: with all their rows; each has left a tombstone
    answers: int = 0


@attrs.frozen(kw_only=True)
class Pointer:
    """All that a message ever carries."""

    run_id: RunId
    stage: StageId
    index: int = 0

    @classmethod
    def to(cls, key: JobKey) -> "Pointer":
        """The pointer to this job."""
        return cls(run_id=key.run_id, stage=key.stage, index=key.index)

    @property
    def key(self) -> JobKey:
        """The key of the job it points at."""
        return JobKey(self.run_id, self.stage, self.index)


@attrs.frozen(kw_only=True)
class Hint:
    """A transport says: look at this job; without a pointer: look for jobs."""

    receipt: str
    pointer: Pointer | None = None


TERMINAL_RUN_STATUSES: frozenset[RunStatus] = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})
"""The statuses a run never leaves; stores ask for them to tell finished runs from active ones."""
