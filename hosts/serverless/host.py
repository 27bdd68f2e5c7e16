"""Handlers for invocations: work on one pointer, on what is available, and one bounded round of upkeep."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import attrs
import structlog

from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Parts, Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.upkeep.collector import Collector
from mainspring.hosts.upkeep.relay import Relay
from mainspring.hosts.upkeep.sweeper import Sweeper
from mainspring.hosts.upkeep.ticks import Upkeep
from mainspring.ports.names import LeaseId, RunId, WorkerId
from mainspring.ports.records import JobKey, Lease, Pointer

T = TypeVar("T")

logger = structlog.get_logger("mainspring.serverless")

WHOLE = 0.9
"""Share of an invocation that counts as the whole of it."""

Budget = Callable[[], timedelta]
"""How much of the invocation's time is left."""


@attrs.frozen(kw_only=True)
class ProcessReport:
    """What an invocation worked off: leases taken, and how each one's last attempt ended."""

    claimed: int
    outcomes: Mapping[
        str, int
    ]  #: ``completed``, ``failed``, ``retrying``, ``suspended``, ``cancelled``, ``released`` …


@attrs.frozen(kw_only=True)
class MaintenanceReport:
    """What one round of upkeep did."""

    reaped: int
    expired: int
    published: int
    dead: int
    collected: int  #: orphaned blobs that were deleted
    swept: int  #: runs that were deleted, having ended long enough ago


