"""Sweeping: what may go, and how it goes. Only what is looked at under its locks is deleted.

``found`` decides, ``sweep`` writes; between the two a client that is used like a server lets others run.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta

import attrs

from mainspring.adapters.memory import lock_sets
from mainspring.adapters.memory.row_locks import LockKey
from mainspring.adapters.memory.store import MemoryStore, Tombstone, stage_key
from mainspring.adapters.memory.tables import Transaction
from mainspring.ports.names import RunId
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Answer, JobKey, Run, Swept

Take = Callable[[Iterable[LockKey]], bool]
"""Takes all of these locks at once, or tells that another holds one."""


@attrs.frozen(kw_only=True)
class Found:
    """What a sweep is to delete."""

    runs: list[Run]
    answers: list[Answer]

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.runs and not self.answers


def _nobody_else(_keys: Iterable[LockKey]) -> bool:
    return True


def found(
    store: MemoryStore, runs: timedelta | None, answers: timedelta | None, limit: int, take: Take = _nobody_else
) -> Found:
    """What is old enough, needed by nobody, and not locked by others. Hold the store's lock."""
    now = store.clock.now()
    going: list[Run] = []
    for run in () if runs is None else _ended(store, now, runs):
        if len(going) >= limit:
            break
        if not _is_needed(store, run) and take((lock_sets.run(run.id), *lock_sets.run_keys(run))):
            going.append(run)
    forgotten: list[Answer] = []
    for answer in () if answers is None else _given(store, now, answers):
        if len(forgotten) >= limit:
            break
        if take((lock_sets.answer(answer),)):
            forgotten.append(answer)
    return Found(runs=going, answers=forgotten)


def _ended(store: MemoryStore, now: datetime, age: timedelta) -> Iterator[Run]:
    """Runs that ended so long ago, the oldest first."""
    ended = [
        (run.finished_at, run.id, run)
        for run in store.runs.rows()
        if run.status in TERMINAL_RUN_STATUSES and run.finished_at is not None and now - run.finished_at >= age
    ]
    return (run for _, _, run in sorted(ended, key=lambda entry: entry[:2]))


def _given(store: MemoryStore, now: datetime, age: timedelta) -> Iterator[Answer]:
    """Answers that were given so long ago, the oldest first."""
    given = [
        (at, (answer.command, answer.key), answer)
        for answer in store.answers.rows()
        if (at := store.answered.get((answer.command, answer.key))) is not None and now - at >= age
    ]
    return (answer for _, _, answer in sorted(given, key=lambda entry: entry[:2]))


def _is_needed(store: MemoryStore, run: Run) -> bool:
    parent = None if run.parent_run is None else store.runs.get(run.parent_run)
    return (
        bool(store.job_index.of(run.id))
        or store.outbox_index.waits(run.id)
        or any(buried.letter.event.run_id == run.id for buried in store.dead_letters.rows())
        or (parent is not None and parent.status not in TERMINAL_RUN_STATUSES)
        or any(child.parent_run == run.id and child.status not in TERMINAL_RUN_STATUSES for child in store.runs.rows())
        or any(later.rerun_of == run.id for later in store.runs.rows())
    )


def sweep(store: MemoryStore, found: Found) -> Swept:
    """Delete what was found. Hold the store's lock."""
    with store.transaction() as transaction:
        for run in found.runs:
            _delete(store, run, transaction)
        for answer in found.answers:
            transaction.put(store.answers, (answer.command, answer.key), None)
            transaction.put(store.answered, (answer.command, answer.key), None)
    return Swept(runs=tuple(run.id for run in found.runs), answers=len(found.answers))


def _delete(store: MemoryStore, run: Run, transaction: Transaction) -> None:
    for stage in store.stages_by_run.of(run.id):
        transaction.put(store.stages, stage_key(stage), None)
    for attempt in store.attempts_by_run.of(run.id):
        key = JobKey(attempt.run_id, attempt.stage, attempt.index)
        transaction.put(store.attempts, (key, attempt.lease_id), None)
    for signal in store.signals_by_run.of(run.id):
        transaction.put(store.signals, (signal.run_id, signal.id), None)
    transaction.put(store.counters, run.id, None)
    transaction.put(store.runs, run.id, None)
    transaction.put(store.tombstones, run.id, Tombstone(at=store.clock.now(), run_id=run.id))


def tombstones(store: MemoryStore, age: timedelta, limit: int) -> list[RunId]:
    """Runs that were swept so long ago. Hold the store's lock."""
    now = store.clock.now()
    old = sorted(tombstone for tombstone in store.tombstones.rows() if now - tombstone.at >= age)
    return [tombstone.run_id for tombstone in old[: max(limit, 0)]]


def lift(store: MemoryStore, run_ids: Collection[RunId]) -> None:
    """Delete these tombstones. Hold the store's lock."""
    with store.transaction() as transaction:
        for run_id in dict.fromkeys(run_ids):
            if store.tombstones.get(run_id) is not None:
                transaction.put(store.tombstones, run_id, None)
