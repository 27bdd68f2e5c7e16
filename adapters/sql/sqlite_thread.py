"""The one thread that talks to SQLite.

Rule: nobody else touches the connection. Work comes in through a queue from any event loop and goes back with one
``call_soon_threadsafe`` per loop and round. A round takes all that waits: first the reads, together in one snapshot,
then the writes, together in one ``begin immediate`` transaction with one flush to the disk (:mod:`sqlite_rounds`).

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

from mainspring.adapters.sql.sqlite_lock import patiently
from mainspring.adapters.sql.sqlite_rounds import Piece, Rounds, Work
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.clock import Clock
from mainspring.ports.errors import UnavailableError

T = TypeVar("T")

_ROUND = 64  # pieces of work in one round at most; a batch of Changes is one piece


@attrs.define(eq=False)
class _Request(Piece):
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class SqliteThread:
    """A connection and the thread that owns it.

    Args:
        connection: opened with ``check_same_thread=False`` and ``isolation_level=None``; the thread closes it.
        path: the file, for messages.
        clock: the store's time.
        lock_timeout: how long to ask for the file's lock before ``UnavailableError``.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, clock: Clock, lock_timeout: timedelta) -> None:
        self._path = path
        self._rounds = Rounds(connection, path, clock, _patience(lock_timeout.total_seconds()))
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._ending = threading.Lock()
        self._closing = False
        self._closed = False
        self._closers: list[_Request] = []
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._serve, name="mainspring-sqlite", daemon=True)
        self._thread.start()

    @property
    def data_version(self) -> int:
        """SQLite's count of commits by others that the connection has noticed."""
        return self._rounds.data_version

    @property
    def looks(self) -> int:
        """How often the connection has looked."""
        return self._rounds.looks

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
            self._queue.put(_Request(_nothing, None, False, loop, future))
        return future

    async def close(self) -> None:
        """Finish what was handed in, then close the connection."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._ending:
            if self._closed or self._process != os.getpid():
                return
            self._closers.append(_Request(_nothing, None, False, loop, future))
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
        self._queue.put(_Request(work, peek, writes, loop, future))
        return await future

    # what follows runs in the thread

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            requests, stopping = self._round()
            reads = [request for request in requests if not request.writes]
            writes = [request for request in requests if request.writes]
            if reads:
                self._rounds.read(reads)
                _answer(reads)
            if writes:
                self._rounds.write(writes)
                _answer(writes)
        try:
            self._rounds.close()
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


def _patience(timeout: float) -> Callable[[Callable[[], None]], None]:
    def until_then(action: Callable[[], None]) -> None:
        patiently(action, timeout)

    return until_then


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