class ServerlessHost:
    """Works within an invocation's time: takes nothing it cannot finish, gives back what it could not.

    ``length`` is the lease's: an invocation cannot outlive its budget, so it claims for the time that is left and a
    margin, and needs no heartbeat.
    """

    def __init__(
        self,
        parts: Parts,
        registry: WorkflowRegistry,
        *,
        timing: Timing | None = None,
        name: str = "serverless",
        margin: timedelta = timedelta(seconds=2),
        concurrency: int = 10,
    ) -> None:
        self._parts = parts
        self._registry = registry
        chosen = timing or Timing()
        # a body that does not listen must not carry the invocation past its end
        self._timing = attrs.evolve(chosen, cancel_grace=min(chosen.cancel_grace, margin / 2))
        self._reserve = margin + self._timing.cancel_grace  #: with less time left, nothing is begun
        self._executor = Executor(parts, registry, self._timing)
        self._upkeep = Upkeep(parts.store, self._executor.dispatch)
        self._collector = Collector(parts.store, parts.blobs)
        self._sweeper = Sweeper(parts.store, parts.blobs, runs=chosen.retention, answers=chosen.answer_retention)
        self._longest = timedelta(0)  #: time that was left at the beginning of any work so far
        self._collected_at: datetime | None = None
        self._worker = WorkerId(f"{name}-{parts.ids.new_lease_id()[:8]}")
        self._margin = margin
        self._concurrency = concurrency

    async def handle_job(self, pointer: Pointer, remaining: Budget | None = None) -> str:
        """Work on the job that a message points at.

        ``nothing`` if it is not to be worked on now (done, leased elsewhere, not due, not served here): the message may
        be acknowledged; upkeep tells again of a job that is still due. Otherwise how its last attempt ended.

        Raises:
            PortError: the store failed: the message must come again.
        """
        budget = remaining or self._default_budget()
        if budget() <= self._reserve:
            return "nothing"
        await self._parts.refresh_clock()
        key = JobKey(pointer.run_id, pointer.stage, pointer.index)
        outcomes = await self._work([key], 1, budget)
        return outcomes[0] if outcomes else "nothing"

    async def process_available_jobs(self, max_jobs: int, remaining: Budget | None = None) -> ProcessReport:
        """Claim and work off up to ``max_jobs`` jobs, a few at a time, while there are any and time is left.

        Raises:
            PortError: the store failed before anything was claimed.
        """
        budget = remaining or self._default_budget()
        await self._parts.refresh_clock()
        outcomes: list[str] = []
        while len(outcomes) < max_jobs and budget() > self._reserve:
            limit = min(self._concurrency, max_jobs - len(outcomes))
            done = await self._work(None, limit, budget)
            outcomes += done
            if not done or str(Stop.SHUTDOWN) in done:  # what was given back must not be taken again
                break
        return ProcessReport(claimed=len(outcomes), outcomes=dict(Counter(outcomes)))

    async def run_maintenance_tick(self, remaining: Budget | None = None) -> MaintenanceReport:
        """One bounded round of upkeep: reap, expire, publish; each part's failure leaves the others their turn.

        Asks the scheduler, where there is one, for the next tick that will be needed; and while there is time left,
        deletes runs and answers that are old enough, and collects orphaned blobs if that was not done lately.

        Raises:
            PortError: the store did not tell its time: nothing was done.
        """
        budget = remaining or self._default_budget()
        await self._parts.refresh_clock()
        reaped: list[JobKey] = await self._part("reap", self._upkeep.reap(), [])
        expired: list[RunId] = await self._part("expire", self._upkeep.expire(), [])
        published = dead = 0
        if self._parts.sink is not None:
            relay = Relay(
                self._parts.store, self._executor.dispatcher, self._parts.sink, self._parts.ids.new_lease_id()
            )
            while budget() > self._margin:
                settled = await self._part("relay", relay.tick(), None)
                if settled is None:
                    break
                published += settled.published
                dead += settled.dead
                if not settled.published:
                    break
            await self._part("relay", relay.close(), None)
        await self._ask_for_next_tick()
        swept = 0
        if self._sweeper.has_work and budget() > self._margin:
            swept = await self._part("sweep", self._sweeper.round(lambda: budget() > self._margin), 0)
        collected = await self._collect(budget)
        return MaintenanceReport(
            reaped=len(reaped), expired=len(expired), published=published, dead=dead, collected=collected, swept=swept
        )

    def close(self) -> None:
        """Let idle body threads end."""
        self._executor.close()

    def _default_budget(self) -> Budget:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timing.attempt_maximum.total_seconds()
        return lambda: timedelta(seconds=until - loop.time())

    async def _work(self, only: Sequence[JobKey] | None, limit: int, budget: Budget) -> list[str]:
        loop = asyncio.get_running_loop()
        left = budget()
        self._longest = max(self._longest, left)
        began = loop.time()
        length = left + self._margin
        leases = await self._parts.store.claim(
            self._registry.routes(), limit=limit, length=length, worker=self._worker, only=only
        )
        if not leases:
            return []
        until = began + length.total_seconds()
        mine = {lease.lease_id for lease in leases}
        last_call = left - self._reserve
        out_of_time = loop.call_later(max(0.0, last_call.total_seconds()), self._hand_back, mine)
        try:
            return list(await asyncio.gather(*(self._execute(lease, until, budget) for lease in leases)))
        finally:
            out_of_time.cancel()

    async def _execute(self, lease: Lease, until: float, budget: Budget) -> str:
        try:
            return await self._executor.execute(lease, until, lambda: budget() > self._reserve)
        except Exception:  # ours; the lease runs out and the job is made again
            logger.exception("attempt_crashed", run=lease.job.run_id, stage=lease.job.stage)
            return "crashed"

    def _hand_back(self, leases: set[LeaseId]) -> None:
        """The invocation's time is nearly over: give its jobs back in time.

        An attempt that had a whole invocation counts as timed out: given back, it would come again for ever.
        """
        now = asyncio.get_running_loop().time()
        whole = WHOLE * (self._longest - self._reserve).total_seconds()
        for seat in self._executor.live:
            if seat.lease_id in leases:
                seat.tell(Stop.OUT_OF_TIME if now - seat.began >= whole else Stop.SHUTDOWN)

    async def _part(self, name: str, part: Awaitable[T], otherwise: T) -> T:
        try:
            return await part
        except Exception as error:  # noqa: BLE001  a part that raises leaves the others their turn
            logger.warning("maintenance_failed", part=name, error=f"{type(error).__name__}: {error}")
            return otherwise

    async def _collect(self, budget: Budget) -> int:
        """A round of the collector, once per ``Timing.collect``; a host that was just made begins with one."""
        now, last, every = self._parts.clock.now(), self._collected_at, self._timing.collect
        if not every or budget() <= self._margin or (last is not None and abs(now - last) < every):
            return 0
        collected = await self._part("collect", self._collector.round(lambda: budget() > self._margin), None)
        if collected is not None and budget() > self._margin:  # else it was cut short: the next tick goes on
            self._collected_at = now
        return collected or 0

    async def _ask_for_next_tick(self) -> None:
        scheduler = self._parts.scheduler
        if scheduler is None:
            return
        upkeep = await self._part("next", self._upkeep.next_due(), None)
        routes = self._registry.routes()
        job = await self._part("next", self._parts.store.next_due(routes), None)
        moments = [moment for moment in (upkeep, job) if moment is not None]
        if moments:
            await self._part("next", scheduler.wake_at(max(min(moments), self._parts.clock.now())), None)
