"""A store used like a database server, and points at which one of its clients stops."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from mainspring.adapters.memory import ManualClock, Point, RowLocks, SeededIds, ServerPersistence
from mainspring.adapters.memory.points import straight_on
from mainspring.ports.contracts.world import World
from mainspring.ports.sinks import Sink

T = TypeVar("T")


class Stop:
    """Stops whoever passes the point until told to go on; or for ever, as if its process had died there."""

    def __init__(self, point: str) -> None:
        self._point = point
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, name: str) -> None:
        """Pass, or stop."""
        if name == self._point:
            self.reached.set()
            await self.go_on.wait()


class Server:
    """One store, its clock, its locks and its first two clients."""

    def __init__(self, *, lock_timeout: timedelta = timedelta(hours=1)) -> None:
        self.clock = ManualClock()
        self.locks = RowLocks()
        self.one = ServerPersistence(self.clock, SeededIds(self.clock), locks=self.locks, lock_timeout=lock_timeout)
        self.two = self.one.another()
        self.store = self.one.store
        self.store.add_sink(Sink())
        self.world = World(store=self.one, other=self.two, clock=self.clock, advance=self._advance)

    async def _advance(self, by: timedelta) -> None:
        self.clock.advance(by)

    def client(self, point: Point = straight_on) -> ServerPersistence:
        """A further client."""
        return self.one.another(point)


async def turns() -> None:
    """Everybody runs until nobody can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def begun(call: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """The call, as far as it comes alone."""
    task = asyncio.create_task(call)
    await turns()
    return task
