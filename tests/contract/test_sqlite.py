"""SQLite as Persistence, JobTransport and RunFeed keeps the contracts.

Another process is another opening of the same file.
"""

import asyncio
import shutil
from pathlib import Path

import pytest

from mainspring.adapters.memory import ManualClock, SeededIds
from mainspring.adapters.sql.sqlite import open_sqlite
from mainspring.adapters.system import SystemIds
from mainspring.ports.clock import Clock
from mainspring.ports.contracts.job_transport import JobTransportContract
from mainspring.ports.contracts.persistence import PersistenceContract
from mainspring.ports.contracts.run_feed import RunFeedContract
from mainspring.ports.contracts.world import SteerableClock
from mainspring.ports.job_transport import JobTransport, RunFeed
from mainspring.ports.persistence import Persistence


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store migrated once, to be copied for each test."""
    path = tmp_path_factory.mktemp("sqlite") / "empty.db"
    persistence, transport = open_sqlite(path, clock=ManualClock(), ids=SystemIds())

    async def close() -> None:
        await transport.close()
        await persistence.close()

    asyncio.run(close())
    return path


class OnAFile:
    """Opens a file of the test's own; closes what it opened, each transport before its persistence."""

    @pytest.fixture(autouse=True)
    def _file(self, empty_store: Path, tmp_path: Path) -> None:
        self.path = tmp_path / "store.db"
        shutil.copy(empty_store, self.path)
        self.to_close: list[JobTransport | Persistence] = []

    def opened(self, clock: Clock) -> "tuple[Persistence, JobTransport, RunFeed]":
        persistence, transport = open_sqlite(self.path, clock=clock, ids=SeededIds(clock, len(self.to_close)))
        self.to_close += [transport, persistence]
        return persistence, transport, transport

    async def finish(self) -> None:
        for opened in self.to_close:
            await opened.close()


# Two claims at once, two processes pointed at one job, the limit of a claim, events postponed in the outbox.
@pytest.mark.fault(29, 33, 61, 62)
# One end of many, one row per stage, tokens that grow, numbers without gaps, one run per key, leases checked.
@pytest.mark.promise(2, 4, 5, 7, 8, 9, 12, 13)
class TestSQLitePersistence(OnAFile, PersistenceContract):
    def new_clock(self) -> SteerableClock:
        return ManualClock()

    async def open(self, clock: SteerableClock) -> Persistence:
        return self.opened(clock)[0]

    async def second(self, clock: SteerableClock) -> Persistence:
        return self.opened(clock)[0]


class TestSQLiteJobTransport(OnAFile, JobTransportContract):
    carries_pointers = False
    delays = None

    async def open(self) -> JobTransport:
        return self.opened(ManualClock())[1]


class TestSQLiteRunFeed(OnAFile, RunFeedContract):
    async def open(self) -> RunFeed:
        return self.opened(ManualClock())[2]
