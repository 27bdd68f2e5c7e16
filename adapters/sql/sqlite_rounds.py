"""What a SQLite connection does with the work it is handed: its transactions, and what their errors mean.

Rule: it knows neither thread nor event loop. The pieces of one call share a transaction: reads one snapshot, writes one
``begin immediate``. If a piece of the writes raises, the transaction is rolled back and each piece runs alone,
``careful``. Nothing is raised: each piece holds its value or its error afterwards.

The thread (:mod:`sqlite_thread`) and the simulator's client (:mod:`sqlite_inline`) decide when, and where.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import attrs

from mainspring.adapters.sql.sqlite_errors import translate
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.clock import Clock
from mainspring.ports.errors import UnavailableError, UnknownOutcomeError

T = TypeVar("T")
Work: TypeAlias = Callable[[Transaction], T]
#: Does what may meet another connection's lock, and does it again until it gives up.
Patience: TypeAlias = Callable[[Callable[[], None]], None]


class Runner(Protocol):
    """Runs work for :class:`mainspring.adapters.sql.sqlite.SQLitePersistence`."""

    async def read(self, work: Work[T]) -> T:
        """Run the work in a read transaction."""
        ...

    async def write(self, work: Work[T], peek: Work[T | None] | None = None) -> T:
        """Run the work in a write transaction; durable when it returns. It may run twice, so it keeps nothing.

        Args:
            work: what to do.
            peek: run before the lock is asked for: None means go on, anything else is the answer.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun, then let go of the connection. Closing twice does nothing."""
        ...


@attrs.define(eq=False)
class Piece:
    """One piece of work, and what became of it."""

    work: Work[Any]
    peek: Work[Any] | None
    value: Any = attrs.field(default=None, init=False)
    error: BaseException | None = attrs.field(default=None, init=False)


class Rounds:
    """A connection and its one reused cursor. Not for two threads at once.

    Args:
        connection: opened with ``isolation_level=None``.
        path: the file, for messages.
        clock: the store's time.
        patiently: what to do about other connections' locks.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, clock: Clock, patiently: Patience) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._path = path
        self._clock = clock
        self._patiently = patiently
        #: SQLite's count of commits by others that this connection has noticed, and how often it looked.
        self.data_version: int = self._cursor.execute("pragma data_version").fetchone()[0]
        self.looks = 0
        self.closed = False

    def read(self, pieces: Sequence[Piece]) -> None:
        """Run all of them in one snapshot; one that raises hurts no other."""
        try:
            self._patiently(self._begin_read)
            transaction = Transaction(self._cursor, self._clock)
            for piece in pieces:
                self._run(piece, transaction)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            self._fail(pieces, error)
        finally:
            self._end_read()

    def write(self, pieces: Sequence[Piece]) -> None:
        """Run all of them in one transaction, or each in its own if one raises."""
        pending = [piece for piece in pieces if not self._answered_at_sight(piece)]
        if pending and not self._write_together(pending, careful=False):
            for piece in pending:
                self._write_together([piece], careful=True)

    def abandon(self) -> None:
        """Take back what a piece left open by raising what is no ``Exception``."""
        self._roll_back()

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        self._connection.close()

    def _run(self, piece: Piece, transaction: Transaction) -> None:
        try:
            piece.value = piece.work(transaction)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            piece.error = translate(error, self._path)

    def _begin_read(self) -> None:
        self._cursor.execute("begin")
        try:
            self._look()
        except sqlite3.Error:
            self._roll_back()
            raise

    def _look(self) -> None:
        self.data_version = self._cursor.execute("pragma data_version").fetchone()[0]
        self.looks += 1

    def _end_read(self) -> None:
        try:
            self._roll_back()
        except sqlite3.Error:  # pragma: no cover - ending a read writes nothing
            self._connection.interrupt()

    def _answered_at_sight(self, piece: Piece) -> bool:
        if piece.peek is None:
            return False
        try:
            piece.value = piece.peek(Transaction(self._cursor, self._clock))
        except Exception:  # noqa: BLE001  the write itself will tell
            return False
        return piece.value is not None

    def _write_together(self, pieces: Sequence[Piece], *, careful: bool) -> bool:
        """Run all of it in one transaction. False: something in it raised, and it shall be tried apart."""
        try:
            self._patiently(self._begin_write)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            self._fail(pieces, error)
            return True
        try:
            transaction = Transaction(self._cursor, self._clock, careful=careful)
            for piece in pieces:
                piece.value = piece.work(transaction)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            return self._take_back(pieces, error, final=careful)
        try:
            self._patiently(self._commit)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            self._fail_commit(pieces, error)
        return True

    def _begin_write(self) -> None:
        self._cursor.execute("begin immediate")
        self._look()

    def _commit(self) -> None:
        self._cursor.execute("commit")

    def _take_back(self, pieces: Sequence[Piece], error: Exception, *, final: bool) -> bool:
        try:
            self._roll_back()
        except sqlite3.Error as worse:
            self._fail(pieces, worse)
            return True
        if final:
            self._fail(pieces, error)
        return final

    def _fail_commit(self, pieces: Sequence[Piece], error: Exception) -> None:
        """A commit that failed and left its transaction open can be taken back: then nothing was written."""
        known = self._connection.in_transaction
        try:
            self._roll_back()
        except sqlite3.Error:
            known = False
        told = translate(error, self._path)
        if not known and type(told) is UnavailableError:
            told = UnknownOutcomeError(f"writing to {self._path} failed at its end ({error}): written whole, or not")
            told.__cause__ = error
        self._fail(pieces, told)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._cursor.execute("rollback")

    def _fail(self, pieces: Sequence[Piece], error: BaseException) -> None:
        told = translate(error, self._path)
        for piece in pieces:
            piece.value, piece.error = None, told
