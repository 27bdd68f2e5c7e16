"""The state behind memory persistence: its tables, their indexes, its settings and its one lock.

Several ``MemoryPersistence`` clients may share one store; that is what "two processes" means in a test.
"""

from collections.abc import Iterator
from datetime import datetime
from threading import Lock
from types import TracebackType
from typing import Generic, TypeVar

import attrs

from mainspring.adapters.memory.indexes import EventKey, JobIndex, OutboxIndex, Outgoing, RunIndex, Tallies
from mainspring.adapters.memory.tables import Table, Transaction, Watch
from mainspring.ports.clock import Clock
from mainspring.ports.names import Fingerprint, LeaseId, RunId, SignalId, SinkName, WorkerId
from mainspring.ports.records import (
    Answer,
    AttemptRecord,
    Graph,
    Job,
    JobKey,
    Run,
    Signal,
    StageRecord,
    WorkerRecord,
)
from mainspring.ports.sinks import DeadLetter, Sink

R = TypeVar("R", StageRecord, AttemptRecord, Signal)


class ByRun(Generic[R]):
    """Rows of one table by their run."""

    def __init__(self) -> None:
        self._rows: dict[RunId, dict[int, R]] = {}  # by the row's identity: dropped in O(1)

    def of(self, run_id: RunId) -> list[R]:
        """The run's rows, in no order."""
        return list(self._rows.get(run_id, {}).values())

    def changed(self, before: R | None, after: R | None) -> None:
        """Watch the table."""
        if before is not None:
            rows = self._rows[before.run_id]
            del rows[id(before)]
            if not rows:
                del self._rows[before.run_id]
        if after is not None:
            self._rows.setdefault(after.run_id, {})[id(after)] = after


@attrs.frozen(kw_only=True)
class Counters:
    """What a run has counted so far; never goes back, though its rows may go."""

    events: int = 0  #: the number of its newest event
    token: int = 1  #: the greatest fencing token any of its jobs ever had; the first is kept for a job made leased
    signals: int = 0  #: the order of arrival of its newest signal


@attrs.frozen(kw_only=True)
class RelayLease:
    """Who may publish to a sink, until when."""

    lease_id: LeaseId
    until: datetime


@attrs.frozen(kw_only=True)
class Buried:
    """A dead letter, and its event's place in the order of commits."""

    ordinal: int
    letter: DeadLetter


@attrs.frozen(kw_only=True, order=True)
class Tombstone:
    """A run that was swept, and when."""

    at: datetime
    run_id: RunId


class MemoryStore:
    """All tables. Hold ``lock`` while reading several or writing any.

    ``watch``, if set, is told of every transaction; an error of its own reaches whoever committed.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = Lock()
        self.watch: Watch | None = None
        self.open: Transaction | None = None  #: the one under way
        self.ordinal = 0  #: of the newest event, over all runs
        self.tallies = Tallies()
        self.run_index = RunIndex()
        self.job_index = JobIndex(self.tallies)
        self.outbox_index = OutboxIndex()
        self.stages_by_run: ByRun[StageRecord] = ByRun()
        self.attempts_by_run: ByRun[AttemptRecord] = ByRun()
        self.signals_by_run: ByRun[Signal] = ByRun()
        self.runs: Table[RunId, Run] = Table("runs", self.run_index.changed)
        self.jobs: Table[JobKey, Job] = Table("jobs", self.job_index.changed)
        self.stages: Table[JobKey, StageRecord] = Table("stages", self._stage_changed)
        self.attempts: Table[tuple[JobKey, LeaseId], AttemptRecord] = Table("attempts", self.attempts_by_run.changed)
        self.signals: Table[tuple[RunId, SignalId], Signal] = Table("signals", self.signals_by_run.changed)
        self.counters: Table[RunId, Counters] = Table("counters")
        self.answers: Table[tuple[str, str], Answer] = Table("answers")
        self.answered: Table[tuple[str, str], datetime] = Table("answered")  #: when each answer was given
        self.tombstones: Table[RunId, Tombstone] = Table("tombstones")
        self.graphs: Table[Fingerprint, Graph] = Table("graphs")
        self.workers: Table[WorkerId, WorkerRecord] = Table("workers")
        self.sinks: Table[SinkName, Sink] = Table("sinks")
        self.outbox: Table[EventKey, Outgoing] = Table("outbox", self.outbox_index.changed)
        self.dead_letters: Table[EventKey, Buried] = Table("dead letters")
        self.relays: Table[SinkName, RelayLease] = Table("relays")
        #: of jobs that were announced: the row as it stood then, and until when it counts as told
        self.announced: Table[JobKey, tuple[Job, datetime]] = Table("announced")

    def transaction(self, ordinals: Iterator[int] | None = None) -> "Scope":
        """Writes that are all made, or (on any error) all taken back; one inside another is part of it.

        Hold the lock.
        """
        return Scope(self, ordinals)

    def add_sink(self, sink: Sink) -> None:
        """Write events for this sink from now on. Hold the lock."""
        with self.transaction() as transaction:
            transaction.put(self.sinks, sink.name, sink)

    def counted(self, run_id: RunId) -> Counters:
        """What the run has counted so far."""
        return self.counters.get(run_id) or Counters()

    def next_ordinal(self, transaction: Transaction) -> int:
        """A number that the transaction drew before, or one greater than any; gaps are harmless."""
        if transaction.ordinals is not None and (drawn := next(transaction.ordinals, None)) is not None:
            return drawn
        return self.draw_ordinals(1)[0]

    def draw_ordinals(self, count: int) -> range:
        """Numbers greater than any before, whether or not they will be used: a sequence never rolls back."""
        first = self.ordinal + 1
        self.ordinal += count
        return range(first, first + count)

    def remember_token(self, transaction: Transaction, job: Job) -> None:
        """Count the job's token as given, though the row may go."""
        if job.token > self.counted(job.run_id).token:
            transaction.put(self.counters, job.run_id, attrs.evolve(self.counted(job.run_id), token=job.token))

    def _stage_changed(self, before: StageRecord | None, after: StageRecord | None) -> None:
        self.tallies.stage_changed(before, after)
        self.stages_by_run.changed(before, after)


class Scope:
    """A ``with`` around the writes of one transaction."""

    __slots__ = ("_inner", "_ordinals", "_store")

    def __init__(self, store: MemoryStore, ordinals: Iterator[int] | None) -> None:
        self._store = store
        self._ordinals = ordinals
        self._inner = False  #: it is part of one that was under way

    def __enter__(self) -> Transaction:
        """The transaction under way, or a new one."""
        store = self._store
        if store.open is not None:
            self._inner = True
            return store.open
        transaction = store.open = Transaction(self._ordinals)
        return transaction

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        store = self._store
        transaction = store.open
        if self._inner or transaction is None:
            return
        try:
            if kind is not None:
                transaction.roll_back()
        finally:
            store.open = None
        if kind is None and store.watch is not None and (committed := transaction.committed()) is not None:
            store.watch(committed)


def stage_key(record: StageRecord) -> JobKey:
    """The key of the job that ended as this record."""
    return JobKey(record.run_id, record.stage, record.index)
