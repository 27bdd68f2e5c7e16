"""Writing a Change into SQLite.

Rule: every guard and gate is checked before the Change's first write, inside the transaction that writes it. The last
check and the first write may be one statement (the run's UPDATE by revision, the run's INSERT by its unique keys): if
it touches no row, nothing was written either. So a refused Change needs no undoing and its neighbours go on.
"""

from collections.abc import Sequence

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.committer import Verdict
from mainspring.adapters.sql.moments import from_micros, to_micros
from mainspring.adapters.sql.outbox import relay_lease, stretches
from mainspring.adapters.sql.rows import attempt_row, failure_text, job_row, move_row, run_row, stage_row
from mainspring.adapters.sql.sqlite_errors import is_store_failure
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.change import Change, OutboxSettlement, RunPatch
from mainspring.ports.errors import PortError, StaleChange
from mainspring.ports.evolving import leased_from
from mainspring.ports.names import SinkName
from mainspring.ports.records import EventDraft, Run


def write_batch(tx: Transaction, changes: Sequence[Change]) -> list[Verdict]:
    """Write each Change that holds, in order; tell what became of each.

    At first the whole batch is tried as it is. If one raises, the transaction is rolled back by whoever runs it and the
    batch comes again, ``careful``: each Change then has a savepoint, so that a poisoned one takes only itself along.
    """
    if not tx.careful:
        return [write_change(tx, change) for change in changes]
    return [_write_carefully(tx, change) for change in changes]


def _write_carefully(tx: Transaction, change: Change) -> Verdict:
    tx.execute("savepoint change")
    verdict: Verdict
    try:
        verdict = write_change(tx, change)
    except Exception as error:
        if is_store_failure(error):
            raise
        tx.execute("rollback to change")
        verdict = error
    tx.execute("release change")
    return verdict


def write_change(tx: Transaction, change: Change) -> StaleChange | None:
    """Write the whole Change and answer None, or write nothing and answer why."""
    refused = _guards(tx, change) or _gates(tx, change) or _write_run(tx, change)
    if refused is not None:
        return StaleChange(f"{refused}; nothing was written: load and decide again")
    _write_messages(tx, change)
    _write_ends(tx, change)
    _write_jobs(tx, change)
    if change.events and tx.sinks:
        _write_events(tx, change.events)
    if change.outbox is not None:
        _settle(tx, change.outbox)
    for back in change.replays:
        key = (back.run_id, back.seq, _sink(tx, back.sink))
        if not back.discarded:
            tx.execute(sql.LETTER_REPLAY, key)
        tx.execute(sql.LETTER_DELETE, key)
    return None


def _guards(tx: Transaction, change: Change) -> str | None:
    execute = tx.execute
    for guard in change.leases:
        key = guard.key
        row = execute(sql.LEASE_GUARD, (key.run_id, key.stage, key.index, guard.lease_id)).fetchone()
        if row is None:
            return f"the lease {guard.lease_id} of {key} is gone"
        if guard.wakes is not None and row[0] != guard.wakes:
            return f"{key} was woken {row[0]} times, not {guard.wakes}"
        if guard.expired and (row[1] is None or row[1] >= tx.now):
            return f"the lease {guard.lease_id} of {key} has not run out"
    for unleased in change.unleased:
        key = unleased.key
        if execute(sql.UNLEASED_GUARD, (key.run_id, key.stage, key.index, unleased.token)).fetchone() is None:
            return f"{key} is gone, leased, or was claimed since"
    shared = change.run_guard
    if shared is not None and execute(sql.RUN_GUARD, (shared.run_id, shared.revision)).fetchone() is None:
        return f"run {shared.run_id} does not stand at revision {shared.revision}"
    return _outbox_guards(tx, change)


def _outbox_guards(tx: Transaction, change: Change) -> str | None:
    settled = change.outbox
    if settled is not None:
        held = tx.execute(sql.RELAY_GUARD, (relay_lease(settled.sink), settled.lease_id)).fetchone()
        if held is None or _sink(tx, settled.sink) is None:
            return f"the relay's lease {settled.lease_id} is gone"
    for back in change.replays:
        if tx.execute(sql.LETTER_GUARD, (back.run_id, back.seq, _sink(tx, back.sink))).fetchone() is None:
            return f"event {back.run_id}/{back.seq} is no dead letter of the sink {back.sink}"
    return None


def _sink(tx: Transaction, name: SinkName) -> int | None:
    """The sink's number."""
    return next((number for number, sink in tx.sinks if sink.name == name), None)


def _gates(tx: Transaction, change: Change) -> str | None:
    execute = tx.execute
    create = change.create
    if create is not None and execute(sql.TOMBSTONE_GATE, (create.id,)).fetchone() is not None:
        return f"run {create.id} was here and is gone"
    for signal in change.signals:
        if execute(sql.SIGNAL_GATE, (signal.run_id, signal.id)).fetchone() is not None:
            return f"run {signal.run_id} received the signal {signal.id!r} before"
    answer = change.answer
    if answer is not None and execute(sql.ANSWER_GATE, (answer.command, answer.key)).fetchone() is not None:
        return f"{answer.command} was answered under the key {answer.key!r} before"
    for record in change.stages:
        if execute(sql.STAGE_GATE, (record.run_id, record.stage, record.index)).fetchone() is not None:
            return f"stage {record.stage!r} ({record.index}) of run {record.run_id} has ended before"
    return None


