"""Ticks: reap leases that ran out, end runs past their deadline."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol, TypeVar

import structlog

from mainspring.kernel.commands.lease_reap import ReapLease
from mainspring.kernel.commands.run_expire import ExpireRun
from mainspring.kernel.decision import Command
from mainspring.ports.errors import CommandError, ContendedError
from mainspring.ports.names import RunId
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import ExpiredLease, JobKey

logger = structlog.get_logger("mainspring.upkeep")

BATCH = 100
MOST_BATCHES = 20
"""So many rows are read at once, and so many times in one tick at most."""

R = TypeVar("R")


class Dispatch(Protocol):
    """Takes a command about a run to its decision."""

    async def __call__(self, run_id: RunId, command: Command[R]) -> R:
        """The command's result."""
        ...


Tell = Callable[[JobKey, datetime], Awaitable[None]]
"""Tells the fleet when a job is due. Never raises."""


class Upkeep:
    """One host's upkeep of the store."""

    def __init__(self, store: Persistence, dispatch: Dispatch, tell: Tell | None = None) -> None:
        """``dispatch`` takes a command about a run to its decision, in its turn with others about that run.

        ``tell``: of jobs that were reaped, where they are worked on as messages point at them.
        """
        self._store = store
        self._dispatch = dispatch
        self._tell = tell

    async def reap(self) -> list[JobKey]:
        """Take jobs from workers that were not heard of; their keys."""
        reaped: list[JobKey] = []
        for _ in range(MOST_BATCHES):
            found = await self._store.expired_leases(BATCH)
            reaped += await self._reap(found)
            if len(found) < BATCH:
                break
        return reaped

    async def expire(self) -> list[RunId]:
        """End runs whose deadline has passed; their ids."""
        expired: list[RunId] = []
        for _ in range(MOST_BATCHES):
            found = await self._store.overdue_runs(BATCH)
            expired += await self._expire(found)
            if len(found) < BATCH:
                break
        return expired

    async def _reap(self, found: list[ExpiredLease]) -> list[JobKey]:
        reaped: list[JobKey] = []
        for expired in found:
            job = expired.job
            if job.lease_id is None:
                continue
            try:
                result = await self._dispatch(job.run_id, ReapLease(key=job.key, lease_id=job.lease_id))
            except (CommandError, ContendedError) as error:  # one row never stops the others
                logger.warning("lease_not_reaped", run=job.run_id, stage=job.stage, error=str(error))
                continue
            if result.reaped or result.ended:
                logger.warning(
                    "lease_reaped",
                    run=job.run_id,
                    stage=job.stage,
                    index=job.index,
                    attempt=job.attempt,
                    worker=job.worker,
                    ended=result.ended,
                )
                reaped.append(job.key)
            if result.due is not None and self._tell is not None:
                await self._tell(job.key, result.due)
        return reaped

    async def _expire(self, found: list[RunId]) -> list[RunId]:
        expired: list[RunId] = []
        for run_id in found:
            try:
                result = await self._dispatch(run_id, ExpireRun(run_id=run_id))
            except (CommandError, ContendedError) as error:
                logger.warning("run_not_expired", run=run_id, error=str(error))
                continue
            if result.expired:
                logger.warning("run_timed_out", run=run_id)
                expired.append(run_id)
        return expired

    async def next_due(self) -> datetime | None:
        """The earliest moment at which there is something to reap or expire, or None."""
        return await self._store.next_upkeep()
