"""Work within an invocation's time: what is claimed is begun while there is time, and given back before it is over.

Rule: nothing is held that outlives the invocation. A lease lasts for the time that is left and a margin, so there is no
heartbeat; a job that could not be ended is given back; one whose process is killed is reaped when its lease runs out.
"""

import asyncio
from asyncio import Semaphore, Task
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import structlog

from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.kernel.commands.job_release import ReleaseJob
from mainspring.ports.errors import PortError
from mainspring.ports.names import LeaseId, WorkerId
from mainspring.ports.records import Job, JobKey, Lease

logger = structlog.get_logger("mainspring.serverless")

Budget = Callable[[], timedelta]
"""How much of the invocation's time is left."""

WHOLE = 0.9
"""Share of an invocation that counts as the whole of it."""

_LAST_MOMENT = 0.1  # seconds for what is cut off to let go of what it holds

NOT_BEGUN = "not_begun"
"""Of a job that was claimed, whose turn did not come in time, and that was given back."""


class Working:
    """Claims and works off, for one host.

    ``reserve``: with less time left, nothing is begun. ``concurrency``: attempts at a time.
    """

    def __init__(
        self,
        parts: Parts,
        registry: WorkflowRegistry,
        executor: Executor,
        *,
        name: str,
        margin: timedelta,
        reserve: timedelta,
        concurrency: int,
    ) -> None:
        self._store = parts.store
        self._registry = registry
        self._executor = executor
        self._worker = WorkerId(f"{name}-{parts.ids.new_lease_id()[:8]}")
        self._margin = margin
        self._reserve = reserve
        self._turns = Semaphore(concurrency)
        self._longest = timedelta(0)  #: time that was left at any claim so far

    def has_time(self, budget: Budget) -> bool:
        """Whether enough is left to begin anything."""
        return budget() > self._reserve

    def until(self, budget: Budget) -> float:
        """When a lease that is claimed from now on runs out at the earliest, on the loop's clock."""
        return asyncio.get_running_loop().time() + (budget() + self._margin).total_seconds()

    async def claim(self, limit: int, budget: Budget, only: Sequence[JobKey] | None = None) -> list[Lease]:
        """Claim for as long as the invocation lasts, and a margin.

        Raises:
            PortError: the store failed.
        """
        left = budget()
        self._longest = max(self._longest, left)
        return await self._store.claim(
            self._registry.routes(), limit=limit, length=left + self._margin, worker=self._worker, only=only
        )

    async def work(self, leases: Sequence[Lease], until: float, budget: Budget) -> dict[JobKey, str]:
        """Work the leases off, a few at a time; how the last attempt of each ended, in a word.

        ``until``: when they run out, asked for before they were claimed. What has not begun when time runs out is given
        back silently (``not_begun``); what has, is told to end.
        """
        if not leases:
            return {}
        loop = asyncio.get_running_loop()
        left = budget()
        mine = {lease.lease_id for lease in leases}
        out_of_time = loop.call_later(max(0.0, (left - self._reserve).total_seconds()), self._hand_back, mine)
        tasks = {lease.job.key: loop.create_task(self._work(lease, until, budget)) for lease in leases}
        try:
            await asyncio.wait(tasks.values(), timeout=max(0.0, (left - self._margin / 4).total_seconds()))
        finally:
            out_of_time.cancel()
            await _cut_off(tasks.values())
        return {key: task.result() if _has_ended(task) else "cut_off" for key, task in tasks.items()}

    async def _work(self, lease: Lease, until: float, budget: Budget) -> str:
        try:
            async with self._turns:
                if not self.has_time(budget):
                    return await self._give_back(lease.job)
                return await self._executor.execute(lease, until, lambda: self.has_time(budget))
        except Exception:  # ours; the lease runs out and the job is made again
            logger.exception("attempt_crashed", run=lease.job.run_id, stage=lease.job.stage)
            return "crashed"

    async def _give_back(self, job: Job) -> str:
        try:
            await self._executor.dispatch(job.run_id, ReleaseJob(job=job))
        except PortError as error:  # the lease runs out by itself
            logger.warning("job_not_released", run=job.run_id, stage=job.stage, error=str(error))
        return NOT_BEGUN

    def _hand_back(self, leases: set[LeaseId]) -> None:
        """The invocation's time is nearly over: give its jobs back in time.

        An attempt that had a whole invocation counts as timed out: given back, it would come again for ever.
        """
        now = asyncio.get_running_loop().time()
        whole = WHOLE * (self._longest - self._reserve).total_seconds()
        for seat in self._executor.live:
            if seat.lease_id in leases:
                seat.tell(Stop.OUT_OF_TIME if now - seat.began >= whole else Stop.SHUTDOWN)


async def _cut_off(tasks: Iterable[Task[str]]) -> None:
    """The last moment has come, or nobody waits any more: what still runs ends where it stands; its lease runs out."""
    late = [task for task in tasks if not task.done()]
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=_LAST_MOMENT)


def _has_ended(task: Task[str]) -> bool:
    return task.done() and not task.cancelled()
