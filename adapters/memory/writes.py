"""What a Change writes, one function for each of its fields, applied in the order of the table at the foot.

The guards have been checked; what still fails takes every write back.
"""

from collections.abc import Callable
from typing import Any

import attrs

from mainspring.adapters.memory import guards
from mainspring.adapters.memory.indexes import Outgoing
from mainspring.adapters.memory.store import Buried, Counters, MemoryStore, stage_key
from mainspring.adapters.memory.tables import Transaction
from mainspring.ports.change import Change, JobMove, RunPatch, Wake
from mainspring.ports.errors import PortError
from mainspring.ports.evolving import evolved, leased_from
from mainspring.ports.records import Event, Job, JobKey, JobPhase, StageRecord
from mainspring.ports.sinks import DeadLetter

Write = Callable[[MemoryStore, Change, Transaction], None]


def commit(store: MemoryStore, change: Change) -> None:
    """Write everything of the Change, or nothing. Hold the store's lock."""
    guards.check(store, change)
    with store.transaction() as transaction:
        apply(store, change, transaction)


def apply(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """Write the Change, whose guards were checked. On an error some of it is written: roll back to before."""
    for write in WRITES:
        write(store, change, transaction)
    transaction.changes.append(change)


def run_created(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """The new run, and its workflow's shape unless it is known."""
    if change.create is not None:
        transaction.put(store.runs, change.create.id, change.create)
    if change.graph is not None and store.graphs.get(change.graph.fingerprint) is None:
        transaction.put(store.graphs, change.graph.fingerprint, change.graph)


def run_patched(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """The columns that the patch names, and the revision."""
    patch = change.run
    run = None if patch is None else store.runs.get(patch.run_id)
    if patch is None or run is None:
        return
    columns: dict[str, Any] = {name: value for name in _PATCHED if (value := getattr(patch, name)) is not None}
    transaction.put(store.runs, run.id, evolved(run, revision=run.revision + patch.bump, **columns))


_PATCHED = tuple(field.name for field in attrs.fields(RunPatch) if field.name not in {"run_id", "revision", "bump"})


def signals_received(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """Each signal, with its place in the run's order of arrival."""
    for signal in change.signals:
        counters = store.counted(signal.run_id)
        seq = counters.signals + 1
        transaction.put(store.counters, signal.run_id, attrs.evolve(counters, signals=seq))
        transaction.put(store.signals, (signal.run_id, signal.id), attrs.evolve(signal, seq=seq))


def answer_remembered(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """What the command answered."""
    if change.answer is not None:
        transaction.put(store.answered, (change.answer.command, change.answer.key), store.clock.now())
        transaction.put(store.answers, (change.answer.command, change.answer.key), change.answer)


def stages_ended(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """Ended stages, and tries that did not end theirs."""
    for record in change.stages:
        transaction.put(store.stages, stage_key(record), evolved(record))
    for attempt in change.attempts:
        key = JobKey(attempt.run_id, attempt.stage, attempt.index)
        transaction.insert(store.attempts, (key, attempt.lease_id), attrs.evolve(attempt))


def jobs_deleted(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """Jobs that are done."""
    for key in change.job_deletes:
        transaction.put(store.jobs, key, None)


def jobs_moved(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """Jobs that stand elsewhere afterwards: later, or at another stage."""
    for move in change.job_moves:
        job = store.jobs.get(move.key)
        if job is None:
            raise PortError(f"there is no job {move.key} to move; guard the move by its lease or as unleased")
        there = moved(job, move)
        transaction.put(store.jobs, move.key, None)
        transaction.insert(store.jobs, there.key, there)


def moved(job: Job, move: JobMove) -> Job:
    """The job as the move leaves it."""
    kept = move.keep_lease
    return evolved(
        job,
        stage=move.stage,
        index=move.index,
        route=move.route,
        phase=move.phase,
        available_at=move.available_at,
        not_before=move.not_before,
        attempt=move.attempt,
        max_attempts=move.max_attempts,
        input=move.input,
        lease_id=job.lease_id if kept else None,
        worker=job.worker if kept else None,
        lease_until=job.lease_until if kept else None,
        claimed_at=(move.claimed_at or job.claimed_at) if kept else None,
        progress=None,
        polling=move.polling,
    )


def jobs_created(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """New jobs."""
    for given in change.jobs:
        job = leased_from(given, store.clock.now())
        transaction.insert(store.jobs, job.key, job)
        store.remember_token(transaction, job)


def jobs_unparked(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """The lowest parked instances of a stage become ready."""
    for unpark in change.unpark:
        for key in store.job_index.parked(unpark.run_id, unpark.stage, unpark.count):
            if (job := store.jobs.get(key)) is not None:
                ready = evolved(job, phase=JobPhase.READY, available_at=unpark.at)
                transaction.put(store.jobs, key, ready)


def progress_told(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """The body's latest word."""
    if change.progress is not None and (job := store.jobs.get(change.progress.key)) is not None:
        transaction.put(store.jobs, job.key, evolved(job, progress=change.progress.data))


def jobs_ended(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """Every job that is left of the run becomes an ended stage."""
    end = change.end_jobs
    if end is None:
        return
    for job in store.job_index.of(end.run_id):
        transaction.put(store.jobs, job.key, None)
        record = StageRecord(
            run_id=job.run_id,
            stage=job.stage,
            index=job.index,
            status=end.status,
            attempt=job.attempt,
            worker=job.worker,
            started_at=job.claimed_at,
            finished_at=end.at,
            output=None,
            failure=None,
        )
        transaction.insert(store.stages, stage_key(record), record)


def jobs_woken(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """All jobs of the woken runs."""
    for wake in change.wakes:
        for job in store.job_index.of(wake.run_id):
            transaction.put(store.jobs, job.key, woken(job, wake))


def woken(job: Job, wake: Wake) -> Job:
    """The job as the wake-up leaves it."""
    if job.lease_id is not None:
        return evolved(job, wakes=job.wakes + 1)
    not_before = None if wake.hurry else job.not_before
    moment = wake.at if not_before is None else max(wake.at, not_before)
    if job.available_at is not None:
        moment = min(moment, job.available_at)
    return evolved(job, wakes=job.wakes + 1, available_at=moment, not_before=not_before)


def events_written(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """Events, numbered per run without gaps, for each sink that wants them; none where there is no sink."""
    sinks = store.sinks.rows() if change.events else []
    for draft in change.events if sinks else ():
        if store.runs.get(draft.run_id) is None:
            raise PortError(f"run {draft.run_id} does not exist, yet an event tells of it")
        counters = store.counted(draft.run_id)
        seq = counters.events + 1
        event = Event(run_id=draft.run_id, seq=seq, type=draft.type, at=draft.at, data=draft.data)
        transaction.put(
            store.counters, draft.run_id, Counters(events=seq, token=counters.token, signals=counters.signals)
        )
        ordinal = store.next_ordinal(transaction)
        for sink in sinks:
            if sink.wants(draft.type):
                outgoing = Outgoing(sink=sink.name, ordinal=ordinal, event=event)
                transaction.put(store.outbox, outgoing.key, outgoing)


def outbox_settled(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """Published events go, failed ones wait, hopeless ones are kept apart."""
    settled = change.outbox
    if settled is None:
        return
    sink = settled.sink
    for run_id, seq in settled.published:
        transaction.put(store.outbox, (sink, run_id, seq), None)
    for postponed in settled.postponed:
        key = (sink, postponed.run_id, postponed.seq)
        if (outgoing := store.outbox.get(key)) is not None:
            event = attrs.evolve(outgoing.event, tries=postponed.tries)
            transaction.put(store.outbox, key, attrs.evolve(outgoing, event=event, until=postponed.until))
    for run_id, seq, error in settled.dead:
        key = (sink, run_id, seq)
        if (outgoing := store.outbox.get(key)) is not None:
            letter = DeadLetter(sink=sink, event=outgoing.event, error=error, died_at=store.clock.now())
            transaction.put(store.dead_letters, key, Buried(ordinal=outgoing.ordinal, letter=letter))
            transaction.put(store.outbox, key, None)


def letters_replayed(store: MemoryStore, change: Change, transaction: Transaction) -> None:
    """Dead letters wait again, each at its old place, as if never tried; or are gone."""
    for replayed in change.replays:
        key = (replayed.sink, replayed.run_id, replayed.seq)
        if (buried := store.dead_letters.get(key)) is not None:
            event = attrs.evolve(buried.letter.event, tries=0)
            transaction.put(store.dead_letters, key, None)
            if not replayed.discarded:
                outgoing = Outgoing(sink=replayed.sink, ordinal=buried.ordinal, event=event)
                transaction.insert(store.outbox, key, outgoing)


WRITES: tuple[Write, ...] = (
    run_created,
    run_patched,
    signals_received,
    answer_remembered,
    stages_ended,
    jobs_deleted,
    jobs_moved,
    jobs_created,
    jobs_unparked,
    progress_told,
    jobs_ended,
    jobs_woken,
    events_written,
    outbox_settled,
    letters_replayed,
)
