"""Clients of the memory store that each break one rule of Persistence."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta

import attrs

from mainspring.adapters.memory import MemoryPersistence, claims, guards, writes
from mainspring.adapters.memory.tables import Transaction
from mainspring.ports.change import Change
from mainspring.ports.names import LeaseId, Route, RunId, SinkName, StageId, WorkerId
from mainspring.ports.records import (
    ExtendAnswer,
    JobKey,
    Lease,
    Run,
    RunFilter,
    RunState,
    StageRecord,
    WorkerRecord,
)
from mainspring.ports.sinks import EVERY_EVENT, DeadLetter, EventFilter, Sink


class ChecksThenActs(MemoryPersistence):
    """Guards are checked, then others have their turn, then it is written."""

    async def commit(self, change: Change) -> None:
        guards.check(self.store, change)
        await asyncio.sleep(0)
        transaction = Transaction()
        for write in writes.WRITES:
            write(self.store, change, transaction)


class ClaimsThenActs(MemoryPersistence):
    """What is due is read, then others have their turn, then it is leased."""

    async def claim(
        self,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        now = self.store.clock.now()
        due = self.store.job_index.due(routes, limit, now)
        keys = [key for key in due if only is None or key in only]
        await asyncio.sleep(0)
        ids = [self._ids.new_lease_id() for _ in keys]
        return [
            claims.lease(self.store, key, worker=worker, lease_id=lease_id, length=length)
            for key, lease_id in zip(keys, ids, strict=True)
        ]


class ReadsItsOwnCopy(MemoryPersistence):
    """A run is read once and remembered."""

    async def run(self, run_id: RunId) -> Run | None:
        copies: dict[RunId, Run | None] = self.__dict__.setdefault("copies", {})
        return copies.setdefault(run_id, await super().run(run_id))


class KeepsSinksToItself(MemoryPersistence):
    """Which sinks there are is asked of the process."""

    async def sinks(self) -> list[Sink]:
        known: list[Sink] = self.__dict__.get("known", [])
        return known

    async def add_sink(self, sink: Sink) -> None:
        self.__dict__["known"] = [sink]
        await super().add_sink(sink)


class ForgetsTheSinkOnly(MemoryPersistence):
    async def remove_sink(self, name: SinkName) -> None:
        self.store.sinks.write(name, None)


class NeverCloses(MemoryPersistence):
    async def close(self) -> None:
        pass


class ListsOldestFirst(MemoryPersistence):
    async def runs(self, where: RunFilter, *, limit: int, before: RunId | None = None) -> list[Run]:
        return (await super().runs(where, limit=limit, before=before))[::-1]


class ListsFromTheTop(MemoryPersistence):
    async def runs(self, where: RunFilter, *, limit: int, before: RunId | None = None) -> list[Run]:
        return await super().runs(where, limit=limit)


class FiltersNothing(MemoryPersistence):
    async def runs(self, where: RunFilter, *, limit: int, before: RunId | None = None) -> list[Run]:
        return await super().runs(RunFilter(), limit=limit, before=before)


class FiltersAfterTheLimit(MemoryPersistence):
    async def runs(self, where: RunFilter, *, limit: int, before: RunId | None = None) -> list[Run]:
        page = await super().runs(RunFilter(), limit=limit, before=before)
        return [run for run in page if where.tag is None or where.tag in run.tags]


class CountsActiveAsFinished(MemoryPersistence):
    async def finished(self, run_ids: Collection[RunId]) -> list[Run]:
        return [run for run_id in run_ids if (run := await self.run(run_id)) is not None]


class ReadsAllStages(MemoryPersistence):
    async def stages(self, run_id: RunId, only: Collection[StageId] | None = None) -> list[StageRecord]:
        return await super().stages(run_id)


class TalliesNothing(MemoryPersistence):
    async def run_state(self, run_id: RunId) -> RunState | None:
        run = await self.run(run_id)
        return None if run is None else RunState(run=run, stages={})


class ClaimsAnyRoute(MemoryPersistence):
    async def claim(
        self,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        every = [job.route for job in self.store.jobs.rows()]
        return await super().claim(every, limit=limit, length=length, worker=worker, only=only)


class ClaimsBeyondThePointers(MemoryPersistence):
    async def claim(
        self,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        return await super().claim(routes, limit=limit, length=length, worker=worker)


class ClaimsBeyondTheLimit(MemoryPersistence):
    async def claim(
        self,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        return await super().claim(routes, limit=1_000, length=length, worker=worker, only=only)


class AnswersClaimsInNoOrder(MemoryPersistence):
    async def claim(
        self,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        leases = await super().claim(routes, limit=limit, length=length, worker=worker, only=only)
        return sorted(leases, key=lambda lease: lease.lease_id)


class ExtendsWhateverIsAsked(MemoryPersistence):
    async def extend(self, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        until = self.store.clock.now() + length
        for key, lease_id in leases:
            if (job := self.store.jobs.get(key)) is not None:
                self.store.jobs.write(key, attrs.evolve(job, lease_id=lease_id, lease_until=until))
        return await super().extend(leases, length)


class ExtendsNothing(MemoryPersistence):
    async def extend(self, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
        return [ExtendAnswer(key=key, lease_id=lease_id, lost=True, wakes=0, until=None) for key, lease_id in leases]


class AnswersHeartbeatsByKey(MemoryPersistence):
    async def extend(self, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
        return sorted(await super().extend(leases, length), key=lambda answer: answer.key)


class TellsNoWakes(MemoryPersistence):
    async def extend(self, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
        return [attrs.evolve(answer, wakes=0) for answer in await super().extend(leases, length)]


class ForgetsDeadLetters(MemoryPersistence):
    async def dead_letters(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[DeadLetter]:
        return []


class FindsEveryLetter(MemoryPersistence):
    async def dead_letters(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[DeadLetter]:
        return await super().dead_letters(limit)


class KeepsTheFirstWorkerRow(MemoryPersistence):
    async def record_worker(self, worker: WorkerRecord) -> None:
        if self.store.workers.get(worker.id) is None:
            await super().record_worker(worker)


class NeverOverdue(MemoryPersistence):
    async def overdue_runs(self, limit: int) -> list[RunId]:
        return [run.id for run in self.store.runs.rows() if run.deadline is not None][:limit]


class ReadsStatesInTwoGlances(MemoryPersistence):
    """Others have their turn between the run and its tallies."""

    async def run_state(self, run_id: RunId) -> RunState | None:
        run = await self.run(run_id)
        await asyncio.sleep(0)
        return None if run is None else RunState(run=run, stages=self.store.tallies.of(run_id))
