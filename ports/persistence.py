"""Persistence: where runs live. One store, asked through five small protocols, each named for who needs it.

What every caller may rely on:

* A commit is atomic and durable when it returns; a failed guard or gate raises ``StaleChange`` and nothing is written.
* A read sees every finished commit and is one snapshot.
* Time is the store's: leases and due times are compared with ``now()``, never with a caller's clock.
* Any method may raise a ``PortError``: ``UnavailableError`` (try again), ``ReadOnlyError``, ``StoreFullError``,
  ``SchemaError``; ``commit`` also ``UnknownOutcomeError``.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from mainspring.ports.change import Change
from mainspring.ports.names import Fingerprint, LeaseId, Route, RunId, SignalId, SinkName, StageId, WorkerId, WorkflowId
from mainspring.ports.records import (
    Answer,
    AttemptRecord,
    Backlog,
    Event,
    ExpiredLease,
    ExtendAnswer,
    Graph,
    Job,
    JobKey,
    Lease,
    Pointer,
    ReadyJob,
    Run,
    RunFilter,
    RunState,
    Signal,
    StageRecord,
    Swept,
    WorkerRecord,
)
from mainspring.ports.sinks import DEFAULT_SINK, EVERY_EVENT, DeadLetter, EventFilter, Sink, WaitingEvent


class RunStore(Protocol):
    """What commands and readers need: nouns to read, and one guarded write."""

    async def now(self) -> datetime:
        """The store's time."""
        ...

    async def commit(self, change: Change) -> None:
        """Write the whole Change durably, or nothing.

        Raises:
            StaleChange: a guard or gate did not hold; nothing was written.
            UnknownOutcomeError: written whole or not at all, nobody knows which.
        """
        ...

    async def run(self, run_id: RunId) -> Run | None:
        """The run, or None."""
        ...

    async def run_by_key(self, workflow: WorkflowId, key: str) -> Run | None:
        """The run that was started under this key, or None."""
        ...

    async def run_state(self, run_id: RunId) -> RunState | None:
        """The run and its tallies in one snapshot, or None."""
        ...

    async def runs(self, where: RunFilter, *, limit: int, before: RunId | None = None) -> list[Run]:
        """Matching runs, newest first (by id, descending); ``before`` continues after the last one seen."""
        ...

    async def finished(self, run_ids: Collection[RunId]) -> list[Run]:
        """Those of the given runs that have reached a terminal status, in no order. Unknown ids are left out."""
        ...

    async def jobs(self, run_id: RunId) -> list[Job]:
        """The run's job rows, by key."""
        ...

    async def job(self, key: JobKey) -> Job | None:
        """One job row, or None."""
        ...

    async def stages(self, run_id: RunId, only: Collection[StageId] | None = None) -> list[StageRecord]:
        """Ended stages of the run (of the given ids), by stage and index."""
        ...

    async def attempts(self, run_id: RunId) -> list[AttemptRecord]:
        """Tries that did not end their stage, by start."""
        ...

    async def inbox(self, run_id: RunId) -> list[Signal]:
        """Signals nobody consumed yet, in order of arrival."""
        ...

    async def signal(self, run_id: RunId, signal_id: SignalId) -> Signal | None:
        """A signal the run ever received, or None."""
        ...

    async def answer(self, command: str, key: str) -> Answer | None:
        """The remembered answer, or None."""
        ...

    async def graph(self, fingerprint: Fingerprint) -> Graph | None:
        """A stored shape, or None."""
        ...

    async def dead_letters(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[DeadLetter]:
        """Events that were given up on, the oldest first, of a run in ``seq`` order."""
        ...


class LeaseStore(Protocol):
    """What hosts that execute stages need: set-wise writes that decide nothing."""

    async def claim(
        self,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        """Lease up to ``limit`` due, ready, unleased jobs of these routes in one conditional write.

        Highest priority first, then the earliest ``available_at``, then the key. Each gets a new random lease id, a
        fencing token greater than any token of its run before, ``lease_until`` = store's time + ``length``,
        ``claimed_at``, and ``attempt`` + 1. ``only`` claims among the given rows. A lease that ran out is not
        claimable: reaping makes it so.
        """
        ...

    async def extend(self, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
        """Move ``lease_until`` to store's time + ``length`` for each lease still held; tell lost ones and wake counts.

        Answers in the order asked. A lease that ran out but was not reaped is still held, and is extended.
        """
        ...

    async def ready_among(self, keys: Sequence[JobKey]) -> list[ReadyJob]:
        """Those of the given jobs that are ready and unleased, with their route and moment, in no order.

        Left out: what is not there, leased, parked, blocked, or waits for a wake-up.
        """
        ...

    async def next_due(self, routes: Collection[Route]) -> datetime | None:
        """The earliest moment at which a ready, unleased job of these routes is or becomes claimable, or None."""
        ...


ANNOUNCED_AFTER = timedelta(seconds=2)
"""A job that is due so long and leased by nobody is announced: the message that told of it may be lost."""

SELDOMEST = timedelta(hours=1)
"""However old a job is, it is announced that often: its messages may be lost, or taken by who does not serve it."""


class UpkeepStore(Protocol):
    """What the bounded ticks of upkeep read; what they write are Changes, but for rows that decide nothing."""

    async def announce(self, limit: int, again_after: timedelta) -> list[Pointer]:
        """Pointers to up to ``limit`` ready, unleased jobs of which nobody told lately, the longest unheard first.

        Those that are due for ``ANNOUNCED_AFTER``, and were not announced lately since they became due. They count as
        announced from now on, for ``again_after`` or for as long as they have been due already (but not for more than
        ``SELDOMEST``), whichever is longer: of many who ask, one gets each, and the messages of a job that nobody has a
        slot for stay few. A wake-up never puts the next announcement off. For transports that carry pointers.
        """
        ...

    async def expired_leases(self, limit: int) -> list[ExpiredLease]:
        """Jobs whose ``lease_until`` is before the store's time, the longest expired first."""
        ...

    async def overdue_runs(self, limit: int) -> list[RunId]:
        """Runs that are not terminal and whose deadline has passed, the most overdue first."""
        ...

    async def next_upkeep(self) -> datetime | None:
        """The earliest ``lease_until`` of any lease or deadline of any active run, or None."""
        ...

    async def record_worker(self, worker: WorkerRecord) -> None:
        """Insert or replace the worker's row."""
        ...

    async def forget_worker(self, worker: WorkerId) -> None:
        """Delete the worker's row, if there."""
        ...

    async def workers(self) -> list[WorkerRecord]:
        """All recorded workers, by id."""
        ...

    async def backlog(self, most: int = 1_000) -> Backlog:
        """What waits, by route, in one snapshot. Cheap however much that is: no count goes beyond ``most``.

        ``most`` bounds each route's due and later jobs and the events; leased, parked and blocked jobs are counted
        among the first ``most`` of the whole store. Jobs that only a wake-up makes due are not counted.
        """
        ...


class OutboxStore(Protocol):
    """What relays need, one per sink. Settling what they published, and replaying dead letters, are Changes."""

    async def sinks(self) -> list[Sink]:
        """The sinks that commits write events for, by name: kept in the store, the same for every process.

        Each event is written once for each sink that wants it, and counts in its run's numbers as soon as there is any
        sink. Without sinks no events are written.
        """
        ...

    async def add_sink(self, sink: Sink) -> None:
        """Write events for this sink, too, from now on. One of that name is there: its types become these."""
        ...

    async def remove_sink(self, name: SinkName) -> None:
        """Forget the sink, if there: its waiting events and its dead letters go, none is written any more."""
        ...

    async def lease_relay(self, lease_id: LeaseId, length: timedelta, sink: SinkName = DEFAULT_SINK) -> bool:
        """Take or keep the sink's one relay lease under this id; False while another holds it."""
        ...

    async def release_relay(self, lease_id: LeaseId, sink: SinkName = DEFAULT_SINK) -> None:
        """Give the sink's relay lease back, if held under this id."""
        ...

    async def unpublished(self, limit: int, sink: SinkName = DEFAULT_SINK) -> list[Event]:
        """The sink's events as they stand: oldest first, of a run in ``seq`` order.

        Runs whose oldest is postponed are left out.
        """
        ...

    async def waiting_events(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[WaitingEvent]:
        """Whatever waits to be published, postponed or not: by sink, then the oldest first."""
        ...


class RetentionStore(Protocol):
    """What keeps the tables lean: set-wise writes that decide nothing. Ages are told by the store's time.

    A swept run leaves a tombstone: it says that the run was here and is gone, so that what is left of it elsewhere (its
    blobs) can be told from what another store may need. While it stands, ``commit`` refuses to create a run of that id.
    """

    async def sweep(self, *, runs: timedelta | None, answers: timedelta | None, limit: int) -> Swept:
        """Delete up to ``limit`` runs that ended at least ``runs`` ago, and as many answers of at least that age.

        None: none of them. The oldest go first. With a run go all its rows: stages, attempts, signals, tags; its key is
        free again. Stays: a run that is not terminal or has a job; of which an event waits to be published, or a dead
        letter to be looked at; whose parent or child is not terminal; of which there is a rerun, for it names what the
        run put out. Rows that others hold locked are passed over.
        """
        ...

    async def tombstones(self, age: timedelta, limit: int) -> list[RunId]:
        """Runs that were swept at least ``age`` ago and whose tombstones still stand, the oldest first."""
        ...

    async def lift_tombstones(self, run_ids: Collection[RunId]) -> None:
        """Delete these tombstones, those that are there: nothing is left of these runs."""
        ...


class Persistence(RunStore, LeaseStore, UpkeepStore, OutboxStore, RetentionStore, Protocol):
    """All of it: what an adapter gives."""

    async def close(self) -> None:
        """Finish what was handed in and let go of every resource. Further calls raise ``UnavailableError``."""
        ...
