"""The memory store used like a database server keeps the contract of Persistence, at rest and interleaved."""

import asyncio
from random import Random

from mainspring.adapters.memory import ManualClock, Point, RowLocks, SeededIds, ServerPersistence
from mainspring.ports.contracts.persistence import PersistenceContract
from mainspring.ports.contracts.world import SteerableClock
from mainspring.ports.persistence import Persistence


async def one_turn(name: str) -> None:
    """A round trip: others have their turn meanwhile."""
    await asyncio.sleep(0)


class TestServerPersistence(PersistenceContract):
    """Every statement takes the same time."""

    def new_clock(self) -> SteerableClock:
        return ManualClock()

    def new_point(self) -> Point:
        return one_turn

    async def open(self, clock: SteerableClock) -> Persistence:
        self.point = self.new_point()
        self.one = ServerPersistence(clock, SeededIds(clock), locks=RowLocks(), point=self.point)
        return self.one

    async def second(self, clock: SteerableClock) -> Persistence:
        return self.one.another(self.point)


class TestServerPersistenceInterleaved(TestServerPersistence):
    """The same, with every call suspended a random while before, after, and with its locks held."""

    def new_point(self) -> Point:
        dice = Random(0)

        async def linger(name: str) -> None:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)

        return linger
