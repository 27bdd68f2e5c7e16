"""JobTransport and RunFeed on a SQLite file: wake-ups within the process, and between processes by watching the log.

Rule: a hint is just "look". Within the process ``send`` and ``ended`` wake those who wait; a commit by another process
wakes them all, because nobody knows what it was about, at most every 2 ms. While nobody waits, nothing is watched; what
happened meanwhile is noticed at the next wait. Use it from one event loop at a time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path

from mainspring.adapters.sql.sqlite_thread import SqliteThread
from mainspring.adapters.sql.sqlite_watch import CommitWatch
from mainspring.ports.names import RunId
from mainspring.ports.records import Hint, Pointer

_LOOK = Hint(receipt="look")
_QUIET = 0.002  # seconds between two wake-ups for other processes' commits
_GAP = 0.02  # seconds that a caller may take from reading a run to waiting for it
_REMEMBERED = 4096  # ended runs, for those who come to wait a moment too late


class SQLiteTransport:
    """Hints for the processes that share a file. Made by :func:`mainspring.adapters.sql.sqlite.open_sqlite`.

    Close it before the persistence it was opened with.

    Args:
        thread: the connection to look with.
        path: the file.
    """

    carries_pointers = False

    def __init__(self, thread: SqliteThread, path: Path) -> None:
        self._watch = CommitWatch(thread, path.with_name(path.name + "-wal"), self._committed_elsewhere)
        self._hinted = False
        self._receivers: set[asyncio.Future[bool]] = set()
        self._waiters: dict[asyncio.Future[bool], frozenset[RunId]] = {}
        self._ended: OrderedDict[RunId, None] = OrderedDict()
        self._later: set[asyncio.TimerHandle] = set()
        self._told_at = -1.0
        self._telling: asyncio.TimerHandle | None = None
        self._closed = False

    # JobTransport

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        if pointers and not after:
            self._hint()

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        if self._closed or limit <= 0:
            return []
        if not self._hinted:
            future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._receivers.add(future)
            try:
                await self._until(future, wait)
            finally:
                self._receivers.discard(future)
                self._rest()
        hinted, self._hinted = self._hinted, False
        return [_LOOK] if hinted and not self._closed else []

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:  # noqa: ARG002  all are alike
        if again_after is None or self._closed:
            return

        def again() -> None:
            self._later.discard(handle)
            self._hint()

        handle = asyncio.get_running_loop().call_later(again_after.total_seconds(), again)
        self._later.add(handle)

    async def close(self) -> None:
        """Wake all who wait and let go of the descriptor. Closing twice does nothing."""
        self._closed = True
        self._watch.close()
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        _wake([*self._receivers, *self._waiters])

    # RunFeed

    async def ended(self, run_ids: Collection[RunId]) -> None:
        over = frozenset(run_ids)
        for run_id in over:
            self._ended[run_id] = None
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        _wake([future for future, awaited in self._waiters.items() if not over.isdisjoint(awaited)])

    async def wait(self, run_ids: Collection[RunId], wait: timedelta) -> None:
        if self._closed or any(run_id in self._ended for run_id in run_ids):
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waiters[future] = frozenset(run_ids)
        if loop.time() - self._told_at < _GAP:
            # Another process committed just now, perhaps between the caller's look and this wait.
            wait = min(wait, timedelta(seconds=_GAP))
        try:
            await self._until(future, wait)
        finally:
            del self._waiters[future]
            self._rest()

    # both

    async def _until(self, future: "asyncio.Future[bool]", wait: timedelta) -> None:
        loop = asyncio.get_running_loop()
        handle = loop.call_later(max(wait.total_seconds(), 0), _wake, [future])
        self._watch.arm(loop)
        try:
            await future
        finally:
            handle.cancel()

    def _rest(self) -> None:
        if not self._receivers and not self._waiters:
            self._watch.disarm()

    def _hint(self) -> None:
        """Taken by the next ``receive``, whether it waits already, comes later, or was cancelled meanwhile."""
        self._hinted = True
        _wake(self._receivers)

    def _committed_elsewhere(self) -> None:
        loop = asyncio.get_running_loop()
        if self._telling is not None and not self._telling.cancelled():
            return
        due = self._told_at + _QUIET
        if loop.time() >= due:
            self._tell()
        else:
            self._telling = loop.call_at(due, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._told_at = asyncio.get_running_loop().time()
        self._hint()
        _wake(self._waiters)


def _wake(futures: "Collection[asyncio.Future[bool]]") -> None:
    for future in futures:
        if not future.done():
            future.set_result(True)
