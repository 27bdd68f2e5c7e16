"""Ticks: reap leases that ran out, end runs past their deadline."""

from datetime import datetime

import structlog

from mainspring.kernel.commands.lease_reap import ReapLease
from mainspring.kernel.commands.run_expire import ExpireRun
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import CommandError, ContendedError
from mainspring.ports.names import RunId
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import JobKey

logger = structlog.get_logger("mainspring.upkeep")


class Upkeep:
    """One host's upkeep of the store."""

    def __init__(self, store: Persistence, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher

    async def reap(self, limit: int = 100) -> list[JobKey]:
        """Take up to ``limit`` jobs from workers that were not heard of; their keys."""
        reaped: list[JobKey] = []
        for expired in await self._store.expired_leases(limit):
            job = expired.job
            if job.lease_id is None:
                continue
            try:
                result = await self._dispatcher.dispatch(ReapLease(key=job.key, lease_id=job.lease_id))
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
        return reaped

    async def expire(self, limit: int = 100) -> list[RunId]:
        """End up to ``limit`` runs whose deadline has passed; their ids."""
        expired: list[RunId] = []
        for run_id in await self._store.overdue_runs(limit):
            try:
                result = await self._dispatcher.dispatch(ExpireRun(run_id=run_id))
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
