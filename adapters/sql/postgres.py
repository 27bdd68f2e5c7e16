"""Persistence on PostgreSQL: the store of a fleet.

Rule: this file only says which statement each method is. Changes are gathered (:mod:`committer`) and written by
:mod:`postgres_writer`; the statements stand in :mod:`postgres_statements` and :mod:`postgres_commit`.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from mainspring.adapters.sql import postgres_statements as sql
from mainspring.adapters.sql import postgres_sweep
from mainspring.adapters.sql.committer import Committer
from mainspring.adapters.sql.moments import from_micros, maybe_from_micros, span
from mainspring.adapters.sql.postgres_arrays import ids, is_id, numbers, texts
from mainspring.adapters.sql.postgres_backlog import BACKLOG, read_backlog
from mainspring.adapters.sql.postgres_batch import uses
from mainspring.adapters.sql.postgres_connections import CLAIM, HEARTBEAT, SWEEP, Connections
from mainspring.adapters.sql.postgres_location import locate
from mainspring.adapters.sql.postgres_open import check
from mainspring.adapters.sql.postgres_outbox import PostgresOutbox
from mainspring.adapters.sql.postgres_transport import PostgresTransport
from mainspring.adapters.sql.postgres_writer import Writer
from mainspring.adapters.sql.rows import (
    JOB_WIDTH,
    RUN_WIDTH,
    Row,
    read_attempt,
    read_job,
    read_run,
    read_run_status,
    read_signal,
    read_stage,
    read_worker,
    worker_row,
)
from mainspring.ports.change import Change
from mainspring.ports.errors import UnavailableError
from mainspring.ports.names import Fingerprint, LeaseId, Route, RunId, SignalId, StageId, WorkerId, WorkflowId
from mainspring.ports.records import (
    Answer,
    AttemptRecord,
    Backlog,
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
    StageTally,
    Swept,
    WorkerRecord,
)


def open_postgres(url: str, *, migrate: bool = False) -> "tuple[PostgresPersistence, PostgresTransport]":
    """Open a schema of a database as a store. Blocks for some milliseconds; needs no running loop.

    Args:
        url: ``postgresql://user@host/database?schema=mainspring``; with ``pgbouncer=transaction`` behind such a pooler.
        migrate: bring the schema up to date; otherwise one that does not fit is refused.

    Raises:
        SettingsError: the URL names no store, or the server would lose what it confirmed.
        SchemaError: the schema does not fit this code.
        UnavailableError: the server cannot be reached.
    """
    location = locate(url)
    check(location, migrate=migrate)
    connections = Connections(location)
    return PostgresPersistence(connections), PostgresTransport(connections)


class PostgresPersistence(PostgresOutbox):
    """A store in one schema of a PostgreSQL database. Made by :func:`open_postgres`."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self._shown = connections.location.shown
        self._committer = Committer(Writer(connections).write, uses=uses)
        self._closed = False

    async def _one(self, statement: bytes, *parameters: object) -> Row | None:
        rows = await self._connections.read(statement, parameters)
        return rows[0] if rows else None

    async def _all(self, statement: bytes, *parameters: object) -> list[Row]:
        return await self._connections.read(statement, parameters)

    # RunStore

    async def now(self) -> datetime:
        rows = await self._connections.write(HEARTBEAT, sql.NOW)
        return from_micros(rows[0][0])

    async def commit(self, change: Change) -> None:
        if self._closed:
            raise UnavailableError(f"the store {self._shown} is closed; open it again")
        await self._committer.commit(change)

    async def run(self, run_id: RunId) -> Run | None:
        row = await self._one(sql.RUN, run_id) if is_id(run_id) else None
        return None if row is None else read_run(row)

    async def run_by_key(self, workflow: WorkflowId, key: str) -> Run | None:
        row = await self._one(sql.RUN_BY_KEY, workflow, key)
        return None if row is None else read_run(row)

    async def run_state(self, run_id: RunId) -> RunState | None:
        row = await self._one(sql.RUN_STATE, run_id) if is_id(run_id) else None
        if row is None:
            return None
        run, (ended, present) = read_run(row), row[RUN_WIDTH:]
        return RunState(run=run, stages=_tallies(ended or [], present or []))

    async def runs(self, where: RunFilter, *, limit: int, before: RunId | None = None) -> list[Run]:
        from mainspring.adapters.sql.reads import postgres_runs

        if not all(is_id(given) for given in (before, where.rerun_of) if given is not None):
            return []
        statement, values = postgres_runs(where, limit=max(limit, 0), before=before)
        return [read_run(row) for row in await self._all(statement, *values)]

    async def finished(self, run_ids: Collection[RunId]) -> list[Run]:
        known = [run_id for run_id in run_ids if is_id(run_id)]
        if not known:
            return []
        return [read_run(row) for row in await self._all(sql.RUNS_FINISHED, ids(known))]

    async def jobs(self, run_id: RunId) -> list[Job]:
        return [read_job(row) for row in await self._of(sql.JOBS, run_id)]

    async def job(self, key: JobKey) -> Job | None:
        rows = await self._of(sql.JOB, key.run_id, key.stage, key.index)
        return read_job(rows[0]) if rows else None

    async def stages(self, run_id: RunId, only: Collection[StageId] | None = None) -> list[StageRecord]:
        if only is None:
            return [read_stage(row) for row in await self._of(sql.STAGES, run_id)]
        return [read_stage(row) for row in await self._of(sql.STAGES_ONLY, run_id, texts(list(only)))]

    async def attempts(self, run_id: RunId) -> list[AttemptRecord]:
        return [read_attempt(row) for row in await self._of(sql.ATTEMPTS, run_id)]

    async def inbox(self, run_id: RunId) -> list[Signal]:
        return [read_signal(row) for row in await self._of(sql.INBOX, run_id)]

    async def signal(self, run_id: RunId, signal_id: SignalId) -> Signal | None:
        rows = await self._of(sql.SIGNAL, run_id, signal_id)
        return read_signal(rows[0]) if rows else None

    async def _of(self, statement: bytes, run_id: RunId, *more: object) -> list[Row]:
        """Rows of a run; none of what is no id of a run."""
        return await self._all(statement, run_id, *more) if is_id(run_id) else []

    async def answer(self, command: str, key: str) -> Answer | None:
        row = await self._one(sql.ANSWER, command, key)
        return None if row is None else Answer(command=row[0], key=row[1], request_hash=row[2], result=row[3])

    async def graph(self, fingerprint: Fingerprint) -> Graph | None:
        row = await self._one(sql.GRAPH, fingerprint)
        return None if row is None else Graph(fingerprint=row[0], shape=row[1])

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
        if limit <= 0:
            return []
        parameters: list[Any] = [worker, span(length), min(limit, sql.MOST_CLAIMED), texts(sorted(set(routes)))]
        statement = sql.CLAIM
        if only is not None:
            keys = sorted({key for key in only if is_id(key.run_id)})
            statement = sql.CLAIM_ONLY
            parameters += [
                ids([key.run_id for key in keys]),
                texts([key.stage for key in keys]),
                numbers([key.index for key in keys]),
            ]
        rows = await self._connections.write(CLAIM, statement, parameters)
        runs: dict[RunId, Run] = {}
        leases: list[Lease] = []
        for row in rows:
            job = read_job(row)
            run = runs.get(job.run_id)
            if run is None:
                run = runs[job.run_id] = read_run(row[JOB_WIDTH:])
            leases.append(Lease(job=job, run=run))
        return leases

    async def extend(self, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
        if not leases:
            return []
        asked = sorted((key, lease_id, place) for place, (key, lease_id) in enumerate(leases))
        rows = await self._connections.write(
            HEARTBEAT,
            sql.EXTEND,
            (
                span(length),
                numbers([place for _, _, place in asked]),
                ids([key.run_id for key, _, _ in asked]),
                texts([key.stage for key, _, _ in asked]),
                numbers([key.index for key, _, _ in asked]),
                ids([lease_id for _, lease_id, _ in asked]),
            ),
        )
        held = {row[0]: row for row in rows}
        answers: list[ExtendAnswer] = []
        for place, (key, lease_id) in enumerate(leases):
            row = held.get(place)
            wakes, until = (0, None) if row is None else (row[1], from_micros(row[2]))
            answers.append(ExtendAnswer(key=key, lease_id=lease_id, lost=row is None, wakes=wakes, until=until))
        return answers

    async def next_due(self, routes: Collection[Route]) -> datetime | None:
        row = await self._one(sql.NEXT_DUE, texts(sorted(set(routes))))
        return None if row is None else maybe_from_micros(row[0])

    async def ready_among(self, keys: Sequence[JobKey]) -> list[ReadyJob]:
        known = sorted({key for key in keys if is_id(key.run_id)})
        if not known:
            return []
        columns = (
            ids([key.run_id for key in known]),
            texts([key.stage for key in known]),
            numbers([key.index for key in known]),
        )
        rows = await self._connections.read(sql.READY_AMONG, columns)
        return [
            ReadyJob(key=JobKey(row[0], row[1], row[2]), route=row[3], due_in=timedelta(microseconds=row[4]))
            for row in rows
        ]

    # UpkeepStore

    async def expired_leases(self, limit: int) -> list[ExpiredLease]:
        rows = await self._all(sql.LEASES_EXPIRED, max(limit, 0))
        return [ExpiredLease(job=read_job(row), run_status=read_run_status(row[-1])) for row in rows]

    async def announce(self, limit: int, again_after: timedelta) -> list[Pointer]:
        most = min(max(limit, 0), sql.MOST_CLAIMED)
        rows = await self._connections.write(CLAIM, sql.ANNOUNCE, (most, span(again_after)))
        return [Pointer(run_id=row[0], stage=row[1], index=row[2]) for row in rows]

    async def overdue_runs(self, limit: int) -> list[RunId]:
        return [row[0] for row in await self._all(sql.RUNS_OVERDUE, max(limit, 0))]

    async def next_upkeep(self) -> datetime | None:
        row = await self._one(sql.NEXT_UPKEEP)
        return None if row is None else maybe_from_micros(row[0])

    async def record_worker(self, worker: WorkerRecord) -> None:
        await self._connections.write(HEARTBEAT, sql.WORKER_PUT, worker_row(worker))

    async def forget_worker(self, worker: WorkerId) -> None:
        await self._connections.write(HEARTBEAT, sql.WORKER_DELETE, (worker,))

    async def workers(self) -> list[WorkerRecord]:
        return [read_worker(row) for row in await self._all(sql.WORKERS)]

    async def backlog(self, most: int = 1_000) -> Backlog:
        return read_backlog(await self._all(BACKLOG, max(most, 0)))

    # RetentionStore

    async def sweep(self, *, runs: timedelta | None, answers: timedelta | None, limit: int) -> Swept:
        gone: tuple[RunId, ...] = ()
        if runs is not None:
            age = _age(runs)
            gone = await self._connections.work(SWEEP, lambda it: postgres_sweep.sweep_runs(it, age, max(limit, 0)))
        count = 0
        if answers is not None:
            asked = (_age(answers), max(limit, 0))
            ((count,),) = await self._connections.write(SWEEP, postgres_sweep.SWEEP_ANSWERS, asked)
        return Swept(runs=gone, answers=count)

    async def tombstones(self, age: timedelta, limit: int) -> list[RunId]:
        return [row[0] for row in await self._all(postgres_sweep.TOMBSTONES, _age(age), max(limit, 0))]

    async def lift_tombstones(self, run_ids: Collection[RunId]) -> None:
        if run_ids:
            await self._connections.write(SWEEP, postgres_sweep.TOMBSTONES_LIFT, (texts(sorted(run_ids)),))

    async def close(self) -> None:
        """Finish what was handed in and close the connections. Closing twice does nothing."""
        self._closed = True
        await self._committer.drained()
        await self._connections.close()


def _age(age: timedelta) -> int:
    """An age may reach back further than an integer holds."""
    return min(span(age), 1 << 62)


def _tallies(ended: list[list[Any]], present: list[list[Any]]) -> dict[StageId, StageTally]:
    of_ended = {row[0]: row[1:] for row in ended}
    of_present = {row[0]: row[1:] for row in present}
    tallies: dict[StageId, StageTally] = {}
    for stage in of_ended | of_present:
        completed, failed, cancelled, skipped = of_ended.get(stage, (0, 0, 0, 0))
        active, parked = of_present.get(stage, (0, 0))
        tallies[stage] = StageTally(
            completed=completed, failed=failed, cancelled=cancelled, skipped=skipped, active=active, parked=parked
        )
    return tallies
