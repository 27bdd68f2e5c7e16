"""The one thread that talks to SQLite.

Rule: nobody else touches the connection. Work comes in through a queue from any event loop and goes back with one
``call_soon_threadsafe`` per loop and round. A round takes all that waits: first the reads, together in one snapshot,
then the writes, together in one ``begin immediate`` transaction with one flush to the disk. If a piece of that work
raises, the transaction is rolled back and each piece runs alone, ``careful``.

The thread is a daemon: it never keeps the interpreter from exiting.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import attrs

from mainspring.adapters.sql.sqlite_errors import translate
from mainspring.adapters.sql.sqlite_lock import patiently
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.clock import Clock
from mainspring.ports.errors import UnavailableError, UnknownOutcomeError

T = TypeVar("T")
Work = Callable[[Transaction], T]

_ROUND = 64  # pieces of work in one round at most; a batch of Changes is one piece


@attrs.define(eq=False)
class _Request:
    work: Work[Any]
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    #: Run before the lock is asked for: None means go on, anything else is the answer.
    peek: Work[Any] | None = None
    value: Any = None
    error: BaseException | None = None


class SqliteThread:
    """A connection and the thread that owns it.

    Args:
        connection: opened with ``check_same_thread=False`` and ``isolation_level=None``; the thread closes it.
        path: the file, for messages.
        clock: the store's time.
        lock_timeout: how long to ask for the file's lock before ``UnavailableError``.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, clock: Clock, lock_timeout: timedelta) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._path = path
        self._clock = clock
        self._lock_timeout = lock_timeout.total_seconds()
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._ending = threading.Lock()
        self._closing = False
        self._closed = False
        self._closers: list[_Request] = []
        #: SQLite's count of commits by others that this connection has noticed, and how often it looked.
        self.data_version: int = self._cursor.execute("pragma data_version").fetchone()[0]
        self.looks = 0
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._serve, name="mainspring-sqlite", daemon=True)
        self._thread.start()

    async def read(self, work: Work[T]) -> T:
        """Run the work in a read transaction."""
        return await self._ask(work, writes=False)

    async def write(self, work: Work[T], peek: Work[T | None] | None = None) -> T:
        """Run the work in a write transaction; durable when it returns. It may run twice, so it keeps nothing."""
        return await self._ask(work, writes=True, peek=peek)

    def look(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        """Have the connection notice others' commits; ``data_version`` tells them when the future is done."""
        future: asyncio.Future[None] = loop.create_future()
        if self._closing:
            future.cancel()
        else:
            self._queue.put(_Request(_nothing, False, loop, future))
        return future

    async def close(self) -> None:
        """Finish what was handed in, then close the connection."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._ending:
            if self._closed or self._process != os.getpid():
                return
            self._closers.append(_Request(_nothing, False, loop, future))
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        await future

    async def _ask(self, work: Work[T], *, writes: bool, peek: Work[T | None] | None = None) -> T:
        if self._closing:
            raise UnavailableError(f"the store {self._path} is closed; open it again")
        if self._process != os.getpid():
            raise UnavailableError(f"the store {self._path} was opened before this process was forked; open it again")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Request(work, writes, loop, future, peek))
        return await future

    # what follows runs in the thread

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            requests, stopping = self._round()
            reads = [request for request in requests if not request.writes]
            writes = [request for request in requests if request.writes]
            if reads:
                self._read(reads)
                _answer(reads)
            if writes:
                self._write(writes)
                _answer(writes)
        try:
            self._connection.close()
        finally:
            with self._ending:
                self._closed = True
            _answer(self._closers)

    def _round(self) -> tuple[list[_Request], bool]:
        requests: list[_Request] = []
        first = self._queue.get()
        try:
            while first is not None:
                requests.append(first)
                if len(requests) >= _ROUND:
                    return requests, False
                first = self._queue.get_nowait()
        except Empty:
            return requests, False
        return requests, True

    def _read(self, requests: list[_Request]) -> None:
        try:
            patiently(self._begin_read, self._lock_timeout)
            transaction = Transaction(self._cursor, self._clock)
            for request in requests:
                self._run(request, transaction)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            self._fail(requests, error)
        finally:
            self._end_read()

    def _run(self, request: _Request, transaction: Transaction) -> None:
        try:
            request.value = request.work(transaction)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            request.error = translate(error, self._path)

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

    def _write(self, requests: list[_Request]) -> None:
        pending = [request for request in requests if not self._answered_at_sight(request)]
        if pending and not self._write_together(pending, careful=False):
            for request in pending:
                self._write_together([request], careful=True)

    def _answered_at_sight(self, request: _Request) -> bool:
        if request.peek is None:
            return False
        try:
            request.value = request.peek(Transaction(self._cursor, self._clock))
        except Exception:  # noqa: BLE001  the write itself will tell
            return False
        return request.value is not None

    def _write_together(self, requests: list[_Request], *, careful: bool) -> bool:
        """Run all of it in one transaction. False: something in it raised, and it shall be tried apart."""
        try:
            patiently(self._begin_write, self._lock_timeout)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            self._fail(requests, error)
            return True
        try:
            transaction = Transaction(self._cursor, self._clock, careful=careful)
            for request in requests:
                request.value = request.work(transaction)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            return self._take_back(requests, error, final=careful)
        try:
            patiently(self._commit, self._lock_timeout)
        except Exception as error:  # noqa: BLE001  told to whoever waits
            self._fail_commit(requests, error)
        return True

    def _begin_write(self) -> None:
        self._cursor.execute("begin immediate")
        self._look()

    def _commit(self) -> None:
        self._cursor.execute("commit")

    def _take_back(self, requests: list[_Request], error: Exception, *, final: bool) -> bool:
        try:
            self._roll_back()
        except sqlite3.Error as worse:
            self._fail(requests, worse)
            return True
        if final:
            self._fail(requests, error)
        return final

    def _fail_commit(self, requests: list[_Request], error: Exception) -> None:
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
        self._fail(requests, told)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._cursor.execute("rollback")

    def _fail(self, requests: list[_Request], error: BaseException) -> None:
        told = translate(error, self._path)
        for request in requests:
            request.value, request.error = None, told


def _nothing(_: Transaction) -> None:
    """A read transaction looks when it begins."""


def _answer(requests: list[_Request]) -> None:
    loops: dict[int, list[_Request]] = {}
    for request in requests:
        loops.setdefault(id(request.loop), []).append(request)
    for answered in loops.values():
        try:
            answered[0].loop.call_soon_threadsafe(_deliver, answered)
        except RuntimeError:
            continue  # the loop was closed meanwhile: nobody waits there any more


def _deliver(requests: list[_Request]) -> None:
    for request in requests:
        if request.future.done():
            continue
        if request.error is None:
            request.future.set_result(request.value)
        else:
            request.future.set_exception(request.error)
