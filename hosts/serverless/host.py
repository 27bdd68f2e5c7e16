"""Handlers for invocations: work on one pointer, on what is available, and one bounded round of upkeep."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import attrs
import structlog

from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Parts, Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.serverless.pointed import Pointed
from mainspring.hosts.serverless.working import NOT_BEGUN, Budget, Working
from mainspring.hosts.upkeep import announcer
from mainspring.hosts.upkeep.announcer import Announcer
from mainspring.hosts.upkeep.collector import Collector
from mainspring.hosts.upkeep.publishing import Publishing
from mainspring.hosts.upkeep.sweeper import Sweeper
from mainspring.hosts.upkeep.ticks import Upkeep
from mainspring.ports.errors import PortError
from mainspring.ports.names import RunId
from mainspring.ports.persistence import ANNOUNCED_AFTER
from mainspring.ports.records import JobKey, Pointer

T = TypeVar("T")

logger = structlog.get_logger("mainspring.serverless")

_ASKING = timedelta(seconds=5)
"""The scheduler may take so long to be asked."""

_PROMPT = 0.02  # seconds, for an answer on a connection that is open


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
    announced: int = 0  #: jobs that are due and of which the transport was told again


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
        self._executor = Executor(parts, registry, self._timing)
        self._working = Working(
            parts,
            registry,
            self._executor,
            name=name,
            margin=margin,
            reserve=margin + self._timing.cancel_grace,
            concurrency=concurrency,
        )
        self._pointed = Pointed(parts, registry, self._working)
        tell = self._executor.send_later if parts.transport.carries_pointers else None
        self._upkeep = Upkeep(parts.store, self._executor.dispatch, tell)
        self._announcer = Announcer(parts.store, parts.transport) if parts.transport.carries_pointers else None
        self._publishing = Publishing(parts.store, self._executor.dispatcher, parts.outlets, parts.ids, parts.observer)
        self._collector = Collector(parts.store, parts.blobs)
        self._sweeper = Sweeper(parts.store, parts.blobs, runs=chosen.retention, answers=chosen.answer_retention)
        self._collected_at: datetime | None = None
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
        if not self._working.has_time(budget):
            return "nothing"
        await self.refresh_clock()
        outcomes = await self._work(1, budget, [pointer.key])
        return outcomes[0] if outcomes else "nothing"

    async def handle_jobs(self, pointers: Sequence[Pointer], remaining: Budget | None = None) -> dict[JobKey, str]:
        """Work on the jobs that messages point at, claimed in one write, a few at a time; a word for each.

        The messages of those whose word is among ``pointed.AGAIN`` must come again. Any other may be acknowledged,
        whatever became of its attempt: from a durable claim on, the job's row carries it.

        Raises:
            PortError: the store does not answer: every message must come again.
        """
        budget = remaining or self._default_budget()
        keys = sorted({pointer.key for pointer in pointers})
        if not keys or not self._working.has_time(budget):
            return dict.fromkeys(keys, NOT_BEGUN)
        await self.refresh_clock()
        return await self._pointed.handle(keys, budget)

    async def process_available_jobs(self, max_jobs: int, remaining: Budget | None = None) -> ProcessReport:
        """Claim and work off up to ``max_jobs`` jobs, a few at a time, while there are any and time is left.

        Raises:
            PortError: the store failed before anything was claimed.
        """
        budget = remaining or self._default_budget()
        await self.refresh_clock()
        outcomes: list[str] = []
        while len(outcomes) < max_jobs and self._working.has_time(budget):
            done = await self._work(min(self._concurrency, max_jobs - len(outcomes)), budget)
            outcomes += done
            if not done or str(Stop.SHUTDOWN) in done:  # what was given back must not be taken again
                break
        return ProcessReport(claimed=len(outcomes), outcomes=dict(Counter(outcomes)))

    async def run_maintenance_tick(self, remaining: Budget | None = None) -> MaintenanceReport:
        """One bounded round of upkeep: reap, expire, publish; each part's failure leaves the others their turn.

        Asks the scheduler, where there is one, for the next tick that will be needed, before anything that may be slow;
        and while there is time left, tells the queue again of jobs that nobody took, deletes runs and answers that are
        old enough, and collects orphaned blobs if that was not done lately.

        Raises:
            PortError: the store did not tell its time: nothing was done.
        """
        budget = remaining or self._default_budget()
        await self.refresh_clock()
        reaped: list[JobKey] = await self._part("reap", self._upkeep.reap(), [])
        expired: list[RunId] = await self._part("expire", self._upkeep.expire(), [])
        await self._within(min(_ASKING, budget()), self._ask_for_next_tick(), None)
        published, dead = await self._publishing.round(lambda: budget() - self._margin)
        announced = 0
        if self._announcer is not None and budget() > self._margin:
            tick = self._announcer.tick(lambda: budget() > self._margin)
            announced = await self._part("announce", self._within(budget() - self._margin, tick, 0), 0)
        swept = 0
        if self._sweeper.has_work and budget() > self._margin:
            swept = await self._part("sweep", self._sweeper.round(lambda: budget() > self._margin), 0)
        collected = await self._collect(budget)
        return MaintenanceReport(
            reaped=len(reaped),
            expired=len(expired),
            published=published,
            dead=dead,
            collected=collected,
            swept=swept,
            announced=announced,
        )

    async def refresh_clock(self) -> None:
        """Ask for the store's time, before anything else: a connection may not have outlived the pause.

        Raises:
            PortError: the store does not answer, not even on a new connection.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._parts.refresh_clock()
        except PortError as error:
            logger.info("store_asked_again", error=str(error))
            began = -math.inf
        if loop.time() - began > _PROMPT:  # the clock is ahead by as long as an answer takes: so long, to connect
            await self._parts.refresh_clock()

    def close(self) -> None:
        """Let idle body threads end."""
        self._executor.close()

    def _default_budget(self) -> Budget:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timing.attempt_maximum.total_seconds()
        return lambda: timedelta(seconds=until - loop.time())

    async def _work(self, limit: int, budget: Budget, only: Sequence[JobKey] | None = None) -> list[str]:
        until = self._working.until(budget)
        leases = await self._working.claim(limit, budget, only)
        return list((await self._working.work(leases, until, budget)).values())

    async def _part(self, name: str, part: Awaitable[T], otherwise: T) -> T:
        try:
            return await part
        except Exception as error:  # noqa: BLE001  a part that raises leaves the others their turn
            logger.warning("maintenance_failed", part=name, error=f"{type(error).__name__}: {error}")
            return otherwise

    async def _within(self, time: timedelta, part: Awaitable[T], otherwise: T) -> T:
        """The part's answer, unless it takes longer."""
        limit = asyncio.timeout(max(0.0, time.total_seconds()))
        try:
            async with limit:
                return await part
        except TimeoutError:
            if not limit.expired():
                raise
            logger.warning("maintenance_cut_short", seconds=time.total_seconds())
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
        now = self._parts.clock.now()
        if job is not None and self._announcer is not None:  # a message tells of it; a tick only if none does
            unheard = job + ANNOUNCED_AFTER
            job = unheard if unheard > now else now + announcer.AGAIN
        moments = [moment for moment in (upkeep, job) if moment is not None]
        if moments:
            await self._part("next", scheduler.wake_at(max(min(moments), now)), None)
