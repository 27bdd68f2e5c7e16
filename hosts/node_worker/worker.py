"""The worker: four supervised loops around one executor — claim, heartbeat, upkeep, relay.

A part of upkeep that raises is tried again with back-off; a loop that ends takes the worker down.
"""

import asyncio
from asyncio import Event, Task
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import structlog

from mainspring.hosts.execution.executor import Ended, Executor, cancel_seats
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.upkeep.relay import Relay
from mainspring.hosts.upkeep.ticks import Upkeep
from mainspring.ports.errors import MainspringError, PortError
from mainspring.ports.names import RunId, WorkerId
from mainspring.ports.records import Hint, Lease, RunStatus, WorkerRecord

logger = structlog.get_logger("mainspring.worker")

_MOMENT = timedelta(milliseconds=5)

MARGIN = 0.8
"""Share of the lease after which a worker whose heartbeats fail ends its bodies."""


class WorkerDiedError(MainspringError):
    """A loop of the worker ended that must not end; the process should exit and be started anew."""


class Worker:
    """Claims and executes jobs of the registry's routes until it is told to stop."""

    def __init__(
        self,
        parts: Parts,
        registry: WorkflowRegistry,
        settings: WorkerSettings,
        on_ended: Ended | None = None,
    ) -> None:
        self.settings = settings
        self.id = WorkerId(f"{settings.name}-{parts.ids.new_lease_id()[:8]}")
        self.executor = Executor(parts, registry, settings.timing, on_ended)
        self._parts = parts
        self._registry = registry
        self._upkeep = Upkeep(parts.store, self.executor.dispatcher)
        self._running: set[Task[None]] = set()
        self._slot_free = Event()
        self._stopping = Event()
        self._replan = Event()  #: the next due moment may have changed, or it is time to stop: ends a wait for work
        self.executor.on_postponed = self._replan.set
        self._hurry = Event()
        self._beat_now = Event()
        self._fenced = False  #: heartbeats fail: nothing new is claimed
        self._last_beat = 0.0
        self._started_at = parts.clock.now()
        self.beats = 0  #: heartbeats made; a watchdog may look at it

    # -- life ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until ``stop``; then drain: let bodies finish within the grace, give the rest back.

        Raises:
            WorkerDiedError: a loop ended by itself.
        """
        loops = {
            self._spawn(self._claim_loop(), "claim"),
            self._spawn(self._heartbeat_loop(), "heartbeat"),
            self._spawn(self._upkeep_loop(), "upkeep"),
        }
        if self._parts.sink is not None:
            loops.add(self._spawn(self._relay_loop(), "relay"))
        stop = self._spawn(_set(self._stopping), "stop")
        logger.info("worker_started", worker=self.id, routes=list(self._registry.routes()))
        try:
            done, _ = await asyncio.wait({*loops, stop}, return_when=asyncio.FIRST_COMPLETED)
            asked = self._stopping.is_set()
            died = [task for task in done if task is not stop and not (asked and task.exception() is None)]
            self.stop()
            await self._drain()
        finally:
            for task in (*loops, stop):
                task.cancel()
            await asyncio.gather(*loops, stop, return_exceptions=True)
            await self._say_goodbye()
            self.executor.close()
        if died:
            error = died[0].exception()
            msg = f"the worker's {died[0].get_name()} loop ended: {error!r}"
            raise WorkerDiedError(msg) from error

    def stop(self) -> None:
        """Stop claiming; ``run`` returns when what is under way has ended, or was given back after the grace."""
        self._stopping.set()
        self._replan.set()

    def hurry(self) -> None:
        """Give everything back at once."""
        self.stop()
        self._hurry.set()

    def replan(self) -> None:
        """This process made a job that is due later: do not sleep past that moment."""
        self._replan.set()

    def look(self, run_id: RunId, *, cancelling: bool = False) -> None:
        """The run was changed by this process: tell its attempts at once."""
        if cancelling:
            cancel_seats(self.executor, run_id)
        else:
            self._beat_now.set()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> Task[None]:
        return asyncio.get_running_loop().create_task(coroutine, name=name)

    # -- claiming --------------------------------------------------------------------------------------------------

    async def _claim_loop(self) -> None:
        share = max(1, self.settings.concurrency // 4)
        delay = 0.0
        while not self._stopping.is_set():
            self._slot_free.clear()
            free = self.settings.concurrency - len(self._running)
            if free <= 0 or self._fenced:
                await _either(self._slot_free, self._stopping)
                continue
            if self.executor.stuck >= self.settings.max_stuck:
                msg = f"{self.executor.stuck} bodies would not end; draining and exiting"
                raise WorkerDiedError(msg)
            limit = min(free, share)
            try:
                claimed = await self._claim(limit)
            except PortError as error:
                delay = self._back_off(delay, "claim_failed", error)
                await self._pause(delay)
                continue
            delay = 0.0
            if claimed < limit:
                await self._wait_for_work()

    async def _claim(self, limit: int) -> int:
        """Claim and launch; a claim under way is never abandoned, so that its rows are worked off or given back."""
        timing = self.settings.timing
        loop = asyncio.get_running_loop()
        began = loop.time()
        leases = await asyncio.shield(
            asyncio.ensure_future(
                self._parts.store.claim(
                    self._registry.routes(), limit=limit, length=timing.lease, worker=self.id
                )
            )
        )
        until = began + timing.lease.total_seconds()
        for lease in leases:
            task = loop.create_task(self._work(lease, until), name=f"attempt {lease.job.run_id}/{lease.job.stage}")
            self._running.add(task)
        return len(leases)

    async def _work(self, lease: Lease, until: float) -> None:
        try:
            await self.executor.execute(lease, until, lambda: not self._stopping.is_set())
        except Exception:  # what goes wrong here is ours; the lease runs out and the job is made again
            logger.exception("attempt_crashed", run=lease.job.run_id, stage=lease.job.stage)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._running.discard(task)
            self._slot_free.set()

    async def _wait_for_work(self) -> None:
        """Sleep until a hint, the next due job, or the safety poll.

        For a moment without asking when the next job is due: that read would hold up the jobs just claimed, and while
        jobs come one after the other nobody needs it.
        """
        self._replan.clear()
        if await self._hear(_MOMENT) or self._replan.is_set():
            return
        poll = self.settings.timing.safety_poll * (0.75 + 0.5 * self._parts.ids.random())
        try:
            due = await self._parts.store.next_due(self._registry.routes())
        except PortError:
            due = None
        if due is not None:
            poll = max(timedelta(0), min(poll, due - self._parts.clock.now()))
        await self._hear(poll)

    async def _hear(self, wait: timedelta) -> bool:
        """Wait for hints, not past another plan or a stop; whether any came."""
        hints: list[Hint] = []
        try:
            hints = await self._first(self._parts.transport.receive(1000, wait), [])
            for hint in hints:
                await self._parts.transport.settle(hint)
        except PortError as error:
            logger.warning("hints_failed", error=str(error))
            await self._pause(1.0)
        if hints and len(self.executor.live) and asyncio.get_running_loop().time() - self._last_beat > 1.0:
            self._beat_now.set()  # somebody changed something: perhaps one of our runs
        return bool(hints)

    # -- heartbeat -------------------------------------------------------------------------------------------------

    async def _heartbeat_loop(self) -> None:
        timing = self.settings.timing
        every = timing.heartbeat.total_seconds()
        retry_after = every / 5
        said_hello = 0.0
        loop = asyncio.get_running_loop()
        pause = 0.0
        while True:
            await _within(self._beat_now, pause)
            self._beat_now.clear()
            self._last_beat = began = loop.time()
            try:
                if len(self.executor.live):
                    answers = await self._parts.store.extend(self.executor.live.leases(), timing.lease)
                    woken = self.executor.live.heard(answers, began + timing.lease.total_seconds())
                    for run_id in woken:
                        await self._tell_if_cancelling(run_id)
                elif self._fenced:
                    await self._say_hello()  # the store takes writes again, or not
                if began - said_hello >= 30.0 or not said_hello:
                    await self._say_hello()
                    said_hello = began
                self._recovered()
                pause = every * (0.9 + 0.2 * self._parts.ids.random())
            except PortError as error:
                self._failing(error)
                pause = retry_after
            self.beats += 1

    async def _tell_if_cancelling(self, run_id: RunId) -> None:
        run = await self._parts.store.run(run_id)
        if run is not None and run.status is RunStatus.CANCELLING:
            cancel_seats(self.executor, run_id)

    def _failing(self, error: PortError) -> None:
        """Heartbeats fail: claim nothing; end bodies before their leases run out, on the loop's monotonic clock."""
        if not self._fenced:
            logger.error("heartbeat_failed", error=str(error))
        self._fenced = True
        margin = (1.0 - MARGIN) * self.settings.timing.lease.total_seconds()
        for seat in self.executor.live.overdue(asyncio.get_running_loop().time() + margin):
            seat.tell(Stop.LEASE_LOST)

    def _recovered(self) -> None:
        if self._fenced:
            logger.info("heartbeat_recovered")
            self._fenced = False
            self._slot_free.set()

    async def _say_hello(self) -> None:
        await self._parts.store.record_worker(
            WorkerRecord(
                id=self.id,
                routes=self._registry.routes(),
                build=self.settings.build,
                started_at=self._started_at,
                seen_at=self._parts.clock.now(),
            )
        )

    async def _say_goodbye(self) -> None:
        try:
            await self._parts.store.forget_worker(self.id)
        except PortError as error:
            logger.warning("worker_row_left", error=str(error))

    # -- upkeep and relay ------------------------------------------------------------------------------------------

    async def _upkeep_loop(self) -> None:
        every = self.settings.timing.reap.total_seconds()
        delay = 0.0
        while True:
            await asyncio.sleep(max(delay, every * (0.5 + self._parts.ids.random())))
            try:
                reaped = await self._upkeep.reap()
                expired = await self._upkeep.expire()
                delay = 0.0
            except PortError as error:
                delay = self._back_off(delay, "upkeep_failed", error)
                continue
            if reaped:
                self._slot_free.set()
                self._replan.set()
            for run_id in expired:
                for seat in self.executor.live.of_run(run_id):
                    seat.tell(Stop.LEASE_LOST)

    async def _relay_loop(self) -> None:
        sink = self._parts.sink
        if sink is None:
            return
        relay = Relay(
            self._parts.store,
            self.executor.dispatcher,
            sink,
            self._parts.ids.new_lease_id(),
            batch=self.settings.relay_batch,
        )
        delay = 0.0
        try:
            while True:
                try:
                    settled = await relay.tick()
                    delay = 0.0
                except PortError as error:
                    delay = self._back_off(delay, "relay_failed", error)
                    settled = None
                if settled is None or not settled.published:
                    pause = self.settings.relay_poll.total_seconds() * (0.75 + 0.5 * self._parts.ids.random())
                    await asyncio.sleep(max(delay, pause))
        finally:
            await relay.close()

    # -- ending ----------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Bodies get the grace, then are told to end and their jobs are given back."""
        grace = self.settings.timing.shutdown_grace.total_seconds()
        hurry = self._spawn(_set(self._hurry), "hurry")
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        while self._running and not hurry.done() and loop.time() < until:
            await asyncio.wait(
                {*self._running, hurry}, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED
            )
        hurry.cancel()
        for seat in self.executor.live:
            seat.tell(Stop.SHUTDOWN)
        if self._running:
            last = self.settings.timing.cancel_grace.total_seconds() + 1.0
            await asyncio.wait(self._running, timeout=last)
        for task in self._running:
            task.cancel()
        logger.info("worker_stopped", worker=self.id, left=len(self._running))

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _back_off(self, delay: float, event: str, error: Exception) -> float:
        logger.warning(event, error=str(error))
        return min(max(delay * 2, 0.1), 5.0) * (0.75 + 0.5 * self._parts.ids.random())

    async def _pause(self, seconds: float) -> None:
        await _within(self._stopping, seconds)

    async def _first(self, coroutine: Coroutine[Any, Any, list[Any]], otherwise: list[Any]) -> list[Any]:
        """The coroutine's value, or ``otherwise`` if a stop or another plan comes first."""
        task = asyncio.ensure_future(coroutine)
        if self._stopping.is_set():
            self._replan.set()
        stop = asyncio.ensure_future(self._replan.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else otherwise
        finally:
            stop.cancel()
            task.cancel()


async def _set(event: Event) -> None:
    await event.wait()


async def _within(event: Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def _either(*events: Event) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
