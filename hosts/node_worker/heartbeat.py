"""The heartbeat loop: keeps leases, learns of lost ones and of cancels, and fences the worker when it cannot.

A worker whose heartbeats fail, or hang, claims nothing and ends its bodies before their leases run out, by the loop's
monotonic clock.
"""

import asyncio
from datetime import datetime

import structlog

from mainspring.hosts.execution.executor import Executor, cancel_seats
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.claiming import Claiming
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.waiting import within
from mainspring.ports.errors import PortError
from mainspring.ports.names import RunId, WorkerId
from mainspring.ports.records import RunStatus, WorkerRecord

logger = structlog.get_logger("mainspring.worker")

MARGIN = 0.2
"""Share of the lease that is left when a worker whose heartbeats fail ends its bodies."""

PATIENCE = 0.25
"""Share of the lease after which a heartbeat that has not been answered counts as failed."""

LEAST_PATIENCE = 0.05
"""Share of the lease that a heartbeat gets in any case: a lease that ran out may still be there to extend."""

HELLO_EVERY = 30.0
"""Seconds between two words in the workers' table."""

CLOCK_PATIENCE = 2.0
"""Seconds that the store may take to tell its time."""

LOOK_EVERY = 1.0
"""Seconds that pass at least between two heartbeats made because somebody changed something."""


class Heartbeat:
    """Heartbeats of one worker."""

    def __init__(
        self,
        *,
        parts: Parts,
        registry: WorkflowRegistry,
        executor: Executor,
        claiming: Claiming,
        settings: WorkerSettings,
        worker: WorkerId,
    ) -> None:
        self._parts = parts
        self._registry = registry
        self._executor = executor
        self._claiming = claiming
        self._settings = settings
        self._worker = worker
        self._started_at: datetime | None = None
        self._said_hello = float("-inf")
        self._overdue = False  #: some leases had run out by our clock when the last answer came
        self._untold: dict[RunId, None] = {}  #: woken runs nobody has looked at yet

    async def loop(self) -> None:
        """Beat for ever."""
        timing = self._settings.timing
        every = timing.heartbeat.total_seconds()
        length = timing.lease.total_seconds()
        loop = asyncio.get_running_loop()
        pause = 0.0
        while True:
            await self._wait(pause)
            began = loop.time()
            try:
                async with asyncio.timeout(self._patience(length)):
                    await self._beat(began)
            except (PortError, TimeoutError) as error:
                self._fence(error)
                pause = min(every, length * MARGIN) / 4
            else:
                self._unfence()
                pause = every * (0.9 + 0.2 * self._parts.ids.random())
                if self._overdue:
                    pause = 0.0
                elif self._executor.live.missed:  # rows that moved on while they were asked about were not extended
                    pause = min(pause, LOOK_EVERY)

    def _patience(self, length: float) -> float:
        """How long this beat may take: a quarter of the lease, but not past the moment at which a body must be told."""
        if not len(self._executor.live):
            return length * PATIENCE
        earliest = min(seat.until for seat in self._executor.live)
        left = earliest - MARGIN * length - asyncio.get_running_loop().time()
        return min(length * PATIENCE, max(left, length * LEAST_PATIENCE))

    async def _wait(self, pause: float) -> None:
        """Until the next beat is due, or, not too often, somebody changed something."""
        loop = asyncio.get_running_loop()
        due = loop.time() + pause  # said once: a process that was stopped for a while is late already
        await asyncio.sleep(min(LOOK_EVERY, pause))
        await within(self._claiming.heard, due - loop.time())
        self._claiming.heard.clear()

    async def _beat(self, began: float) -> None:
        timing = self._settings.timing
        live = self._executor.live
        if len(live):
            answers = await self._parts.store.extend(live.leases(), timing.lease)
            woken = live.heard(answers, began + timing.lease.total_seconds())
            self._untold.update(dict.fromkeys(woken))
        self._look_at_overdue()
        for run_id in list(self._untold):
            run = await self._parts.store.run(run_id)
            if run is not None and run.status is RunStatus.CANCELLING:
                cancel_seats(self._executor, run_id)
            self._untold.pop(run_id, None)
        await self._refresh_clock()
        if began - self._said_hello >= HELLO_EVERY or (self._claiming.fenced and not len(live)):
            await self._say_hello()
            self._said_hello = began

    async def _refresh_clock(self) -> None:
        """Ask the store for its time. The leases were kept: that it does not tell is no reason to stop claiming."""
        try:
            async with asyncio.timeout(CLOCK_PATIENCE):
                await self._parts.refresh_clock()
        except (PortError, TimeoutError) as error:
            logger.warning("store_time_unknown", error=f"{type(error).__name__}: {error}")

    def _look_at_overdue(self) -> None:
        """What this heartbeat did not keep is asked about again at once, and ended if that does not help either.

        Its row moved, or the process was stopped while the answer came. An end that is being recorded needs no word:
        the guard of its Change tells of a lost lease.
        """
        overdue = [
            seat for seat in self._executor.live.overdue(asyncio.get_running_loop().time()) if not seat.recording
        ]
        for seat in overdue if self._overdue else ():
            seat.tell(Stop.LEASE_LOST)
        self._overdue = bool(overdue) and not self._overdue

    def _fence(self, error: Exception) -> None:
        if not self._claiming.fenced:
            logger.error("heartbeat_failed", error=f"{type(error).__name__}: {error}")
        self._claiming.fenced = True
        margin = MARGIN * self._settings.timing.lease.total_seconds()
        for seat in self._executor.live.overdue(asyncio.get_running_loop().time() + margin):
            seat.tell(Stop.LEASE_LOST)

    def _unfence(self) -> None:
        if self._claiming.fenced:
            logger.info("heartbeat_recovered")
            self._claiming.fenced = False
            self._claiming.slot_free.set()

    async def _say_hello(self) -> None:
        now = self._parts.clock.now()
        self._started_at = self._started_at or now
        await self._parts.store.record_worker(
            WorkerRecord(
                id=self._worker,
                routes=self._registry.routes(),
                build=self._settings.build,
                started_at=self._started_at,
                seen_at=now,
            )
        )

    async def say_goodbye(self) -> None:
        """Take the worker's row away, if the store lets us."""
        try:
            await self._parts.store.forget_worker(self._worker)
        except PortError as error:
            logger.warning("worker_row_left", error=str(error))
