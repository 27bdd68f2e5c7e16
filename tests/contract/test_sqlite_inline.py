"""SQLite in memory, run at once on the caller's thread, keeps the contract of Persistence: simulate with it freely."""

from mainspring.adapters.memory import ManualClock, SeededIds
from mainspring.adapters.sql.sqlite_inline import SharedDatabase
from mainspring.ports.contracts.persistence import PersistenceContract
from mainspring.ports.contracts.world import SteerableClock
from mainspring.ports.persistence import Persistence


class TestInlineSqlite(PersistenceContract):
    """Another process is another client of the same database."""

    def new_clock(self) -> SteerableClock:
        return ManualClock()

    async def open(self, clock: SteerableClock) -> Persistence:
        self.database = SharedDatabase(clock)
        return self.database.client(SeededIds(clock, 1))

    async def second(self, clock: SteerableClock) -> Persistence:
        return self.database.client(SeededIds(clock, 2))

    async def finish(self) -> None:
        await super().finish()
        self.database.close()
