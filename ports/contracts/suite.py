"""The suite of Persistence: all four of its protocols, on one store seen by two processes."""

from datetime import timedelta

from mainspring.ports.contracts.world import SteerableClock, World
from mainspring.ports.persistence import Persistence
from mainspring.ports.sinks import Sink


class PersistenceSuite:
    """What every suite of a store's protocol stands on: how to make a store, and a world around it."""

    def new_clock(self) -> SteerableClock:
        """The clock that tells the store's time."""
        raise NotImplementedError

    async def open(self, clock: SteerableClock) -> Persistence:
        """A fresh, empty store whose time is the clock's."""
        raise NotImplementedError

    async def second(self, clock: SteerableClock) -> Persistence:
        """The store that ``open`` gave last, as another process sees it."""
        raise NotImplementedError

    async def advance(self, by: timedelta) -> None:
        """Move the store's time; by the clock, unless the store has another way."""
        self._world.clock.advance(by)

    async def world(self) -> World:
        """A fresh store with its clock and builders; its events are written."""
        clock = self.new_clock()
        store = await self.open(clock)
        self._opened = [store]
        other = await self.second(clock)
        self._opened.append(other)
        self._world = World(store=store, other=other, clock=clock, advance=self.advance)
        await store.add_sink(Sink())
        return self._world

    async def finish(self) -> None:
        """Close what the test opened; to be called after each."""
        opened, self._opened = self._opened, []
        for client in opened:
            await client.close()

    _world: World
    _opened: list[Persistence] = []  # noqa: RUF012  replaced, never changed
