"""Connections to PostgreSQL, each for one kind of work, so that none waits for another's.

Rule: one statement is one transaction and one round trip. A connection is opened when it is first needed, looked at
before each use (what the server said meanwhile is read, which costs no round trip), and given up when it breaks; who
asked then gets :class:`LostError`, because nobody knows whether the statement ran.

A lane belongs to one event loop; :class:`Connections` opens others for another loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.string import TextLoader
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from mainspring.adapters.sql.postgres_errors import is_repeatable, translate
from mainspring.adapters.sql.postgres_location import PostgresLocation
from mainspring.adapters.sql.rows import Row
from mainspring.ports.errors import UnavailableError

Connection: TypeAlias = "psycopg.AsyncConnection[Row]"
T = TypeVar("T")
Sleep: TypeAlias = Callable[[float], Awaitable[None]]

COMMIT, CLAIM, HEARTBEAT, SWEEP, HINTS, LISTEN = "commit", "claim", "heartbeat", "sweep", "hints", "listen"
READS = ("read 1", "read 2")

#: What every statement runs with: the plans that were measured, and an end to each wait.
_SETTINGS = {
    "jit": "off",
    "enable_seqscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
}
#: A peer that is gone is noticed by these, in seconds (and milliseconds), where the URL says nothing else.
_NETWORK = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
_PREPARED = 1000  # statements kept prepared: as many as there are shapes of batches
_TRIES = 5
_MANY = 100
"""A cursor keeps what it was last answered: one that was answered with more rows than these is let go."""


class LostError(UnavailableError):
    """The connection broke while a statement was under way: it ran, or it did not."""


class Lane:
    """One connection, and who waits for it."""

    def __init__(self, location: PostgresLocation, settings: dict[str, str]) -> None:
        self._location = location
        self._settings = settings
        self._connection: Connection | None = None
        self._cursor: psycopg.AsyncCursor[Row] | None = None  #: of the connection; making one costs as much as asking
        self._busy = asyncio.Lock()
        self.closed = False

    @property
    def busy(self) -> bool:
        """Whether somebody's statement is under way."""
        return self._busy.locked()

    @property
    def process_id(self) -> int | None:
        """The server's process behind the connection, if there is one."""
        return None if self._connection is None else self._connection.info.backend_pid

    async def ask(self, statement: bytes, parameters: Sequence[object] = ()) -> list[Row]:
        """Run one statement as one transaction, and give its rows.

        Raises: as :meth:`work`.
        """
        pooled = self._location.pgbouncer

        async def once(connection: Connection) -> list[Row]:
            cursor = self._cursor
            if cursor is None:
                cursor = self._cursor = connection.cursor()
            await cursor.execute(statement, parameters, prepare=not pooled)
            result = cursor.pgresult
            rows = await cursor.fetchall() if result is not None and result.nfields else []
            if len(rows) > _MANY:
                self._cursor = None
            return rows

        return await self.work(once, transaction=pooled)

    async def work(self, act: Callable[[Connection], Awaitable[T]], *, transaction: bool = True) -> T:
        """Do something with the connection, in one transaction.

        Raises:
            LostError: the connection broke; the statement ran, or it did not.
            UnavailableError: the server cannot be reached.
            psycopg.Error: the server refused; nothing was written.
        """
        async with self._busy:
            connection = await self._connected()
            try:
                if not transaction:
                    return await act(connection)
                async with connection.transaction():
                    if self._location.pgbouncer:  # what such a pooler allows: settings for this transaction only
                        local = ", ".join(
                            f"set_config('{name}', '{value}', true)" for name, value in self._settings.items()
                        )
                        await connection.execute(f"select {local}".encode(), prepare=False)
                    return await act(connection)
            except psycopg.Error as error:
                if not connection.closed:
                    raise
                self.give_up()
                raise LostError(f"the connection to {self._location.shown} broke: {_said(error)}") from error
            except BaseException:
                if connection.closed or connection.pgconn.transaction_status:
                    self.give_up()  # cancelled in the middle
                raise

    async def connection(self) -> Connection:
        """The connection itself, for whoever has the lane to himself."""
        return await self._connected()

    async def close(self) -> None:
        """Let what is under way end, then close."""
        self.closed = True
        async with self._busy:
            connection, self._connection, self._cursor = self._connection, None, None
            if connection is not None:
                await connection.close()

    def abandon(self) -> None:
        """Close at once, from anywhere."""
        self.closed = True
        self.give_up()

    def give_up(self) -> None:
        """Drop the connection; the next use opens another."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            connection.pgconn.finish()

    async def _connected(self) -> Connection:
        if self.closed:
            raise UnavailableError(f"the store {self._location.shown} is closed; open it again")
        connection = self._connection
        if connection is not None:
            try:
                # Twice: what the server said when it left comes first, that it is gone only after that.
                connection.pgconn.consume_input()
                connection.pgconn.consume_input()
            except psycopg.Error:
                self.give_up()
            else:
                return connection
        self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> Connection:
        location, options = self._location, ""
        if not location.pgbouncer:
            options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        given = conninfo_to_dict(location.conninfo)
        more = {name: value for name, value in _NETWORK.items() if name not in given}
        if options:
            more["options"] = f"{given.get('options') or ''} {options}".strip()
        try:
            connection: Connection = await psycopg.AsyncConnection.connect(
                make_conninfo(location.conninfo, application_name="mainspring", **more),
                autocommit=True,
                prepare_threshold=None if location.pgbouncer else 0,
                cursor_factory=psycopg.AsyncRawCursor,
            )
        except psycopg.Error as error:
            raise translate(error, location.shown) from error
        connection.prepared_max = _PREPARED
        connection.adapters.register_loader("uuid", TextLoader)
        return connection


def _said(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class Connections:
    """The lanes of a process, one set per event loop that uses the store.

    Args:
        location: of the store.
        sleep: how a repeat waits; in seconds.
    """

    def __init__(self, location: PostgresLocation, sleep: Sleep = asyncio.sleep) -> None:
        self.location = location
        self._settings = {**_SETTINGS, "search_path": location.schema}
        self._sleep = sleep
        self._lanes: dict[str, Lane] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False

    def lane(self, name: str) -> Lane:
        """The lane of this name, in the running loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            for other in self._lanes.values():
                other.abandon()
            self._lanes, self._loop = {}, loop
        lane = self._lanes.get(name)
        if lane is None:
            settings = self._settings
            if name == HINTS:
                settings = {**settings, "synchronous_commit": "off"}  # a hint may be lost
            lane = self._lanes[name] = Lane(self.location, settings)
            lane.closed = self.closed
        return lane

    async def read(self, statement: bytes, parameters: Sequence[object] = ()) -> list[Row]:
        """Ask what changes nothing, on whichever connection is free; again, if the connection broke."""
        first, second = (self.lane(name) for name in READS)
        lane = second if first.busy and not second.busy else first
        return await self.ask(lane, statement, parameters, repeat=_broke_or_raced)

    async def write(self, name: str, statement: bytes, parameters: Sequence[object] = ()) -> list[Row]:
        """Ask what may be asked again only if nothing was written."""
        return await self.ask(self.lane(name), statement, parameters, repeat=is_repeatable)

    async def work(self, name: str, act: Callable[[Connection], Awaitable[T]]) -> T:
        """Do something in one transaction, which may be done again if nothing was written."""
        return await self._again(lambda: self.lane(name).work(act), is_repeatable)

    async def ask(
        self,
        lane: Lane,
        statement: bytes,
        parameters: Sequence[object],
        *,
        repeat: Callable[[BaseException], bool],
    ) -> list[Row]:
        """Ask; after a failure that ``repeat`` names ask again, some times, with growing pauses.

        Raises:
            MainspringError: what the last failure means.
        """
        return await self._again(lambda: lane.ask(statement, parameters), repeat)

    async def _again(self, once: Callable[[], Awaitable[T]], repeat: Callable[[BaseException], bool]) -> T:
        try:
            return await once()
        except (psycopg.Error, UnavailableError) as error:
            if not repeat(error):
                raise translate(error, self.location.shown) from error

        async def once_more() -> T:  # tenacity awaits only what is written as a coroutine function
            return await once()

        again = AsyncRetrying(
            sleep=self._sleep,
            stop=stop_after_attempt(_TRIES),
            wait=wait_random_exponential(multiplier=0.02, max=0.5),
            retry=retry_if_exception(repeat),
            reraise=True,
        )
        try:
            return await again(once_more)
        except (psycopg.Error, UnavailableError) as error:
            raise translate(error, self.location.shown) from error

    async def close(self) -> None:
        """Close all. Closing twice does nothing."""
        self.closed = True
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            if self._loop is asyncio.get_running_loop():
                await lane.close()
            else:
                lane.abandon()


def _broke_or_raced(error: BaseException) -> bool:
    return isinstance(error, LostError) or is_repeatable(error)
