"""Persistence on a SQLite file: the embedded default.

Rule: this file only says which work each method is; the thread runs it (:mod:`sqlite_thread`), the committer gathers
Changes (:mod:`committer`), and the statements stand in :mod:`sqlite_statements`.
"""

import json
from collections.abc import Collection, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs

from mainspring.adapters.sql import sqlite_backlog, sqlite_claim, sqlite_outbox, sqlite_read, sqlite_sweep
from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.committer import Committer, Verdict
from mainspring.adapters.sql.moments import maybe_from_micros
from mainspring.adapters.sql.rows import worker_row
from mainspring.adapters.sql.sqlite_change import write_batch
from mainspring.adapters.sql.sqlite_claim import Claim
from mainspring.adapters.sql.sqlite_errors import translate
from mainspring.adapters.sql.sqlite_location import check_place, locate
from mainspring.adapters.sql.sqlite_open import connect, move_schema
from mainspring.adapters.sql.sqlite_rounds import Runner
from mainspring.adapters.sql.sqlite_thread import SqliteThread
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.adapters.sql.sqlite_transport import SQLiteTransport
from mainspring.ports.change import Change
from mainspring.ports.clock import Clock, Ids
from mainspring.ports.errors import UnavailableError
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

_LOCK_TIMEOUT = timedelta(seconds=30)


def open_sqlite(
    place: str | Path,
    *,
    clock: Clock,
    ids: Ids,
    migrate: bool = True,
    allow_other_host: bool = False,
    lock_timeout: timedelta = _LOCK_TIMEOUT,
) -> "tuple[SQLitePersistence, SQLiteTransport]":
    """Open (and create, and migrate) a file as a store. Blocks for some milliseconds; needs no running loop.

    Args:
        place: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or a path.
        clock: the store's time.
        ids: where lease ids come from.
        migrate: bring the schema up to date; otherwise an older one is refused.
        allow_other_host: take over a file that another host has used, as ``?allow_other_host=true`` in the URL does.
        lock_timeout: how long to wait for other processes' locks before ``UnavailableError``.

    Raises:
        SettingsError: no store can be there, or the file is no database or another host's.
        SchemaError: the schema does not fit this code.
        ReadOnlyError, StoreFullError, UnavailableError: the file failed.
    """
    location = locate(place)
    if allow_other_host:
        location = attrs.evolve(location, allow_other_host=True)
    location = attrs.evolve(location, path=location.path.absolute())
    connection = connect(location, migrate=migrate, lock_timeout=lock_timeout.total_seconds())
    thread = SqliteThread(connection, str(location.path), clock, lock_timeout)
    return SQLitePersistence(thread, location.path, clock, ids), SQLiteTransport(thread, location.path)


def migrate_sqlite(place: str | Path, revision: str = "head") -> None:
    """Bring a file's schema to a revision (``head``, ``base`` or a number), and create the file if need be.

    Raises:
        SettingsError: no store can be there.
        SchemaError: the file's revision, or the asked one, is not known to this code.
        ReadOnlyError, UnavailableError: the file failed or stayed locked; nothing was changed.
    """
    path = locate(place).path.absolute()
    check_place(path)
    move_schema(path, revision)


