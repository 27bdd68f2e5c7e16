"""Persistence on a SQLite database in memory, whose work runs at once on the caller's thread: for simulations.

Rule: no thread, no clock but the injected one, no file watched. Every piece of work, a batch of Changes among them,
runs whole between two awaits, so that any number of clients can share one connection; each is a process of its own as
far as races go. The transactions are those of the thread (:mod:`sqlite_rounds`), the statements those of any file.

The connection belongs to the thread that opened it, and the data to the connection: what is closed is gone.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.inline_watch import Lookout, Watch
from mainspring.adapters.sql.sqlite import SQLitePersistence
from mainspring.adapters.sql.sqlite_open import move_schema
from mainspring.adapters.sql.sqlite_rounds import Piece, Rounds, Work
from mainspring.ports.clock import Clock, Ids
from mainspring.ports.errors import UnavailableError
from mainspring.ports.names import SinkName

T = TypeVar("T")
#: Awaited with the name of the point; may suspend, or raise whatever the caller is to meet.
Point: TypeAlias = Callable[[str], Awaitable[None]]

_PLACE = Path(":memory:")


async def give_way(name: str) -> None:
    """The default hook: lets others run before each piece, as any real store does; who polls must starve nobody."""
    if name.endswith(":before"):
        await asyncio.sleep(0)


@cache
def sqlite_template(*, sinks: tuple[SinkName, ...] = ()) -> bytes:
    """An empty store with the newest schema, as SQLite would keep it in a file. Slow at the first call only.

    Args:
        sinks: whom its commits write their events for.

    Raises:
        UnavailableError: no temporary file could be written.
    """
    with tempfile.TemporaryDirectory(prefix="mainspring-") as folder:
        path = Path(folder) / "template.db"
        move_schema(path, "head")
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            for name in sinks:
                connection.execute(sql.SINK_PUT, (name, None))
            return connection.serialize()
        finally:
            connection.close()


class InlineSqlite:
    """Runs work on a connection that others may share, passing a point before and after each piece.

    The points are ``read:before``, ``read:after``, ``write:before`` and ``write:after``. What the hook raises at
    ``before`` means that nothing was done; at ``after``, that it was done, yet the caller does not know. Work that was
    refused passes ``after`` too.

    Changes are written by the committer's task, in the context in which the client was made: so the hook can tell by a
    context variable whose process it stands for. An error that is no ``Exception`` does not reach those who committed.

    Args:
        rounds: the connection.
        point: awaited at each point.
        look: called after each piece that may have written, before ``write:after``.
    """

    def __init__(self, rounds: Rounds, point: Point = give_way, look: Callable[[], None] | None = None) -> None:
        self._rounds = rounds
        self._point = point
        self._look = look
        self._closed = False

    async def read(self, work: Work[T]) -> T:
        """Run the work in a read transaction of its own."""
        value: T = await self._pass("read", self._rounds.read, Piece(work, None))
        return value

    async def write(self, work: Work[T], peek: Work[T | None] | None = None) -> T:
        """Run the work in a write transaction of its own. It may run twice, so it keeps nothing."""
        value: T = await self._pass("write", self._rounds.write, Piece(work, peek))
        return value

    async def _pass(self, kind: str, run: Callable[[Sequence[Piece]], None], piece: Piece) -> Any:
        await self._point(f"{kind}:before")
        if self._closed or self._rounds.closed:
            raise UnavailableError(f"the store {_PLACE} is closed; open it again")
        try:
            run((piece,))
        except BaseException:
            # A clock or ids that end their process in the middle of a piece: the connection is the others' too.
            self._rounds.abandon()
            raise
        if self._look is not None and kind == "write":
            self._look()
        await self._point(f"{kind}:after")
        if piece.error is not None:
            raise piece.error
        return piece.value

    async def close(self) -> None:
        """Do nothing more, not even for those who are held at a ``before``. The connection is not this client's."""
        self._closed = True


class SharedDatabase:
    """A database in memory for the processes of one simulation.

    Args:
        clock: the store's time, the same for every client.
        template: what it starts with, as ``sqlite_template`` makes it (that is the default).
        watch: told of what each piece of work changed; see :mod:`inline_watch`.
    """

    def __init__(self, clock: Clock, template: bytes | None = None, watch: Watch | None = None) -> None:
        connection = sqlite3.connect(_PLACE, timeout=0, isolation_level=None, cached_statements=256)
        try:
            connection.deserialize(sqlite_template() if template is None else template)
            self._rounds = Rounds(connection, str(_PLACE), clock, _at_once)
            self._look = None if watch is None else Lookout(connection, watch).look
        except BaseException:
            connection.close()
            raise
        self._clock = clock

    def client(self, ids: Ids, point: Point = give_way) -> SQLitePersistence:
        """A further process' view of the database.

        Args:
            ids: where its lease ids come from.
            point: awaited before and after each piece of its work; see :class:`InlineSqlite`.
        """
        runner = InlineSqlite(self._rounds, point, self._look)
        return SQLitePersistence(runner, _PLACE, self._clock, ids, context=copy_context())

    def close(self) -> None:
        """Drop the database; its clients are unavailable from then on. Closing twice does nothing."""
        self._rounds.close()


def _at_once(action: Callable[[], None]) -> None:
    """Nobody else can hold a lock on a private database."""
    action()
