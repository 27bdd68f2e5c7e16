"""A SQLite store of the test's own, and a world around it."""

# pyright: reportPrivateUsage=false

import shutil
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from mainspring.adapters.memory import ManualClock, SeededIds
from mainspring.adapters.sql.sqlite import SQLitePersistence, migrate_sqlite, open_sqlite
from mainspring.adapters.sql.sqlite_rounds import Rounds
from mainspring.adapters.sql.sqlite_thread import SqliteThread
from mainspring.adapters.sql.sqlite_transport import SQLiteTransport

if TYPE_CHECKING:  # tests/contract asks pytest to rewrite the asserts of this module, which must not be imported before
    from mainspring.ports.contracts.world import World

Open: TypeAlias = Callable[..., tuple[SQLitePersistence, SQLiteTransport]]


def rounds_of(store: SQLitePersistence) -> Rounds:
    """What the store does with its own connection, to spoil it with."""
    assert isinstance(store._thread, SqliteThread)
    return store._thread._rounds


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, migrated once, to be copied for each test."""
    path = tmp_path_factory.mktemp("migrated") / "empty.db"
    migrate_sqlite(path)
    return path


@pytest.fixture
def path(migrated: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "store.db"
    shutil.copy(migrated, copy)
    return copy


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def opened(path: Path, clock: ManualClock) -> AsyncIterator[Open]:
    """Opens the file as often as asked; each opening is what another process would see."""
    stores: list[SQLitePersistence] = []
    transports: list[SQLiteTransport] = []

    def open_it(**options: object) -> tuple[SQLitePersistence, SQLiteTransport]:
        # The clock is the first argument that SeededIds takes; the number makes each opening's ids its own.
        store, transport = open_sqlite(path, clock=clock, ids=SeededIds(clock, len(stores)), **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        stores.append(store)
        transports.append(transport)
        return store, transport

    yield open_it
    for transport in transports:
        await transport.close()
    for store in stores:
        await store.close()


@pytest.fixture
async def world(opened: Open, clock: ManualClock) -> "World":
    from mainspring.ports.contracts.world import World

    async def advance(by: timedelta) -> None:
        clock.advance(by)

    return World(store=opened()[0], other=opened()[0], clock=clock, advance=advance)
