"""Functions of the memory adapter, each with one rule broken: to be put in the place of the right ones."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

import attrs

from mainspring.adapters.memory import claims, guards, relay, writes
from mainspring.adapters.memory.indexes import DueEntry, JobIndex
from mainspring.adapters.memory.store import MemoryStore
from mainspring.adapters.memory.tables import Transaction
from mainspring.ports.change import Change, JobMove, Wake
from mainspring.ports.clock import Clock
from mainspring.ports.names import LeaseId, Route, RunId, SinkName, StageId
from mainspring.ports.records import Event, ExpiredLease, Job, JobKey, JobPhase
from mainspring.ports.sinks import DEFAULT_SINK, Sink


def write_then_check(store: MemoryStore, change: Change) -> None:
    """Nothing is taken back."""
    for write in writes.WRITES:
        if write is not writes.jobs_moved or all(store.jobs.get(move.key) for move in change.job_moves):
            write(store, change, Transaction())
    guards.check(store, change)


def take_nothing_back(transaction: Transaction) -> None:
    pass


def waits_for_nothing(store: MemoryStore, sink: SinkName, run_id: RunId, now: datetime) -> bool:
    return False


def release_anybodys(store: MemoryStore, sink: SinkName, lease_id: LeaseId) -> None:
    store.relays.write(sink, None)


def claimable_though_leased(job: Job) -> bool:
    return job.phase is JobPhase.READY


def claimable_in_any_phase(job: Job) -> bool:
    return job.lease_id is None


def due_without_priority(self: JobIndex, routes: Collection[Route], limit: int, now: datetime) -> list[JobKey]:
    by_route: dict[Route, dict[int, Iterable[DueEntry]]] = vars(self)["_waiting"]
    entries = (entry for route in set(routes) for waiting in by_route.get(route, {}).values() for entry in waiting)
    return [JobKey(run_id, stage, index) for at, run_id, stage, index in sorted(entries) if at <= now][:limit]


def due_whenever(self: JobIndex, routes: Collection[Route], limit: int, now: datetime) -> list[JobKey]:
    return ORIGINAL_DUE(self, routes, limit, now + timedelta(days=1_000_000))


ORIGINAL_DUE = JobIndex.due


def unpark_highest(self: JobIndex, run_id: RunId, stage: StageId, count: int) -> list[JobKey]:
    return ORIGINAL_PARKED(self, run_id, stage, 1_000)[::-1][:count]


ORIGINAL_PARKED = JobIndex.parked


def end_without_a_trace(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    for job in store.job_index.of(change.end_jobs.run_id) if change.end_jobs else ():
        transaction.put(store.jobs, job.key, None)


def end_unleased_only(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    leased = [] if change.end_jobs is None else store.job_index.of(change.end_jobs.run_id)
    writes.jobs_ended(store, change, transaction)
    for job in leased:
        if job.lease_id is not None:
            transaction.put(store.jobs, job.key, job)


def number_over_all_runs(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    for draft in change.events:
        for run in store.runs.rows():
            counters = attrs.evolve(store.counted(run.id), events=store.ordinal)
            transaction.put(store.counters, run.id, counters)
        writes.events_written(store, attrs.evolve(change, events=(draft,)), transaction)


def number_from_what_is_there(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    for draft in change.events:
        there = [key[2] for key in store.outbox_index.by_age(DEFAULT_SINK) if key[1] == draft.run_id]
        counters = attrs.evolve(store.counted(draft.run_id), events=max(there, default=0))
        transaction.put(store.counters, draft.run_id, counters)
        writes.events_written(store, attrs.evolve(change, events=(draft,)), transaction)


def signals_without_order(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    for signal in change.signals:
        transaction.put(store.signals, (signal.run_id, signal.id), attrs.evolve(signal, seq=int(signal.id[-1])))


def relay_for_everybody(store: MemoryStore, sink: SinkName, lease_id: LeaseId, length: timedelta) -> bool:
    ORIGINAL_RELAY_LEASE(store, sink, lease_id, length)
    return True


def relay_for_ever(store: MemoryStore, sink: SinkName, lease_id: LeaseId, length: timedelta) -> bool:
    return ORIGINAL_RELAY_LEASE(store, sink, lease_id, timedelta(days=10_000))


def one_relay_for_all(store: MemoryStore, sink: SinkName, lease_id: LeaseId, length: timedelta) -> bool:
    return ORIGINAL_RELAY_LEASE(store, DEFAULT_SINK, lease_id, length)


ORIGINAL_RELAY_LEASE = relay.lease


def only_the_postponed_wait(store: MemoryStore, sink: SinkName, limit: int) -> list[Event]:
    now = store.clock.now()
    rows = (store.outbox.get(key) for key in store.outbox_index.by_age(sink))
    return [row.event for row in rows if row is not None and (row.until is None or row.until <= now)][:limit]


def expired_at_once(store: MemoryStore, limit: int) -> list[ExpiredLease]:
    leased = [JobKey(run_id, stage, index) for _, run_id, stage, index in store.job_index.leased]
    return [claims.expired_lease(store, key) for key in leased][:limit]


def expired_in_no_order(store: MemoryStore, limit: int) -> list[ExpiredLease]:
    return ORIGINAL_EXPIRED(store, 1_000)[::-1][:limit]


ORIGINAL_EXPIRED = claims.expired


def on_from_the_start(self: MemoryStore, clock: Clock) -> None:
    ORIGINAL_INIT(self, clock)
    self.add_sink(Sink())


ORIGINAL_INIT = MemoryStore.__init__


def the_later(job: Job, after: Job) -> dict[str, Any]:
    return {"available_at": job.available_at or after.available_at}


def pulled(job: Job, wake: Wake) -> Job:
    """Even if it is leased or must wait."""
    return attrs.evolve(job, wakes=job.wakes + 1, available_at=wake.at)


def moved_into_a_copy(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    left = [store.jobs.get(move.key) for move in change.job_moves if move.key.stage != move.stage]
    writes.jobs_moved(store, change, transaction)
    for job in left:
        if job is not None:
            transaction.put(store.jobs, job.key, job)


def move_of_any_lease(job: Job, move: JobMove) -> Job:
    return ORIGINAL_MOVED(job, attrs.evolve(move, keep_lease=True))


def move_without_lease(job: Job, move: JobMove) -> Job:
    return ORIGINAL_MOVED(job, attrs.evolve(move, keep_lease=False))


ORIGINAL_MOVED = writes.moved


def wants_everything(self: Sink, event_type: str) -> bool:
    return True


def discarded_ones_wait(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    back = tuple(attrs.evolve(replayed, discarded=False) for replayed in change.replays)
    writes.letters_replayed(store, attrs.evolve(change, replays=back), transaction)


def replayed_at_the_end(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    writes.letters_replayed(store, change, transaction)
    for replayed in change.replays:
        key = (replayed.sink, replayed.run_id, replayed.seq)
        if (row := store.outbox.get(key)) is not None:
            transaction.put(store.outbox, key, attrs.evolve(row, ordinal=store.next_ordinal(transaction)))
