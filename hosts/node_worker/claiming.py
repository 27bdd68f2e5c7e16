"""The claim loop: fills free slots with due jobs, and sleeps quietly while there are none.

A claim under way is never abandoned: its rows are worked off, or given back when the worker is stopping.
"""

import asyncio
from asyncio import AbstractEventLoop, Task
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from datetime import datetime, timedelta

import structlog

from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.waiting import BackOff, Bell, either, unless, within
from mainspring.kernel.commands.run_create import RunCreated, Taker
from mainspring.ports.errors import MainspringError, PortError
from mainspring.ports.names import Route, WorkerId
from mainspring.ports.records import Hint, JobKey, Lease

logger = structlog.get_logger("mainspring.worker")

MOMENT = timedelta(milliseconds=5)

HANDFUL = 8
"""While more jobs wait than there are slots, this part of the slots is worth a claim; fewer wait for a moment."""

LONGEST_PAUSE = timedelta(milliseconds=100)
"""Between two claims that gave nothing though the same job is due: what else falls due meanwhile waits as long."""

LOCAL_TURN = timedelta(seconds=1)
"""How long a slot goes on with a run's stages in line while no slot is free: then the run's next job waits its turn."""


class StuckBodiesError(MainspringError):
    """Too many bodies would not end; the process should be started anew."""


