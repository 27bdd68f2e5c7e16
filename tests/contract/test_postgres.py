"""PostgreSQL as Persistence, JobTransport and RunFeed keeps the contracts.

Another process is another opening of the same schema. The store's time stands in a table of the test's own, which
stands in for ``mainspring_now()``.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from mainspring.adapters.memory import ManualClock
from mainspring.adapters.sql import postgres_commit
from mainspring.adapters.sql.moments import to_micros
from mainspring.adapters.sql.postgres import open_postgres
from mainspring.ports.contracts.commit_gates import CommitGatesContract
from mainspring.ports.contracts.commit_guards import CommitGuardsContract
from mainspring.ports.contracts.commit_writes import CommitWritesContract
from mainspring.ports.contracts.job_transport import JobTransportContract
from mainspring.ports.contracts.outbox_store import OutboxStoreContract
from mainspring.ports.contracts.persistence import PersistenceContract
from mainspring.ports.contracts.run_feed import RunFeedContract
from mainspring.ports.contracts.wakes import WakesContract
from mainspring.ports.contracts.world import SteerableClock
from mainspring.ports.job_transport import JobTransport, RunFeed
from mainspring.ports.persistence import Persistence

_STEERED = """
create table mainspring.test_clock (at bigint not null);
insert into mainspring.test_clock values (0);
create or replace function mainspring.mainspring_now() returns bigint language sql volatile
as 'select at from mainspring.test_clock'"""


class StoreTime(ManualClock):
    """A clock whose time the database tells too."""

    def __init__(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        super().__init__()
        self._connection = connection
        connection.execute(_STEERED)
        self.advance(timedelta())

    def advance(self, by: timedelta) -> None:
        super().advance(by)
        self._connection.execute("update mainspring.test_clock set at = %s", (to_micros(self.now()),))


class OnAServer:
    """Opens a database of the test's own; closes what it opened, each transport before its persistence."""

    direct = "database"  #: the fixture that gives the database's URL
    through = ""  #: the one that gives the way through a pooler, if there is one

    @pytest.fixture(autouse=True)
    async def _database(self, request: pytest.FixtureRequest) -> AsyncIterator[None]:
        database: str = request.getfixturevalue(self.direct)
        self.url = f"{request.getfixturevalue(self.through)}?pgbouncer=transaction" if self.through else database
        self.to_close: list[JobTransport | Persistence] = []
        with psycopg.connect(database, autocommit=True) as connection:
            self.connection = connection
            yield
        await self.finish()  # while the database is still there

    def opened(self) -> "tuple[Persistence, JobTransport, RunFeed]":
        persistence, transport = open_postgres(self.url)
        self.to_close += [transport, persistence]
        return persistence, transport, transport

    async def finish(self) -> None:
        for opened in self.to_close:
            await opened.close()
        self.to_close.clear()


# Two claims at once, two processes pointed at one job, the limit of a claim, events postponed in the outbox.
@pytest.mark.fault(29, 33, 61, 62)
# One end of many, one row per stage, tokens that grow, numbers without gaps, one run per key, leases checked.
@pytest.mark.promise(2, 4, 5, 7, 8, 9, 12, 13)
class TestPostgresPersistence(OnAServer, PersistenceContract):
    def new_clock(self) -> SteerableClock:
        return StoreTime(self.connection)

    async def open(self, clock: SteerableClock) -> Persistence:
        return self.opened()[0]

    async def second(self, clock: SteerableClock) -> Persistence:
        return self.opened()[0]


# A Change that is alone travels value by value, several travel in arrays: here single ones travel in arrays, too.


class TestPostgresBatches(
    OnAServer, CommitGuardsContract, CommitGatesContract, CommitWritesContract, WakesContract, OutboxStoreContract
):
    @pytest.fixture(autouse=True)
    def _in_arrays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres_commit, "MOST_APART", 0)

    def new_clock(self) -> SteerableClock:
        return StoreTime(self.connection)

    async def open(self, clock: SteerableClock) -> Persistence:
        return self.opened()[0]

    async def second(self, clock: SteerableClock) -> Persistence:
        return self.opened()[0]


class TestPostgresJobTransport(OnAServer, JobTransportContract):
    carries_pointers = False
    delays = None

    async def open(self) -> JobTransport:
        return self.opened()[1]


class TestPostgresRunFeed(OnAServer, RunFeedContract):
    async def open(self) -> RunFeed:
        return self.opened()[2]


# The oldest major that is tested, whose databases sort texts as in English.


class TestPostgres15Persistence(TestPostgresPersistence):
    direct = "database15"


class TestPostgres15JobTransport(TestPostgresJobTransport):
    direct = "database15"


class TestPostgres15RunFeed(TestPostgresRunFeed):
    direct = "database15"


# Through a pooler of transactions. Nobody can listen there: hints stay within the process.


@pytest.mark.fault(65, 66)
class TestPooledPersistence(TestPostgresPersistence):
    through = "bouncer"


class TestPooledJobTransport(TestPostgresJobTransport):
    through = "bouncer"


class TestPooledRunFeed(TestPostgresRunFeed):
    through = "bouncer"
