"""The Change: everything one decision wants written, and the guards under which it may be.

A Change is plain data. Everything of it is written, or nothing: an adapter checks every guard and gate under the locks
it writes with, and many Changes may share one transaction. A failed guard or gate is ``StaleChange``.

* **Guards** must still hold when the Change is written: ``run`` and ``run_guard`` (revision), ``leases``, ``unleased``,
  ``outbox`` (the relay's lease), ``replays`` (the dead letter is there).
* **Gates** are unique keys: "insert, on conflict do nothing" that decides whether the rest is written: ``create`` (its
  id, and workflow + key), ``signals`` (run + id), ``answer`` (command + key), ``stages`` (run + stage + index).
* A Change writes at most one run exclusively (``create`` or ``run``), and may wake others.
"""

from datetime import datetime

import attrs

from mainspring.ports.names import LeaseId, Payload, Route, RunId, SinkName, StageId
from mainspring.ports.records import (
    Answer,
    AttemptRecord,
    EventDraft,
    Failure,
    Graph,
    Job,
    JobKey,
    JobPhase,
    Polling,
    Run,
    RunStatus,
    Signal,
    StageRecord,
    StageStatus,
)
from mainspring.ports.sinks import DEFAULT_SINK


@attrs.frozen(kw_only=True)
class RunGuard:
    """Shared guard: the run exists and stands at this revision. Nothing is bumped."""

    run_id: RunId
    revision: int


@attrs.frozen(kw_only=True, slots=False)
class RunPatch:
    """Exclusive guard and write: the run stands at ``revision``; afterwards at ``revision + bump``.

    A field that is None leaves the column as it is.
    """

    run_id: RunId
    revision: int
    bump: int = 1
    status: RunStatus | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output: Payload | None = None
    failure: Failure | None = None
    cancel_reason: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class LeaseGuard:
    """The job is leased under exactly this lease id. Never by time, but for ``expired``."""

    key: JobKey
    lease_id: LeaseId
    wakes: int | None = None  #: and its wake count is still this
    expired: bool = False  #: and ``lease_until`` is before the store's time, seen under the lock


@attrs.frozen(kw_only=True)
class UnleasedGuard:
    """The job exists, is not leased, and nobody has claimed it since it was read (``token``)."""

    key: JobKey
    token: int


@attrs.frozen(kw_only=True, slots=False)
class JobMove:
    """The job row at ``key`` afterwards stands as told here; wake count, token and priority stay as they are.

    Retry, suspension, release and reap give up the lease; a linear hand-over moves the row to another stage and may
    keep it. ``progress`` is cleared.
    """

    key: JobKey
    stage: StageId  #: where it stands afterwards; ``key.stage`` unless handed over
    index: int  #: likewise; a mapped instance that stays keeps its own
    route: Route
    phase: JobPhase = JobPhase.READY
    available_at: datetime | None
    not_before: datetime | None = None
    attempt: int
    max_attempts: int
    input: Payload | None = None
    claimed_at: datetime | None = None  #: with ``keep_lease``: when the attempt at the new stage began
    keep_lease: bool = False
    polling: Polling | None = None


@attrs.frozen(kw_only=True)
class Unpark:
    """The ``count`` lowest parked instances of a stage become ready, available at ``at``."""

    run_id: RunId
    stage: StageId
    count: int
    at: datetime


@attrs.frozen(kw_only=True)
class EndJobs:
    """Every job row of the run that is left, leased or not, goes; each leaves a stage row with ``status``.

    Applied after all other job writes of the Change. A leased one is thereby fenced.
    """

    run_id: RunId
    status: StageStatus
    at: datetime


@attrs.frozen(kw_only=True)
class Progress:
    """The body's latest word on its progress, kept on the job row."""

    key: JobKey
    data: str  #: JSON text


@attrs.frozen(kw_only=True)
class Wake:
    """Wakes all jobs of a run, whatever stage they stand at, at the moment ``at``.

    Each job's wake count grows by one. An unleased job's ``available_at`` becomes the earlier of what it was (None is
    never) and ``max(at, not_before)``; with ``hurry`` (a cancel) ``not_before`` is cleared first.
    """

    run_id: RunId
    at: datetime
    hurry: bool = False


@attrs.frozen(kw_only=True)
class Postponed:
    """An event whose publication failed: its run's events wait until ``until``."""

    run_id: RunId
    seq: int
    tries: int
    until: datetime


@attrs.frozen(kw_only=True)
class OutboxSettlement:
    """What became of the events that one sink was given. Guarded by its relay's lease id."""

    sink: SinkName = DEFAULT_SINK
    lease_id: LeaseId
    published: tuple[tuple[RunId, int], ...] = ()  #: deleted
    postponed: tuple[Postponed, ...] = ()
    dead: tuple[tuple[RunId, int, str], ...] = ()  #: moved to the dead letters, with the last error


@attrs.frozen(kw_only=True)
class Replayed:
    """A dead letter that is to wait again, at its old place among its run's events, as if never tried.

    Guard: it is still there.
    """

    sink: SinkName
    run_id: RunId
    seq: int
    discarded: bool = False  #: it is only deleted: nobody wants the event any more


@attrs.frozen(kw_only=True, slots=False)
class Change:
    """One atomic, guarded write. See the module's text for the order of guards, gates and writes."""

    run: RunPatch | None = None
    run_guard: RunGuard | None = None
    leases: tuple[LeaseGuard, ...] = ()
    unleased: tuple[UnleasedGuard, ...] = ()

    create: Run | None = None
    graph: Graph | None = None  #: stored if its fingerprint is not there yet
    signals: tuple[Signal, ...] = ()
    answer: Answer | None = None

    stages: tuple[StageRecord, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    job_deletes: tuple[JobKey, ...] = ()
    job_moves: tuple[JobMove, ...] = ()
    #: inserted; one that is leased is so for ``lease_until - claimed_at`` from the store's time on
    jobs: tuple[Job, ...] = ()
    unpark: tuple[Unpark, ...] = ()
    progress: Progress | None = None
    end_jobs: EndJobs | None = None
    wakes: tuple[Wake, ...] = ()
    events: tuple[EventDraft, ...] = ()
    outbox: OutboxSettlement | None = None
    replays: tuple[Replayed, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to write and nothing to guard."""
        return self == _EMPTY


_EMPTY = Change()
