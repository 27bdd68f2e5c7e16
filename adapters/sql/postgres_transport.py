"""JobTransport and RunFeed on PostgreSQL: wake-ups within the process, and between processes by LISTEN and NOTIFY.

Rule: a hint is a hint. Within the process those who wait are woken at once; other processes are told on a connection of
its own, at most one NOTIFY at a time and not more often than every ``GAP`` seconds, because notifying commits stand in
one line in the whole server. Who listens does so on a second connection that a task keeps open: after a break it comes
back with growing pauses, and wakes everybody once, for what it may have missed. All hints may be lost without loss of
work: whoever waits looks again by himself (the safety poll). Through a pooler of transactions nobody can listen.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta

import psycopg
import structlog

from mainspring.adapters.sql.postgres_connections import HINTS, LISTEN, Connections
from mainspring.ports.errors import MainspringError
from mainspring.ports.names import RunId
from mainspring.ports.records import Hint, Pointer

logger = structlog.get_logger("mainspring.store")

_LOOK = Hint(receipt="look")
GAP = 0.001  # seconds between two notifications
_REMEMBERED = 4096  # ended runs, for those who come to wait a moment too late
_NAMED = 150  # ids of ended runs in one notification, which holds 8,000 bytes
_NOTIFY = b"select pg_notify($1, $2)"
_LONGEST_PAUSE = 5.0


class PostgresTransport:
    """Hints for the processes that share a schema. Made by :func:`mainspring.adapters.sql.postgres.open_postgres`.

    Close it before the persistence it was opened with. One event loop at a time.
    """

    carries_pointers = False

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        name = connections.location.schema
        self._jobs, self._runs = f"{name}_jobs", f"{name}_runs"
        self._hinted = False
        self._receivers: set[asyncio.Future[bool]] = set()
        self._waiters: dict[asyncio.Future[bool], frozenset[RunId]] = {}
        self._ended: OrderedDict[RunId, None] = OrderedDict()
        self._later: set[asyncio.TimerHandle] = set()
        self._to_tell: dict[str, dict[str, None]] = {}
        self._teller: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._closed = False

    # JobTransport

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        if not pointers or after or self._closed:
            return
        self._hint()
        self._tell(self._jobs, "")

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        if self._closed or limit <= 0:
            return []
        self._listen()
        if not self._hinted:
            future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._receivers.add(future)
            try:
                await _until(future, wait)
            finally:
                self._receivers.discard(future)
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
        """Wake all who wait and let go of the connections. Closing twice does nothing."""
        self._closed = True
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        _wake([*self._receivers, *self._waiters])
        teller, self._teller = self._teller, None
        if teller is not None:
            await asyncio.wait([teller])
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener

    # RunFeed

    async def ended(self, run_ids: Collection[RunId]) -> None:
        if self._closed:
            return
        self._remember(run_ids)
        for run_id in run_ids:
            self._tell(self._runs, run_id)

    async def wait(self, run_ids: Collection[RunId], wait: timedelta) -> None:
        if self._closed or any(run_id in self._ended for run_id in run_ids):
            return
        self._listen()
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters[future] = frozenset(run_ids)
        try:
            await _until(future, wait)
        finally:
            del self._waiters[future]

    # Here.

    def _hint(self) -> None:
        """Taken by the next ``receive``, whether it waits already, comes later, or was cancelled meanwhile."""
        self._hinted = True
        _wake(self._receivers)

    def _remember(self, run_ids: Collection[RunId]) -> None:
        over = frozenset(run_ids)
        for run_id in over:
            self._ended[run_id] = None
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        _wake([future for future, awaited in self._waiters.items() if not over.isdisjoint(awaited)])

    # To others.

    def _tell(self, channel: str, word: str) -> None:
        self._to_tell.setdefault(channel, {})[word] = None
        if self._teller is None:
            self._teller = asyncio.get_running_loop().create_task(self._telling())

    async def _telling(self) -> None:
        try:
            await asyncio.sleep(0)  # all who tell in this pass of the loop are told of together
            while self._to_tell:
                told, self._to_tell = self._to_tell, {}
                for channel, words in told.items():
                    named = " ".join(words) if len(words) <= _NAMED else ""
                    with suppress(MainspringError, psycopg.Error):  # a hint that is lost
                        await self._connections.lane(HINTS).ask(_NOTIFY, (channel, named))
                if not self._closed:
                    await asyncio.sleep(GAP)
        finally:
            self._teller = None

    # From others.

    def _listen(self) -> None:
        if self._listener is None and not self._connections.location.pgbouncer:
            self._listener = asyncio.get_running_loop().create_task(self._listening(), name="mainspring listener")

    async def _listening(self) -> None:
        failures = 0
        while not self._closed:
            lane = self._connections.lane(LISTEN)
            try:
                connection = await lane.connection()
                await connection.execute(f'listen "{self._jobs}"'.encode())
                await connection.execute(f'listen "{self._runs}"'.encode())
                _wake(self._waiters)  # until now nobody here heard anything
                if failures:
                    self._hint()
                failures = 0
                async for notify in connection.notifies():
                    self._heard(notify)
            except (MainspringError, psycopg.Error) as error:
                failures += 1
                logger.warning("store_hints_interrupted", store=self._connections.location.shown, error=str(error))
            lane.give_up()
            await asyncio.sleep(_pause(failures))

    def _heard(self, notify: psycopg.Notify) -> None:
        if notify.pid == self._connections.lane(HINTS).process_id:
            return  # our own: those who wait here were woken when it was sent
        if notify.channel == self._jobs:
            self._hint()
        elif notify.payload:
            self._remember([RunId(word) for word in notify.payload.split(" ")])
        else:
            _wake(self._waiters)


def _pause(failures: int) -> float:
    return min(_LONGEST_PAUSE, 0.05 * 2.0 ** min(failures, 10))


async def _until(future: "asyncio.Future[bool]", wait: timedelta) -> None:
    handle = asyncio.get_running_loop().call_later(max(wait.total_seconds(), 0), _wake, [future])
    try:
        await future
    finally:
        handle.cancel()


def _wake(futures: "Collection[asyncio.Future[bool]]") -> None:
    for future in futures:
        if not future.done():
            future.set_result(True)
