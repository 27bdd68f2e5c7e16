"""PostgreSQL stores for tests that break them: openings of one database, a foreign transaction, a line that is cut.

Rule: every opening is what another process would see. Whoever waits, waits for what the server itself tells.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg

from mainspring.adapters.memory import ManualClock
from mainspring.adapters.sql.postgres import PostgresPersistence, open_postgres
from mainspring.adapters.sql.postgres_connections import Connections
from mainspring.adapters.sql.postgres_transport import PostgresTransport

if TYPE_CHECKING:  # tests/contract asks pytest to rewrite the asserts of this module, which must not be imported before
    from mainspring.ports.contracts.world import World

SOON = 15.0  # seconds in which whatever is expected has come

Opened = tuple[PostgresPersistence, PostgresTransport]


@asynccontextmanager
async def openings(url: str, count: int = 1) -> AsyncGenerator[list[Opened]]:
    """So many processes' views of one store, closed after the block."""
    opened: list[Opened] = []
    try:
        for _ in range(count):
            one = await asyncio.to_thread(open_postgres, url)  # the test's own loop may be the line
            opened.append(one)
        yield opened
    finally:
        for store, transport in opened:
            await transport.close()
            await store.close()


@asynccontextmanager
async def world_of(url: str, direct: str | None = None) -> "AsyncGenerator[World]":
    """A world at a URL; what it looks at, it sees through ``direct``."""
    from mainspring.ports.contracts.world import World

    clock = ManualClock()

    async def advance(by: timedelta) -> None:
        clock.advance(by)

    async with openings(url) as [(store, _)], openings(direct or url) as [(other, _)]:
        yield World(store=store, other=other, clock=clock, advance=advance)


def connections_of(store: object) -> Connections:
    """The connections of an opening, to see or change what they are opened with."""
    assert isinstance(store, PostgresPersistence)
    return store._connections  # pyright: ignore[reportPrivateUsage]


def settings_of(store: object) -> dict[str, str]:
    """What the connections of an opening are opened with: to be changed before the first use."""
    return connections_of(store)._settings  # pyright: ignore[reportPrivateUsage]


@contextmanager
def foreign(url: str) -> "Generator[psycopg.Connection[tuple[Any, ...]]]":
    """Somebody else's transaction; rolled back, unless it was ended before."""
    with psycopg.connect(url) as connection:
        yield connection
        if not connection.closed:
            connection.rollback()


def rows(url: str, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """What a statement gives, on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set search_path = mainspring")
        cursor = connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


async def until(happened: Callable[[], object]) -> None:
    """Wait for what only a look can tell."""
    async with asyncio.timeout(SOON):
        while not await asyncio.to_thread(happened):
            await asyncio.sleep(0.005)


def waiting_for_a_lock(url: str) -> list[int]:
    """The backends of the database that wait for another's lock."""
    asked = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    return [row[0] for row in rows(url, asked)]


def kill(url: str, pids: Sequence[int]) -> None:
    """End these backends; return when they are gone."""
    rows(url, "select pg_terminate_backend(pid, 10000) from unnest(%s::int[]) as p(pid)", [list(pids)])


def ours(url: str) -> list[int]:
    """The backends of the stores that are open on the database."""
    asked = "select pid from pg_stat_activity where datname = current_database() and application_name = 'mainspring'"
    return [row[0] for row in rows(url, asked)]


class Line:
    """A line to the server that a test can make deaf: requests arrive, answers do not."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._deaf = asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def open(self) -> "AsyncGenerator[Line]":
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = self._server._replace(netloc=f"postgres@127.0.0.1:{port}").geturl()
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def deaf(self) -> Generator[None]:
        """In the block no answer passes; after it every connection breaks, and new ones hear again."""
        deaf, self._deaf = self._deaf, asyncio.Event()
        deaf.set()
        try:
            yield
        finally:
            self.cut()

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_server = await asyncio.open_connection(self._server.hostname, self._server.port)
        self._writers += [writer, to_server]
        for source, target, deaf in ((reader, to_server, None), (there, writer, self._deaf)):
            self._tasks.add(asyncio.create_task(_carry(source, target, deaf)))


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, deaf: asyncio.Event | None) -> None:
    try:
        while data := await source.read(65_536):
            if deaf is None or not deaf.is_set():
                target.write(data)
                await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()
