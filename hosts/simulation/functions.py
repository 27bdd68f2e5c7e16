"""Functions of a simulated world: the environment calls the real handlers, and ends what takes too long."""

import asyncio
from datetime import timedelta
from typing import Any

from mainspring.hosts.execution.parts import Parts, Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.serverless.host import ServerlessHost
from mainspring.hosts.simulation.lives import Life, State
from mainspring.hosts.simulation.world import World
from mainspring.ports.errors import PortError

INVOCATION = 30.0
"""Seconds after which an invocation of a function is ended from outside."""

BREATH = 0.5
"""Seconds after which whoever was refused asks again."""

TICK = 12.0
"""Seconds between two scheduled invocations of a function."""


class Function:
    """One process of a function: the environment calls it, and ends it when an invocation takes too long."""

    def __init__(self, world: World, life: Life, parts: Parts, registry: WorkflowRegistry, timing: Timing) -> None:
        self._world = world
        self._life = life
        self._parts = parts
        self._host = ServerlessHost(parts, registry, timing=timing, name=life.host.name)
        self._calls = 0
        self._until = 0.0

    async def serve(self) -> None:
        """Be called for each message, and on a schedule, for ever."""
        loop = self._world.loop
        due = loop.time() + TICK * self._parts.ids.random()
        while True:
            try:
                hints = await self._parts.transport.receive(1, timedelta(seconds=max(0.0, due - loop.time())))
                for hint in hints:
                    if hint.pointer is not None:
                        await self._invoke(self._host.handle_job(hint.pointer, self._remaining))
                    await self._parts.transport.settle(hint)
                if loop.time() >= due:
                    due = loop.time() + TICK
                    if not self._parts.transport.carries_pointers:
                        await self._invoke(self._host.process_available_jobs(10, self._remaining))
                    await self._invoke(self._host.run_maintenance_tick(self._remaining))
            except PortError:  # the message comes again
                self._world.counts["invocation failed"] += 1
                self._calls += 1
                await asyncio.sleep(BREATH)

    async def _invoke(self, call: Any) -> None:
        self._calls += 1
        number = self._calls
        self._until = self._world.loop.time() + INVOCATION
        self._world.after(INVOCATION, self._out_of_time, number)
        await call
        self._calls += 1

    def _remaining(self) -> timedelta:
        return timedelta(seconds=self._until - self._world.loop.time())

    def _out_of_time(self, number: int) -> None:
        if self._calls == number and self._life.state is not State.DEAD:
            self._world.counts["invocation out of time"] += 1
            self._world.kill(self._life, 0.5)
