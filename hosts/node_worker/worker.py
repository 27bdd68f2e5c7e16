"""The worker: supervised loops around one executor — claim, heartbeat, upkeep, collector, relay — and an orderly end.

A part of upkeep that raises is tried again with back-off; a loop that ends takes the worker down.
"""

import asyncio
from asyncio import Event, Task
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import structlog

from mainspring.hosts.execution.executor import Executor, OnEnded, cancel_seats
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.chores import Chores
from mainspring.hosts.node_worker.claiming import Claiming
from mainspring.hosts.node_worker.heartbeat import CLOCK_PATIENCE, Heartbeat
from mainspring.hosts.node_worker.pointed import PointedClaiming
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.waiting import BackOff, Bell, unless, within
from mainspring.kernel.commands.run_create import RunCreated, Taker
from mainspring.kernel.outlets import register
from mainspring.ports.errors import MainspringError, PortError
from mainspring.ports.names import Route, RunId, WorkerId

logger = structlog.get_logger("mainspring.worker")


class WorkerDiedError(MainspringError):
    """A loop of the worker ended that must not end; the process should exit and be started anew."""


class Worker:
    """Claims and executes jobs of the registry's routes until it is told to stop."""

    def __init__(
        self,
        parts: Parts,
        registry: WorkflowRegistry,
        settings: WorkerSettings,
        on_ended: OnEnded | None = None,
    ) -> None:
        self.settings = settings
        self.id = WorkerId(f"{settings.name}-{parts.ids.new_lease_id()[:8]}")
        self.executor = Executor(parts, registry, settings.timing, on_ended)
        self._parts = parts
        self._registry = registry
        self._stopping = Bell()
        self._hurry = Bell()
        claiming = PointedClaiming if parts.transport.carries_pointers else Claiming
        self._claiming = claiming(
            parts=parts,
            registry=registry,
            executor=self.executor,
            settings=settings,
            worker=self.id,
            stopping=self._stopping,
        )
        self._heartbeat = Heartbeat(
            parts=parts,
            registry=registry,
            executor=self.executor,
            claiming=self._claiming,
            settings=settings,
            worker=self.id,
        )
        self._chores = Chores(parts, self.executor, self._claiming, settings)
        self.executor.on_postponed = self.replan

    async def run(self) -> None:
        """Work until ``stop``; then drain: let bodies finish within the grace, give the rest back.

        Raises:
            WorkerDiedError: a loop ended by itself.
        """
        if not await self._learn_the_time():
            return
        claiming = _spawn(self._claiming.loop(), "claim")
        loops = [_spawn(self._heartbeat.loop(), "heartbeat"), _spawn(self._chores.upkeep_loop(), "upkeep")]
        if self.settings.timing.collect > timedelta(0):
            loops.append(_spawn(self._chores.collect_loop(), "collect"))
        if self._parts.transport.carries_pointers:
            loops.append(_spawn(self._chores.announce_loop(), "announce"))
        if self._chores.sweeper.has_work:
            loops.append(_spawn(self._chores.sweep_loop(), "sweep"))
        for name, outlet in self._parts.outlets.items():
            loops.append(_spawn(self._chores.relay_loop(name, outlet), f"relay {name}"))
        stop = _spawn(_set(self._stopping), "stop")
        logger.info("worker_started", worker=self.id, routes=list(self._registry.routes()))
        died: list[Task[None]] = []
        try:
            done, _ = await asyncio.wait([claiming, *loops, stop], return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in (claiming, *loops) if task in done]
            died = [task for task in ended if not self._ended_as_asked(task, claiming)]
            if any(task.get_name() == "heartbeat" for task in died):
                self.hurry()  # nobody keeps the leases any more
            self.stop()
            await self._drain(claiming)
        finally:
            for seat in self.executor.live:
                seat.tell(Stop.SHUTDOWN)
            left = [claiming, *loops, stop, *self._claiming.running]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self._heartbeat.say_goodbye()
            self.executor.close()
        if died:
            error = None if died[0].cancelled() else died[0].exception()
            msg = f"the worker's {died[0].get_name()} loop ended: {error!r}"
            raise WorkerDiedError(msg) from error

    @property
    def trouble(self) -> str | None:
        """Why this worker takes no new work, in a few words; None: it does, as far as it knows."""
        claiming = self._claiming
        if self._stopping.is_set():
            return "draining"
        if claiming.fenced:
            return "heartbeats fail"
        return None if claiming.answered else "no claim is answered"

    def stop(self) -> None:
        """Stop claiming; ``run`` returns when what is under way has ended, or was given back after the grace."""
        self._stopping.set()
        self._claiming.replan.set()

    def hurry(self) -> None:
        """Give everything back at once."""
        self.stop()
        self._hurry.set()

    def replan(self) -> None:
        """This process made a job that is due later: do not sleep past that moment."""
        self._claiming.replan.set()

    async def start(self, route: Route, create: Callable[[Taker | None], Awaitable[RunCreated]]) -> RunCreated:
        """Have a run of the route made; begin it at once, leased to this worker, if a slot is free.

        Raises: as ``create`` does.
        """
        return await (self._claiming.start(create) if self._claiming.has_room(route) else create(None))

    def cancelling(self, run_id: RunId) -> None:
        """This process cancelled the run: tell its attempts here at once."""
        cancel_seats(self.executor, run_id)

    def _ended_as_asked(self, task: "Task[None]", claiming: "Task[None]") -> bool:
        asked = task is claiming and self._stopping.is_set()
        return asked and not task.cancelled() and task.exception() is None

    async def _learn_the_time(self) -> bool:
        """Ask for the store's time until it is told; False: the worker was stopped before, and has done nothing."""
        pause = BackOff(self._parts.ids.random())
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(CLOCK_PATIENCE):
                    await unless(self._stopping, self._settle_in(), None)
                break
            except (PortError, TimeoutError) as error:
                pause.failed("clock_not_set", error)
                await within(self._stopping, pause.seconds)
        return not self._stopping.is_set()

    async def _settle_in(self) -> None:
        await self._parts.refresh_clock()
        await register(self._parts.store, self._parts.outlets)

    async def _drain(self, claiming: "Task[None]") -> None:
        """A claim under way comes back; bodies get the grace, then are told to end and their jobs are given back."""
        timing = self.settings.timing
        running = self._claiming.running
        hurry = _spawn(_set(self._hurry), "hurry")
        loop = asyncio.get_running_loop()
        until = loop.time() + timing.shutdown_grace.total_seconds()
        try:
            grace = max(0.0, until - loop.time())
            await asyncio.wait([claiming, hurry], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            while running and not hurry.done() and loop.time() < until:
                await asyncio.wait([*running, hurry], timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
        for seat in self.executor.live:
            seat.tell(Stop.SHUTDOWN)
        last = [*running, claiming, *self._claiming.starting]
        await asyncio.wait(last, timeout=timing.cancel_grace.total_seconds() + 1.0)
        logger.info("worker_stopped", worker=self.id, left=len(running))


def _spawn(coroutine: Coroutine[Any, Any, None], name: str) -> Task[None]:
    return asyncio.get_running_loop().create_task(coroutine, name=name)


async def _set(event: Event) -> None:
    await event.wait()
