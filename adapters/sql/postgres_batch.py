"""A batch of Changes as rows, by part of the statement that writes them (:mod:`postgres_commit`).

Rule: what a Change guards comes with it, so that its entry knows how many guards must be found.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter

import attrs

from mainspring.adapters.sql.json_columns import polling_text
from mainspring.adapters.sql.moments import to_micros
from mainspring.adapters.sql.outbox import relay_lease, stretches
from mainspring.adapters.sql.rows import Row, attempt_row, failure_text, job_row, run_row, stage_row
from mainspring.ports import batches
from mainspring.ports.change import Change, EndJobs, JobMove, OutboxSettlement, RunPatch
from mainspring.ports.errors import PortError
from mainspring.ports.names import RunId
from mainspring.ports.records import JobKey, StageRecord

Rows = dict[str, list[Row]]

_ALL_JOBS = "all jobs"


def uses(change: Change) -> batches.Uses:
    """What the Change uses of a batch: besides the rule for all stores, what one statement cannot do twice.

    Events are numbered and signals placed once per run; a wake-up locks all jobs of a run in an order of its own, so
    it does not go with Changes that lock jobs by key.
    """
    found = dict(batches.uses(change))
    for draft in change.events:
        found["events", draft.run_id] = None
    for signal in change.signals:
        found["signals", signal.run_id] = None
    for wake in change.wakes:
        found["jobs", wake.run_id] = None
    if change.wakes:
        found[_ALL_JOBS] = "woken"
    elif change.leases or change.unleased:
        found[_ALL_JOBS] = "by key"
    return found


def rows_of(changes: Sequence[Change], known_graphs: Iterable[str] = ()) -> Rows:
    """The rows of all of them.

    Raises:
        PortError: a Change writes one job twice.
    """
    rows: Rows = defaultdict(list[Row])
    known = frozenset(known_graphs)
    for c, change in enumerate(changes):
        _add(rows, c, _plain(change), known)
    for name, columns in _ORDER.items():
        if len(rows.get(name, ())) > 1:
            rows[name].sort(key=columns)
    if "runs_new" in rows:
        rows["runs_new"].sort(key=_run_order)
    return rows


#: By which columns the rows of a part are sorted: everybody locks, and inserts what is unique, in this order.
_ORDER = {
    "rg": itemgetter(1, 0),
    "lg": itemgetter(1, 2, 3),
    "dg": itemgetter(2, 3, 1),
    "wg": itemgetter(0),
    "answers_new": itemgetter(1, 2),
    "jobs_gone": itemgetter(1, 2, 3),
}


def _run_order(row: Row) -> tuple[str, str, str]:
    """Workflow, key, id."""
    return row[2], row[9] or "", row[1]


def _add(rows: Rows, c: int, change: Change, known_graphs: frozenset[str]) -> None:
    need = _add_guards(rows, c, change)
    rows["entries"].append((c, need))
    if change.run is not None:
        rows["runs_set"].append(_patch_row(c, change.run, _told_of(change, change.run.run_id)))
    if change.create is not None or change.graph is not None or change.signals or change.answer is not None:
        _add_messages(rows, c, change, known_graphs)
    if change.stages:
        rows["stages_new"] += [(c, *stage_row(record)) for record in change.stages]
    if change.attempts:
        rows["attempts_new"] += [(c, *attempt_row(record)) for record in change.attempts]
    _add_jobs(rows, c, change)
    if change.events:
        _add_events(rows, c, change)
    if change.outbox is not None:
        _settle(rows, c, change.outbox)
    for replayed in change.replays:
        rows["letters_back"].append((c, replayed.sink, replayed.run_id, replayed.seq, replayed.discarded))


# Guards.


def _add_guards(rows: Rows, c: int, change: Change) -> int:
    guarded: dict[RunId, tuple[int | None, bool]] = {}
    for wake in change.wakes:
        guarded[wake.run_id] = (None, False)  # locked, if it is there
    for draft in change.events:
        guarded[draft.run_id] = (None, True)
    if change.create is not None:
        guarded.pop(change.create.id, None)
    if change.run_guard is not None:
        guarded[change.run_guard.run_id] = (change.run_guard.revision, True)
    if change.run is not None:
        guarded[change.run.run_id] = (change.run.revision, True)
    needed = 0
    for run_id, (revision, must) in guarded.items():
        rows["rg"].append((c, run_id, revision, must))
        needed += must
    for guard in change.leases:
        key = guard.key
        row = (c, key.run_id, key.stage, key.index, guard.lease_id, guard.wakes, guard.expired, None)
        rows["lg"].append(row)
    for unleased in change.unleased:
        key = unleased.key
        rows["lg"].append((c, key.run_id, key.stage, key.index, None, None, False, unleased.token))
    _add_outbox_guards(rows, c, change)
    for wake in change.wakes:
        rows["wg"].append((wake.run_id,))
    if change.end_jobs is not None:
        rows["wg"].append((change.end_jobs.run_id,))
    return needed + len(change.leases) + len(change.unleased) + (change.outbox is not None) + len(change.replays)


def _add_outbox_guards(rows: Rows, c: int, change: Change) -> None:
    if change.outbox is not None:
        sink = change.outbox.sink
        rows["og"].append((c, sink, relay_lease(sink), change.outbox.lease_id))
    for replayed in change.replays:
        rows["dg"].append((c, replayed.sink, replayed.run_id, replayed.seq))


# Runs and messages.


def _told_of(change: Change, run_id: RunId) -> int:
    return sum(draft.run_id == run_id for draft in change.events)


def _patch_row(c: int, patch: RunPatch, events: int) -> Row:
    return (
        c,
        patch.run_id,
        patch.revision + patch.bump,
        None if patch.status is None else patch.status.value,
        to_micros(patch.started_at),
        to_micros(patch.finished_at),
        patch.output,
        failure_text(patch.failure),
        patch.cancel_reason,
        events,
    )


def _add_messages(rows: Rows, c: int, change: Change, known_graphs: frozenset[str]) -> None:
    create, graph, answer = change.create, change.graph, change.answer
    if create is not None:
        rows["runs_new"].append((c, *run_row(create), _told_of(change, create.id)))
        rows["gone"].append((c, create.id))
        if create.tags:
            rows["tags_new"] += [(c, tag, create.id) for tag in create.tags]
    if graph is not None and graph.fingerprint not in known_graphs:
        rows["graphs_new"].append((c, graph.fingerprint, graph.shape))
    for place, signal in enumerate(change.signals, 1):
        row = (c, signal.run_id, place, signal.id, signal.name, signal.payload, to_micros(signal.sent_at))
        rows["signals_new"].append(row)
    if answer is not None:
        rows["answers_new"].append((c, answer.command, answer.key, answer.request_hash, answer.result))


def _add_events(rows: Rows, c: int, change: Change) -> None:
    counts: dict[RunId, int] = {}
    events = rows["events_new"]
    for draft in change.events:
        counts[draft.run_id] = seq = counts.get(draft.run_id, 0) + 1
        events.append((c, draft.run_id, seq, draft.type, to_micros(draft.at), draft.data, len(events)))
    own = {None if change.run is None else change.run.run_id, None if change.create is None else change.create.id}
    for run_id, count in counts.items():
        if run_id not in own:
            rows["runs_set"].append((c, run_id, *(None,) * 7, count))


# Jobs.


def _add_jobs(rows: Rows, c: int, change: Change) -> None:
    if change.job_deletes:
        rows["jobs_gone"] += [(c, key.run_id, key.stage, key.index) for key in change.job_deletes]
    if change.job_moves:
        rows["jobs_moved"] += [_move_row(c, move) for move in change.job_moves]
    if change.jobs:
        rows["jobs_new"] += [(c, *job_row(job)) for job in change.jobs]
    for unpark in change.unpark:
        rows["jobs_freed"].append((c, unpark.run_id, unpark.stage, unpark.count, to_micros(unpark.at)))
    progress, end = change.progress, change.end_jobs
    if progress is not None:
        key = progress.key
        rows["jobs_told"].append((c, key.run_id, key.stage, key.index, progress.data))
    if end is not None:
        rows["jobs_ended"].append((c, end.run_id, end.status.value, to_micros(end.at)))
    for wake in change.wakes:
        rows["jobs_woken"].append((c, wake.run_id, to_micros(wake.at), wake.hurry))


def _move_row(c: int, move: JobMove) -> Row:
    key = move.key
    return (
        c,
        key.run_id,
        key.stage,
        key.index,
        move.stage,
        move.index,
        move.route,
        move.phase.value,
        to_micros(move.available_at),
        to_micros(move.not_before),
        move.attempt,
        move.max_attempts,
        move.input,
        move.keep_lease,
        to_micros(move.claimed_at),
        polling_text(move.polling),
    )


def _plain(change: Change) -> Change:
    """The Change with each job written once: what it both moves or makes and ends, it only ends."""
    keys = [*change.job_deletes, *(move.key for move in change.job_moves)]
    if len(keys) > 1 and len(set(keys)) < len(keys):
        raise PortError("a Change writes one job twice; nothing of it was written")
    end = change.end_jobs
    if end is None or not (change.job_moves or change.jobs or change.unpark or change.progress or change.wakes):
        return change
    moved = [move for move in change.job_moves if move.key.run_id == end.run_id]
    made = [job for job in change.jobs if job.run_id == end.run_id]
    ended = [_ended(end, JobKey(end.run_id, move.stage, move.index), move.attempt) for move in moved]
    return attrs.evolve(
        change,
        job_deletes=(*change.job_deletes, *(move.key for move in moved)),
        stages=(*change.stages, *ended, *(_ended(end, job.key, job.attempt) for job in made)),
        job_moves=tuple(move for move in change.job_moves if move not in moved),
        jobs=tuple(job for job in change.jobs if job not in made),
        unpark=tuple(unpark for unpark in change.unpark if unpark.run_id != end.run_id),
        progress=None if change.progress is None or change.progress.key.run_id == end.run_id else change.progress,
        wakes=tuple(wake for wake in change.wakes if wake.run_id != end.run_id),
    )


def _ended(end: EndJobs, key: JobKey, attempt: int) -> StageRecord:
    return StageRecord(
        run_id=key.run_id,
        stage=key.stage,
        index=key.index,
        status=end.status,
        attempt=attempt,
        worker=None,
        started_at=None,
        finished_at=end.at,
        output=None,
        failure=None,
    )


# The outbox.


def _settle(rows: Rows, c: int, settled: OutboxSettlement) -> None:
    if settled.published:
        rows["events_gone"] += [(c, *stretch) for stretch in stretches(settled.published)]
    for late in settled.postponed:
        rows["events_late"].append((c, late.run_id, late.seq, late.tries, to_micros(late.until)))
    for run_id, seq, error in settled.dead:
        rows["events_dead"].append((c, run_id, seq, error))