class Claiming:
    """Claims for one worker. ``stopping`` ends it; ``replan`` makes it look again when the next job is due."""

    def __init__(
        self,
        *,
        parts: Parts,
        registry: WorkflowRegistry,
        executor: Executor,
        settings: WorkerSettings,
        worker: WorkerId,
        stopping: Bell,
    ) -> None:
        self.running: dict[Task[None], None] = {}  #: attempts under way, oldest first
        self.slot_free = Bell()
        self.replan = Bell()
        self.heard = Bell()  #: somebody changed something while attempts are under way: perhaps one of their runs
        self.fenced = False  #: heartbeats fail: nothing new is claimed
        self.answered = False  #: the newest claim was answered, with jobs or without
        self._parts = parts
        self._registry = registry
        self._executor = executor
        self._settings = settings
        self._worker = worker
        self._stopping = stopping
        self._asked = 0  #: slots that claims under way may fill
        #: runs that are being made to be begun here; each keeps a slot
        self.starting: dict[Task[RunCreated], None] = {}
        self._context = copy_context()  #: in which attempts are made: not that of whoever starts a run here
        self._passed_due: datetime | None = None  #: since when something is due that could not be claimed
        self._passed_over = 0  #: how often it could not, one time after the other
        self._more_wait = False  #: the newest claim got all that it asked for
        self._wanted = 1  #: free slots that are worth waking for

    async def loop(self) -> None:
        """Claim until stopping.

        Raises:
            StuckBodiesError: more bodies would not end than the settings allow.
        """
        share = max(1, self._settings.concurrency // 2)  # half: some bodies run while others' commits are under way
        handful = max(1, self._settings.concurrency // HANDFUL)
        pause = BackOff(self._parts.ids.random())
        claims = True  #: there may be something to claim
        rested = False
        while not self._stopping.is_set():
            self.slot_free.clear()
            free = self._free
            if free <= 0 or self.fenced:
                await either(self.slot_free, self._stopping)
                continue
            if self._more_wait and free < handful and not rested:
                rested = True
                self._wanted = handful
                await within(self.slot_free, MOMENT.total_seconds())
                self._wanted = 1
                continue
            rested = False
            self._check_stuck()
            if claims:
                limit = min(free, share)
                try:
                    claimed = len(await self._claim(limit))
                except PortError as error:
                    self.answered = False
                    pause.failed("claim_failed", error)
                    await within(self._stopping, pause.seconds)
                    continue
                pause.went_well()
                self.answered = True
                if claimed:
                    self._passed_over = 0
                self._more_wait = claimed == limit
                if self._more_wait:
                    continue
            claims = await self._wait_for_work(claimed=claims)

    @property
    def _free(self) -> int:
        """Slots that nobody works in, and none is kept for."""
        return self._settings.concurrency - len(self.running) - len(self.starting)

    def _check_stuck(self) -> None:
        if self._executor.stuck >= self._settings.max_stuck:
            msg = f"{self._executor.stuck} bodies would not end; draining and exiting"
            raise StuckBodiesError(msg)

    async def _claim(self, limit: int, only: Sequence[JobKey] | None = None) -> list[Lease]:
        """Claim and begin to work; what was claimed. A claim that meets a stop is given back, and counts as nothing."""
        length = self._settings.timing.lease
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._asked += limit
        try:
            leases = await self._parts.store.claim(
                self._registry.routes(), limit=limit, length=length, worker=self._worker, only=only
            )
        finally:
            self._asked -= limit
        if self._stopping.is_set():
            await asyncio.gather(*(self._executor.release(lease.job) for lease in leases))
            return []
        if self._parts.observer is not None:
            self._parts.observer.claimed(leases, loop.time() - began)
        for lease in leases:
            self._begin(lease, began + length.total_seconds(), loop)
        return leases

    def _begin(self, lease: Lease, until: float, loop: AbstractEventLoop) -> None:
        name = f"attempt {lease.job.run_id}/{lease.job.stage}"
        task = loop.create_task(self._work(lease, until), name=name, context=self._context.copy())
        self.running[task] = None
        task.add_done_callback(self._done)

    def has_room(self, route: Route) -> bool:
        """Whether a run of this route may begin here at once: no other job is known to wait for the slot."""
        able = self.answered and not self.fenced and not self._stopping.is_set() and route in self._registry.routes()
        return able and not self._more_wait and self._free > self._asked

    async def start(self, create: Callable[[Taker], Awaitable[RunCreated]]) -> RunCreated:
        """Have a run made whose first job is leased to this worker, and begin to work on it. Ask ``has_room`` first.

        Whoever waits may stop waiting: what was made is begun all the same.

        Raises: as ``create`` does.
        """
        starting = asyncio.get_running_loop().create_task(self._start(create), name="run begun here")
        self.starting[starting] = None
        starting.add_done_callback(self._started)
        return await asyncio.shield(starting)

    async def _start(self, create: Callable[[Taker], Awaitable[RunCreated]]) -> RunCreated:
        length, loop = self._settings.timing.lease, asyncio.get_running_loop()
        began = loop.time()
        taker = Taker(worker=self._worker, lease_id=self._parts.ids.new_lease_id(), length=length)
        created = await create(taker)
        lease = created.lease
        if lease is not None:
            if self._stopping.is_set():
                await self._executor.release(lease.job)
                return created
            if self._parts.observer is not None:
                self._parts.observer.claimed([lease], loop.time() - began)
            self._begin(lease, began + length.total_seconds(), loop)
        return created

    def _started(self, starting: "Task[RunCreated]") -> None:
        del self.starting[starting]
        if not starting.cancelled():
            starting.exception()  # told to whoever waits, if anybody does
        if self._free >= self._wanted:
            self.slot_free.set()

    async def _work(self, lease: Lease, until: float) -> None:
        loop = asyncio.get_running_loop()
        turn_ends = loop.time() + LOCAL_TURN.total_seconds()

        def goes_on() -> bool:
            if self._stopping.is_set():
                return False
            return len(self.running) < self._settings.concurrency or loop.time() < turn_ends

        try:
            await self._executor.execute(lease, until, goes_on)
        except Exception:  # ours; the lease runs out and the job is made again
            logger.exception("lease_crashed", run=lease.job.run_id, stage=lease.job.stage, index=lease.job.index)

    def _done(self, task: "Task[None]") -> None:
        self.running.pop(task, None)
        if self._free >= self._wanted:
            self.slot_free.set()

    async def _wait_for_work(self, *, claimed: bool) -> bool:
        """Sleep until a hint, the next due job, or the safety poll; whether there may be something to claim.

        After a claim for a moment without asking when the next job is due: that read would hold up the jobs just
        claimed, and while jobs come one after the other nobody needs it. At a safety poll that read is all.
        """
        self.replan.clear()
        if claimed and (self._stopping.is_set() or await self._hear(MOMENT) or self.replan.is_set()):
            return True
        poll = self._settings.timing.safety_poll * (0.75 + 0.5 * self._parts.ids.random())
        try:
            due = await self._parts.store.next_due(self._registry.routes())
        except PortError as error:
            self.answered = False
            logger.warning("claim_failed", error=str(error))
            due = None
        else:
            self.answered = True
        left = poll if due is None else self._until(due)
        return await self._hear(min(poll, left)) or self.replan.is_set() or left < poll

    def _until(self, due: datetime) -> timedelta:
        """How long to wait for a job that a claim did not give us.

        One that is due came so just now, or somebody else's transaction has its row locked and may keep it so for long:
        asking again without a pause would burden the store most when it is in trouble.
        """
        left = due - self._parts.clock.now()
        if left > timedelta(0):
            self._passed_over = 0
            return left
        self._passed_over = self._passed_over + 1 if due == self._passed_due else 1
        self._passed_due = due
        return timedelta(0) if self._passed_over == 1 else min(MOMENT * 2 ** min(self._passed_over, 10), LONGEST_PAUSE)

    async def _hear(self, wait: timedelta) -> bool:
        """Wait for hints, not past another plan or a stop; whether any came."""
        hints: list[Hint] = []
        try:
            hints = await unless(self.replan, self._parts.transport.receive(1000, wait), hints)
            for hint in hints:
                await self._parts.transport.settle(hint)
        except PortError as error:
            logger.warning("hints_failed", error=str(error))
            await within(self._stopping, 1.0)
        if hints and len(self._executor.live):
            self.heard.set()
        return bool(hints)