def _write_run(tx: Transaction, change: Change) -> str | None:
    """The last guard or gate and the first write in one; a Change may both create a run and patch its parent."""
    create, patch = change.create, change.run
    if create is not None and patch is not None and not _stands(tx, patch):
        return f"run {patch.run_id} does not stand at revision {patch.revision}"
    if create is not None and not _create(tx, create):
        return f"run {create.id} exists, or {create.workflow!r} was started under the key {create.key!r} before"
    if patch is not None and not _patch(tx, patch):
        return f"run {patch.run_id} does not stand at revision {patch.revision}"
    return None


def _stands(tx: Transaction, patch: RunPatch) -> bool:
    return tx.execute(sql.RUN_GUARD, (patch.run_id, patch.revision)).fetchone() is not None


def _create(tx: Transaction, run: Run) -> bool:
    created = tx.execute(sql.RUN_INSERT, run_row(run)).rowcount == 1
    if created:
        for tag in run.tags:
            tx.execute(sql.RUN_TAG_INSERT, (tag, run.id))
    return created


def _patch(tx: Transaction, patch: RunPatch) -> bool:
    revision = patch.revision + patch.bump
    columns = (
        None if patch.status is None else patch.status.value,
        to_micros(patch.started_at),
        to_micros(patch.finished_at),
        patch.output,
        failure_text(patch.failure),
        patch.cancel_reason,
    )
    if columns == _NO_COLUMNS:
        return tx.execute(sql.RUN_BUMP, (revision, patch.run_id, patch.revision)).rowcount == 1
    return tx.execute(sql.RUN_PATCH, (revision, *columns, patch.run_id, patch.revision)).rowcount == 1


_NO_COLUMNS = (None,) * 6


def _write_messages(tx: Transaction, change: Change) -> None:
    graph, answer = change.graph, change.answer
    if graph is not None and (tx.careful or graph.fingerprint not in tx.graphs):
        tx.execute(sql.GRAPH_INSERT, (graph.fingerprint, graph.shape))
        tx.graphs.add(graph.fingerprint)
    for signal in change.signals:
        sent_at = to_micros(signal.sent_at)
        tx.execute(sql.SIGNAL_INSERT, (signal.run_id, signal.id, signal.name, signal.payload, sent_at))
    if answer is not None:
        tx.execute(sql.ANSWER_INSERT, (answer.command, answer.key, answer.request_hash, answer.result, tx.now))


def _write_ends(tx: Transaction, change: Change) -> None:
    for record in change.stages:
        tx.execute(sql.STAGE_INSERT, stage_row(record))
    for attempt in change.attempts:
        tx.execute(sql.ATTEMPT_INSERT, attempt_row(attempt))


def _write_jobs(tx: Transaction, change: Change) -> None:
    execute = tx.execute
    for key in change.job_deletes:
        execute(sql.JOB_DELETE, (key.run_id, key.stage, key.index))
    for move in change.job_moves:
        if execute(sql.JOB_HAND_OVER if move.keep_lease else sql.JOB_MOVE, move_row(move)).rowcount != 1:
            raise PortError(f"there is no job {move.key} to move; guard the move by its lease or as unleased")
    if change.jobs:
        now = from_micros(tx.now)
        tx.executemany(sql.JOB_INSERT, [job_row(leased_from(job, now)) for job in change.jobs])
    for unpark in change.unpark:
        execute(sql.JOBS_UNPARK, (to_micros(unpark.at), unpark.run_id, unpark.stage, unpark.count))
    progress, end = change.progress, change.end_jobs
    if progress is not None:
        key = progress.key
        execute(sql.JOB_PROGRESS, (progress.data, key.run_id, key.stage, key.index))
    if end is not None:
        execute(sql.JOBS_END, (end.status.value, to_micros(end.at), end.run_id))
        execute(sql.JOBS_DROP, (end.run_id,))
    for wake in change.wakes:
        execute(sql.JOBS_HURRY if wake.hurry else sql.JOBS_WAKE, (to_micros(wake.at), wake.run_id))


def _write_events(tx: Transaction, drafts: Sequence[EventDraft]) -> None:
    """Number each run's events from its counter. The write lock makes the numbers gapless."""
    counts: dict[str, int] = {}
    for draft in drafts:
        count = counts.get(draft.run_id)
        if count is None:
            row = tx.execute(sql.EVENT_COUNT, (draft.run_id,)).fetchone()
            if row is None:
                raise PortError(f"run {draft.run_id} does not exist, yet an event tells of it")
            count = row[0]
        counts[draft.run_id] = count = count + 1
        event = (draft.run_id, count, draft.type, to_micros(draft.at), draft.data)
        for number, sink in tx.sinks:
            if sink.wants(draft.type):
                tx.execute(sql.EVENT_INSERT, (number, *event))
    for run_id, count in counts.items():
        tx.execute(sql.EVENT_COUNT_SET, (count, run_id))


def _settle(tx: Transaction, settled: OutboxSettlement) -> None:
    sink = _sink(tx, settled.sink)
    for run_id, first, last in stretches(settled.published):
        tx.execute(sql.EVENTS_DELETE, (run_id, first, last, sink))
    for waits in settled.postponed:
        tx.execute(sql.EVENT_POSTPONE, (waits.tries, to_micros(waits.until), waits.run_id, waits.seq, sink))
    for run_id, seq, error in settled.dead:
        tx.execute(sql.EVENT_BURY, (error, tx.now, run_id, seq, sink))
        tx.execute(sql.EVENT_DELETE, (run_id, seq, sink))
