"""The state behind memory persistence: its tables, their indexes, its settings and its one lock.

Several ``MemoryPersistence`` clients may share one store; that is what "two processes" means in a test.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import Generic, TypeVar

import attrs

from mainspring.adapters.memory.indexes import JobIndex, OutboxIndex, Outgoing, RunIndex, Tallies
from mainspring.adapters.memory.tables import Table, Transaction, Watch
from mainspring.ports.clock import Clock
from mainspring.ports.names import Fingerprint, LeaseId, RunId, SignalId, WorkerId
from mainspring.ports.records import (
    Answer,
    AttemptRecord,
    Event,
    Graph,
    Job,
    JobKey,
    Run,
    Signal,
    StageRecord,
    WorkerRecord,
)

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
    token: int = 0  #: the greatest fencing token any of its jobs ever had
    signals: int = 0  #: the order of arrival of its newest signal


@attrs.frozen(kw_only=True)
class RelayLease:
    """Who may publish, until when."""

    lease_id: LeaseId
    until: datetime


@attrs.frozen(kw_only=True)
class DeadLetter:
    """An event that was given up on."""

    ordinal: int
    event: Event
    error: str


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
        self._open: Transaction | None = None
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
        self.outbox: Table[tuple[RunId, int], Outgoing] = Table("outbox", self.outbox_index.changed)
        self.dead_letters: Table[tuple[RunId, int], DeadLetter] = Table("dead letters")
        self.relays: Table[str, RelayLease] = Table("relay")  #: one row, while there is a lease
        self.settings: Table[str, bool] = Table("settings")

    @contextmanager
    def transaction(self, ordinals: Iterator[int] | None = None) -> Generator[Transaction, None, None]:
        """Writes that are all made, or (on any error) all taken back; one inside another is part of it.

        Hold the lock.
        """
        if self._open is not None:
            yield self._open
            return
        transaction = self._open = Transaction(ordinals)
        try:
            yield transaction
        except BaseException:
            transaction.roll_back()
            raise
        finally:
            self._open = None
        if self.watch is not None and (committed := transaction.committed()) is not None:
            self.watch(committed)

    @property
    def relay(self) -> RelayLease | None:
        """Who may publish, if anybody; set under the lock."""
        return self.relays.get("lease")

    @relay.setter
    def relay(self, lease: RelayLease | None) -> None:
        with self.transaction() as transaction:
            transaction.put(self.relays, "lease", lease)

    @property
    def events_written(self) -> bool:
        """Whether commits write their events; set under the lock."""
        return self.settings.get("events_written") is True

    @events_written.setter
    def events_written(self, on: bool) -> None:
        with self.transaction() as transaction:
            transaction.put(self.settings, "events_written", on)

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


def stage_key(record: StageRecord) -> JobKey:
    """The key of the job that ended as this record."""
    return JobKey(record.run_id, record.stage, record.index)
