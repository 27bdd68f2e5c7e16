"""Persistence in memory: a client of a ``MemoryStore``, passing a scheduling point before and after every effect."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from typing import TypeVar

from mainspring.adapters.memory import claims, relay, sweeping, writes
from mainspring.adapters.memory.backlog import backlog
from mainspring.adapters.memory.points import Point, straight_on
from mainspring.adapters.memory.store import MemoryStore
from mainspring.ports.change import Change
from mainspring.ports.clock import Clock, Ids
from mainspring.ports.errors import PortError, UnavailableError
from mainspring.ports.names import Fingerprint, LeaseId, Route, RunId, SignalId, SinkName, StageId, WorkerId, WorkflowId
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
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

T = TypeVar("T")


class MemoryPersistence:
    """One client of a store that lives as long as the process.

    Args:
        clock: the store's time, if this client makes a store of its own; a given store has one already.
        ids: where lease ids come from.
        store: what to share with other clients; each is a process of its own as far as races go.
        point: awaited as ``<method>:before`` and ``<method>:after``; see ``points``.
    """

    def __init__(self, clock: Clock, ids: Ids, *, store: MemoryStore | None = None, point: Point = straight_on) -> None:
        self.store = MemoryStore(clock) if store is None else store
        self._ids = ids
        self._point = point
        self._closed = False

    def another(self, point: Point = straight_on) -> "MemoryPersistence":
        """A further client of the same store."""
        return MemoryPersistence(self.store.clock, self._ids, store=self.store, point=point)

    async def _at(self, name: str, effect: Callable[[MemoryStore], T]) -> T:
        await self._point(f"{name}:before")
        if self._closed:
            raise UnavailableError("this persistence is closed; open another one")
        try:
            with self.store.lock:
                answer = effect(self.store)
        except PortError:
            await self._point(f"{name}:after")
            raise
        await self._point(f"{name}:after")
        return answer

    # RunStore

    async def now(self) -> datetime:
        return await self._at("now", lambda store: store.clock.now())

    async def commit(self, change: Change) -> None:
        await self._at("commit", lambda store: writes.commit(store, change))

    async def run(self, run_id: RunId) -> Run | None:
        return await self._at("run", lambda store: store.runs.get(run_id))

    async def run_by_key(self, workflow: WorkflowId, key: str) -> Run | None:
        def read(store: MemoryStore) -> Run | None:
            run_id = store.run_index.by_key.get((workflow, key))
            return None if run_id is None else store.runs.get(run_id)

        return await self._at("run_by_key", read)

    async def run_state(self, run_id: RunId) -> RunState | None:
        def read(store: MemoryStore) -> RunState | None:
            run = store.runs.get(run_id)
            return None if run is None else RunState(run=run, stages=store.tallies.of(run_id))

        return await self._at("run_state", read)

    async def runs(self, where: RunFilter, *, limit: int, before: RunId | None = None) -> list[Run]:
        def read(store: MemoryStore) -> list[Run]:
            ids = store.run_index.ids.descending(None if before is None else (before,))
            runs = (run for (run_id,) in ids if (run := store.runs.get(run_id)) is not None and _matches(run, where))
            return list(islice(runs, max(limit, 0)))

        return await self._at("runs", read)

    async def finished(self, run_ids: Collection[RunId]) -> list[Run]:
        def read(store: MemoryStore) -> list[Run]:
            runs = (store.runs.get(run_id) for run_id in dict.fromkeys(run_ids))
            return [run for run in runs if run is not None and run.status in TERMINAL_RUN_STATUSES]

        return await self._at("finished", read)

    async def jobs(self, run_id: RunId) -> list[Job]:
        return await self._at("jobs", lambda store: store.job_index.of(run_id))

    async def job(self, key: JobKey) -> Job | None:
        return await self._at("job", lambda store: store.jobs.get(key))

    async def stages(self, run_id: RunId, only: Collection[StageId] | None = None) -> list[StageRecord]:
        def read(store: MemoryStore) -> list[StageRecord]:
            rows = [row for row in store.stages_by_run.of(run_id) if only is None or row.stage in only]
            return sorted(rows, key=attrgetter("stage", "index"))

        return await self._at("stages", read)

    async def attempts(self, run_id: RunId) -> list[AttemptRecord]:
        def read(store: MemoryStore) -> list[AttemptRecord]:
            return sorted(store.attempts_by_run.of(run_id), key=attrgetter("started_at", "stage", "index"))

        return await self._at("attempts", read)

    async def inbox(self, run_id: RunId) -> list[Signal]:
        def read(store: MemoryStore) -> list[Signal]:
            return sorted(store.signals_by_run.of(run_id), key=attrgetter("seq"))

        return await self._at("inbox", read)

    async def signal(self, run_id: RunId, signal_id: SignalId) -> Signal | None:
        return await self._at("signal", lambda store: store.signals.get((run_id, signal_id)))

    async def answer(self, command: str, key: str) -> Answer | None:
        return await self._at("answer", lambda store: store.answers.get((command, key)))

    async def graph(self, fingerprint: Fingerprint) -> Graph | None:
        return await self._at("graph", lambda store: store.graphs.get(fingerprint))

    async def dead_letters(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[DeadLetter]:
        return await self._at("dead_letters", lambda store: relay.dead_letters(store, where, limit))

    # LeaseStore

    async def claim(
        self,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        def write(store: MemoryStore) -> list[Lease]:
            return claims.claim(
                store,
                routes,
                limit=max(limit, 0),
                length=length,
                worker=worker,
                only=only,
                new_lease_id=self._ids.new_lease_id,
            )

        return await self._at("claim", write)

    async def extend(self, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
        return await self._at("extend", lambda store: claims.extend(store, leases, length))

    async def ready_among(self, keys: Sequence[JobKey]) -> list[ReadyJob]:
        return await self._at("ready_among", lambda store: claims.ready_among(store, keys))

    async def next_due(self, routes: Collection[Route]) -> datetime | None:
        return await self._at("next_due", lambda store: store.job_index.next_due(routes))

    # UpkeepStore

    async def expired_leases(self, limit: int) -> list[ExpiredLease]:
        return await self._at("expired_leases", lambda store: claims.expired(store, limit))

    async def announce(self, limit: int, again_after: timedelta) -> list[Pointer]:
        return await self._at("announce", lambda store: claims.announce(store, limit, again_after))

    async def overdue_runs(self, limit: int) -> list[RunId]:
        def read(store: MemoryStore) -> list[RunId]:
            now = store.clock.now()
            overdue = (run_id for deadline, run_id in store.run_index.deadlines if deadline <= now)
            return list(islice(overdue, max(limit, 0)))

        return await self._at("overdue_runs", read)

    async def next_upkeep(self) -> datetime | None:
        def read(store: MemoryStore) -> datetime | None:
            firsts = (store.job_index.leased.first(), store.run_index.deadlines.first())
            return min((entry[0] for entry in firsts if entry is not None), default=None)

        return await self._at("next_upkeep", read)

    async def record_worker(self, worker: WorkerRecord) -> None:
        await self._at("record_worker", lambda store: _record(store, worker.id, worker))

    async def forget_worker(self, worker: WorkerId) -> None:
        await self._at("forget_worker", lambda store: _record(store, worker, None))

    async def workers(self) -> list[WorkerRecord]:
        return await self._at("workers", lambda store: sorted(store.workers.rows(), key=attrgetter("id")))

    async def backlog(self, most: int = 1_000) -> Backlog:
        return await self._at("backlog", lambda store: backlog(store, most))

    # OutboxStore

    async def sinks(self) -> list[Sink]:
        return await self._at("sinks", relay.sinks)

    async def add_sink(self, sink: Sink) -> None:
        await self._at("add_sink", lambda store: store.add_sink(sink))

    async def remove_sink(self, name: SinkName) -> None:
        await self._at("remove_sink", lambda store: relay.remove_sink(store, name))

    async def lease_relay(self, lease_id: LeaseId, length: timedelta, sink: SinkName = DEFAULT_SINK) -> bool:
        return await self._at("lease_relay", lambda store: relay.lease(store, sink, lease_id, length))

    async def release_relay(self, lease_id: LeaseId, sink: SinkName = DEFAULT_SINK) -> None:
        await self._at("release_relay", lambda store: relay.release(store, sink, lease_id))

    async def unpublished(self, limit: int, sink: SinkName = DEFAULT_SINK) -> list[Event]:
        return await self._at("unpublished", lambda store: relay.unpublished(store, sink, limit))

    async def waiting_events(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[WaitingEvent]:
        return await self._at("waiting_events", lambda store: relay.waiting(store, where, limit))

    # RetentionStore

    async def sweep(self, *, runs: timedelta | None, answers: timedelta | None, limit: int) -> Swept:
        def write(store: MemoryStore) -> Swept:
            return sweeping.sweep(store, sweeping.found(store, runs, answers, limit))

        return await self._at("sweep", write)

    async def tombstones(self, age: timedelta, limit: int) -> list[RunId]:
        return await self._at("tombstones", lambda store: sweeping.tombstones(store, age, limit))

    async def lift_tombstones(self, run_ids: Collection[RunId]) -> None:
        await self._at("lift_tombstones", lambda store: sweeping.lift(store, run_ids))

    async def close(self) -> None:
        """Let go of the store; it lives on for its other clients."""
        self._closed = True


def _record(store: MemoryStore, worker_id: WorkerId, worker: WorkerRecord | None) -> None:
    with store.transaction() as transaction:
        transaction.put(store.workers, worker_id, worker)


def _matches(run: Run, where: RunFilter) -> bool:
    return (
        (where.workflow is None or run.workflow == where.workflow)
        and (not where.status or run.status in where.status)
        and (where.tag is None or where.tag in run.tags)
        and (where.key is None or run.key == where.key)
        and (where.rerun_of is None or run.rerun_of == where.rerun_of)
        and (where.created_after is None or run.created_at >= where.created_after)
        and (where.created_before is None or run.created_at < where.created_before)
    )
