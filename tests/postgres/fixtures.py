"""What tests ask for by name when they need PostgreSQL. Rule: each is started when the first test asks for it."""

import os
from collections.abc import Generator

import pytest

from mainspring.adapters.sql.schema import migrate
from tests.postgres.bouncer import Bouncer, bouncing
from tests.postgres.databases import Databases
from tests.postgres.server import PostgresServer, bundled_18, debian_15


@pytest.fixture(scope="session")
def postgres() -> Generator[PostgresServer]:
    """The server: PostgreSQL 18, or the one that MAINSPRING_TEST_POSTGRES_URL names."""
    address = os.environ.get("MAINSPRING_TEST_POSTGRES_URL")
    if address:
        yield PostgresServer(address)
        return
    with bundled_18() as server:
        yield server


@pytest.fixture(scope="session")
def postgres15() -> Generator[PostgresServer]:
    """A server of the oldest version that is supported."""
    with debian_15() as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: PostgresServer) -> Generator[Databases]:
    """``with databases.fresh() as url:`` for tests that need several."""
    made = Databases(postgres, migrate)
    yield made
    made.close()


@pytest.fixture(scope="session")
def databases15(postgres15: PostgresServer) -> Generator[Databases]:
    """The same on PostgreSQL 15."""
    made = Databases(postgres15, migrate)
    yield made
    made.close()


@pytest.fixture
def database(databases: Databases) -> Generator[str]:
    """The URL of a fresh database with the schema."""
    with databases.fresh() as url:
        yield url


@pytest.fixture
def empty_database(databases: Databases) -> Generator[str]:
    """The URL of a fresh database without anything in it."""
    with databases.fresh(migrated=False) as url:
        yield url


@pytest.fixture
def database15(databases15: Databases) -> Generator[str]:
    """The URL of a fresh database with the schema, on PostgreSQL 15."""
    with databases15.fresh() as url:
        yield url


@pytest.fixture
def empty_database15(databases15: Databases) -> Generator[str]:
    """The URL of a fresh database without anything in it, on PostgreSQL 15."""
    with databases15.fresh(migrated=False) as url:
        yield url


@pytest.fixture(scope="session")
def pgbouncer(postgres: PostgresServer) -> Generator[Bouncer]:
    """pgbouncer in transaction mode before the server."""
    with bouncing(postgres) as running:
        yield running


@pytest.fixture
def bouncer(pgbouncer: Bouncer, database: str) -> str:
    """The URL of ``database`` through pgbouncer."""
    return pgbouncer.url(database)