class SQLitePersistence:
    """A store in one file, shared by any number of processes of one host. Made by :func:`open_sqlite`.

    Args:
        thread: runs the work; the connection's one thread, or what stands in for it (:mod:`sqlite_inline`).
        path: the file, for messages.
        clock: the store's time.
        ids: where lease ids come from.
    """

    def __init__(self, thread: Runner, path: Path, clock: Clock, ids: Ids, *, context: Context | None = None) -> None:
        self._thread = thread
        self._path = str(path)
        self._clock = clock
        self._ids = ids
        self._committer = Committer(self._write_batch, context=context)
        self._closed = False

    async def _write_batch(self, changes: Sequence[Change]) -> list[Verdict]:
        verdicts = await self._thread.write(lambda tx: write_batch(tx, changes))
        return [None if verdict is None else self._told(verdict) for verdict in verdicts]

    def _told(self, verdict: Exception) -> Exception:
        told = translate(verdict, self._path)
        return told if isinstance(told, Exception) else verdict

    # RunStore

    async def now(self) -> datetime:
        if self._closed:
            raise UnavailableError(f"the store {self._path} is closed; open it again")
        return self._clock.now()

    async def commit(self, change: Change) -> None:
        if self._closed:
            raise UnavailableError(f"the store {self._path} is closed; open it again")
        await self._committer.commit(change)

    async def run(self, run_id: RunId) -> Run | None:
        return await self._thread.read(lambda tx: sqlite_read.run(tx, run_id))

    async def run_by_key(self, workflow: WorkflowId, key: str) -> Run | None:
        return await self._thread.read(lambda tx: sqlite_read.run_by_key(tx, workflow, key))

    async def run_state(self, run_id: RunId) -> RunState | None:
        return await self._thread.read(lambda tx: sqlite_read.run_state(tx, run_id))

    async def runs(self, where: RunFilter, *, limit: int, before: RunId | None = None) -> list[Run]:
        return await self._thread.read(lambda tx: sqlite_read.runs(tx, where, limit=max(limit, 0), before=before))

    async def finished(self, run_ids: Collection[RunId]) -> list[Run]:
        if not run_ids:
            return []
        asked = json.dumps(list(run_ids))
        return await self._thread.read(lambda tx: sqlite_read.finished(tx, asked))

    async def jobs(self, run_id: RunId) -> list[Job]:
        return await self._thread.read(lambda tx: sqlite_read.jobs(tx, run_id))

    async def job(self, key: JobKey) -> Job | None:
        return await self._thread.read(lambda tx: sqlite_read.job(tx, key))

    async def stages(self, run_id: RunId, only: Collection[StageId] | None = None) -> list[StageRecord]:
        return await self._thread.read(lambda tx: sqlite_read.stages(tx, run_id, only))

    async def attempts(self, run_id: RunId) -> list[AttemptRecord]:
        return await self._thread.read(lambda tx: sqlite_read.attempts(tx, run_id))

    async def inbox(self, run_id: RunId) -> list[Signal]:
        return await self._thread.read(lambda tx: sqlite_read.inbox(tx, run_id))

    async def signal(self, run_id: RunId, signal_id: SignalId) -> Signal | None:
        return await self._thread.read(lambda tx: sqlite_read.signal(tx, run_id, signal_id))

    async def answer(self, command: str, key: str) -> Answer | None:
        return await self._thread.read(lambda tx: sqlite_read.answer(tx, command, key))

    async def graph(self, fingerprint: Fingerprint) -> Graph | None:
        return await self._thread.read(lambda tx: sqlite_read.graph(tx, fingerprint))

    async def dead_letters(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[DeadLetter]:
        return await self._thread.read(lambda tx: sqlite_outbox.dead_letters(tx, where, max(limit, 0)))

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
        claim = Claim(
            routes=frozenset(routes),
            limit=limit,
            length=length,
            worker=worker,
            only=only,
            new_lease_id=self._ids.new_lease_id,
        )
        return await self._thread.write(
            lambda tx: sqlite_claim.lease(tx, claim), peek=lambda tx: sqlite_claim.nothing_due(tx, claim)
        )

    async def extend(self, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
        if not leases:
            return []
        return await self._thread.write(lambda tx: sqlite_claim.extend(tx, leases, length))

    async def next_due(self, routes: Collection[Route]) -> datetime | None:
        return maybe_from_micros(await self._thread.read(lambda tx: sqlite_claim.next_due(tx, routes)))

    async def ready_among(self, keys: Sequence[JobKey]) -> list[ReadyJob]:
        return await self._thread.read(lambda tx: sqlite_claim.ready_among(tx, keys)) if keys else []

    # UpkeepStore

    async def expired_leases(self, limit: int) -> list[ExpiredLease]:
        return await self._thread.read(lambda tx: sqlite_read.expired_leases(tx, max(limit, 0)))

    async def announce(self, limit: int, again_after: timedelta) -> list[Pointer]:
        return await self._thread.write(lambda tx: sqlite_claim.announce(tx, max(limit, 0), again_after))

    async def overdue_runs(self, limit: int) -> list[RunId]:
        return await self._thread.read(lambda tx: sqlite_read.overdue_runs(tx, max(limit, 0)))

    async def next_upkeep(self) -> datetime | None:
        return await self._thread.read(sqlite_read.next_upkeep)

    async def record_worker(self, worker: WorkerRecord) -> None:
        await self._do(sql.WORKER_PUT, *worker_row(worker))

    async def forget_worker(self, worker: WorkerId) -> None:
        await self._do(sql.WORKER_DELETE, worker)

    async def workers(self) -> list[WorkerRecord]:
        return await self._thread.read(sqlite_read.workers)

    async def backlog(self, most: int = 1_000) -> Backlog:
        return await self._thread.read(lambda tx: sqlite_backlog.backlog(tx, most))

    # OutboxStore

    async def sinks(self) -> list[Sink]:
        return await self._thread.read(sqlite_outbox.sinks)

    async def add_sink(self, sink: Sink) -> None:
        await self._thread.write(lambda tx: sqlite_outbox.add_sink(tx, sink))

    async def remove_sink(self, name: SinkName) -> None:
        await self._thread.write(lambda tx: sqlite_outbox.remove_sink(tx, name))

    async def lease_relay(self, lease_id: LeaseId, length: timedelta, sink: SinkName = DEFAULT_SINK) -> bool:
        return await self._thread.write(lambda tx: sqlite_outbox.lease_relay(tx, sink, lease_id, length))

    async def release_relay(self, lease_id: LeaseId, sink: SinkName = DEFAULT_SINK) -> None:
        await self._thread.write(lambda tx: sqlite_outbox.release_relay(tx, sink, lease_id))

    async def unpublished(self, limit: int, sink: SinkName = DEFAULT_SINK) -> list[Event]:
        return await self._thread.read(lambda tx: sqlite_outbox.unpublished(tx, sink, max(limit, 0)))

    async def waiting_events(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[WaitingEvent]:
        return await self._thread.read(lambda tx: sqlite_outbox.waiting(tx, where, max(limit, 0)))

    # RetentionStore

    async def sweep(self, *, runs: timedelta | None, answers: timedelta | None, limit: int) -> Swept:
        asked = sqlite_sweep.Sweep(runs=runs, answers=answers, limit=max(limit, 0))
        return await self._thread.write(
            lambda tx: sqlite_sweep.sweep(tx, asked), peek=lambda tx: sqlite_sweep.nothing_to_sweep(tx, asked)
        )

    async def tombstones(self, age: timedelta, limit: int) -> list[RunId]:
        return await self._thread.read(lambda tx: sqlite_sweep.tombstones(tx, age, max(limit, 0)))

    async def lift_tombstones(self, run_ids: Collection[RunId]) -> None:
        if run_ids:
            await self._thread.write(lambda tx: sqlite_sweep.lift(tx, run_ids))

    async def _do(self, statement: str, *row: Any) -> None:
        def work(tx: Transaction) -> None:
            tx.execute(statement, row)

        await self._thread.write(work)

    async def close(self) -> None:
        """Finish what was handed in and close the file. Closing twice does nothing."""
        self._closed = True
        await self._committer.drained()
        await self._thread.close()
