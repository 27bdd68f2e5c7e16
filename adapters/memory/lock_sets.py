"""What a batch of Changes locks, in one order for everybody: runs, then jobs, then relays, then unique keys.

The rule: whatever a guard looks at is locked before it is looked at. Rows are locked by key, whether or not they are
there; a unique key is locked by whoever is about to insert it, as a unique index has it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from mainspring.adapters.memory.row_locks import LockKey
from mainspring.adapters.memory.store import MemoryStore
from mainspring.ports.change import Change
from mainspring.ports.names import RunId, SinkName
from mainspring.ports.records import Answer, JobKey, Run

Part = Callable[[MemoryStore, Change], Iterable[LockKey]]

_RUN, _JOB, _RELAY, _UNIQUE = range(4)


def run(run_id: RunId) -> LockKey:
    """The lock of a run's row."""
    return (_RUN, "run", run_id)


def job(key: JobKey) -> LockKey:
    """The lock of a job's row."""
    return (_JOB, "job", key.run_id, key.stage, key.index)


def relay(sink: SinkName) -> LockKey:
    """The lock of a sink's relay."""
    return (_RELAY, "relay", sink)


def run_keys(run: Run) -> Iterator[LockKey]:
    """The locks of a run's unique keys."""
    yield (_UNIQUE, "run id", run.id)
    if run.key is not None:
        yield (_UNIQUE, "run key", run.workflow, run.key)


def answer(answer: Answer) -> LockKey:
    """The lock of an answer's unique key."""
    return (_UNIQUE, "answer", answer.command, answer.key)


def runs(_store: MemoryStore, change: Change) -> Iterator[LockKey]:
    """Runs that are written, guarded, woken, or have jobs ended, unparked or events numbered."""
    if change.run is not None:
        yield run(change.run.run_id)
    if change.run_guard is not None:
        yield run(change.run_guard.run_id)
    if change.end_jobs is not None:
        yield run(change.end_jobs.run_id)
    for several in (change.wakes, change.unpark, change.events):
        for part in several:
            yield run(part.run_id)


def jobs(store: MemoryStore, change: Change) -> Iterator[LockKey]:
    """Jobs that are guarded, moved, deleted, unparked, told of; and all those of runs that are woken or ended."""
    for several in (change.leases, change.unleased, change.job_moves):
        for part in several:
            yield job(part.key)
    for key in change.job_deletes:
        yield job(key)
    if change.progress is not None:
        yield job(change.progress.key)
    for unpark in change.unpark:
        for key in store.job_index.parked(unpark.run_id, unpark.stage, unpark.count):
            yield job(key)
    for whole in (*change.wakes, *(() if change.end_jobs is None else (change.end_jobs,))):
        for row in store.job_index.of(whole.run_id):
            yield job(row.key)


def relays(_store: MemoryStore, change: Change) -> Iterator[LockKey]:
    """The relay's row, by which settling is guarded; and the dead letters that are replayed."""
    if change.outbox is not None:
        yield relay(change.outbox.sink)
    for replayed in change.replays:
        yield (_RELAY, "dead letter", replayed.sink, replayed.run_id, replayed.seq)


def unique_keys(_store: MemoryStore, change: Change) -> Iterator[LockKey]:
    """Every gate of the Change."""
    if change.create is not None:
        yield from run_keys(change.create)
    for signal in change.signals:
        yield (_UNIQUE, "signal", signal.run_id, signal.id)
    if change.answer is not None:
        yield answer(change.answer)
    for record in change.stages:
        yield (_UNIQUE, "stage", record.run_id, record.stage, record.index)


PARTS: tuple[Part, ...] = (runs, jobs, relays, unique_keys)
"""In the order of locking. Jobs are looked for once the runs are locked: nobody adds any then."""


def of_part(part: Part, store: MemoryStore, changes: Sequence[Change]) -> list[LockKey]:
    """The locks of one part for all these Changes, in the order of locking."""
    return sorted({key for change in changes for key in part(store, change)})
