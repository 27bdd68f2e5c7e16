"""Persistence in memory that behaves like a client of a database server: transactions overlap, and row locks part them.

``MemoryPersistence`` does everything at one instant, so a lock that was forgotten cannot show. Here a transaction locks
rows, looks at them, lets others run, and then writes what it decided without another look: only the locks protect it.
Others see nothing of it until all of it is there. Unlike its sibling it needs an event loop.

One client is one process. Its Changes are committed in groups: while one batch is written the next one fills.
Besides ``<method>:before`` and ``<method>:after`` it passes ``commit:locked`` (once a batch), ``claim:locked``,
``extend:locked`` and ``sweep:locked``, holding its locks, with everything decided and nothing written; what a hook
raises there is a transaction that was rolled back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import TypeVar

import attrs

from mainspring.adapters.memory import claims, guards, lock_sets, relay, sweeping, writes
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.memory.points import Point, straight_on
from mainspring.adapters.memory.row_locks import Holder, RowLocks
from mainspring.adapters.memory.store import MemoryStore
from mainspring.ports import batches
from mainspring.ports.change import Change
from mainspring.ports.clock import Clock, Ids
from mainspring.ports.errors import PortError, StaleChange, UnavailableError
from mainspring.ports.names import LeaseId, Route, SinkName, WorkerId
from mainspring.ports.records import ExtendAnswer, JobKey, Lease, Swept
from mainspring.ports.sinks import DEFAULT_SINK

T = TypeVar("T")

LOCK_TIMEOUT = timedelta(seconds=5)


@attrs.frozen(kw_only=True, eq=False)
class Handed:
    """A Change that was handed in, and who waits for its verdict."""

    change: Change
    verdict: asyncio.Future[None]
    uses: batches.Uses


class ServerPersistence(MemoryPersistence):
    """One client of a store that is used like a database server.

    Args:
        clock: see ``MemoryPersistence``, likewise ``ids``, ``store`` and ``point``.
        locks: the store's row locks: the same for all its clients.
        lock_timeout: how long to wait for one lock before ``UnavailableError``, by the event loop's time.
    """

    def __init__(
        self,
        clock: Clock,
        ids: Ids,
        *,
        locks: RowLocks,
        lock_timeout: timedelta = LOCK_TIMEOUT,
        store: MemoryStore | None = None,
        point: Point = straight_on,
    ) -> None:
        super().__init__(clock, ids, store=store, point=point)
        self._locks = locks
        self._lock_timeout = lock_timeout
        self._open: dict[Holder, None] = {}
        self._waiting: list[Handed] = []
        self._writer: asyncio.Task[None] | None = None
        self._disconnected = False

    def another(self, point: Point = straight_on) -> "ServerPersistence":
        """A further client of the same store."""
        return ServerPersistence(
            self.store.clock,
            self._ids,
            locks=self._locks,
            lock_timeout=self._lock_timeout,
            store=self.store,
            point=point,
        )

    def disconnect(self) -> None:
        """The client's process is gone: what it has not committed is rolled back, and nobody is told.

        Does not need its tasks to run ever again; if one does, it writes nothing. Every call raises
        ``UnavailableError`` from now on.
        """
        self._closed = self._disconnected = True
        self._waiting.clear()
        self._writer = None
        for holder in list(self._open):
            self._end(holder)

    async def close(self) -> None:
        """Let go of the store when all that was handed in is written; the store lives on for its other clients."""
        await super().close()
        while self._writer is not None:
            await asyncio.wait([self._writer])

    # Commits

    async def commit(self, change: Change) -> None:
        await self._around("commit", lambda: self._handed_in(change))

    async def _handed_in(self, change: Change) -> None:
        loop = asyncio.get_running_loop()
        handed = Handed(change=change, verdict=loop.create_future(), uses=batches.uses(change))
        self._waiting.append(handed)
        if self._writer is None:
            self._writer = loop.create_task(self._write_batches())
        await handed.verdict

    async def _write_batches(self) -> None:
        batch: list[Handed] = []
        try:
            while self._waiting:
                batch, self._waiting = batches.next_batch(self._waiting)
                await self._write_batch(batch)
        except asyncio.CancelledError:
            # Only a loop that is being torn down cancels this task; nobody may wait for it for ever.
            for handed in (*batch, *self._waiting):
                handed.verdict.cancel()
            self._waiting.clear()
            raise
        finally:
            if not self._disconnected:
                self._writer = None

    async def _write_batch(self, batch: Sequence[Handed]) -> None:
        holder = self._begin()
        verdicts: dict[Handed, BaseException] = {}
        try:
            await self._in_transaction(holder, batch, verdicts)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  whoever waits for the batch gets it
            verdicts = dict.fromkeys(batch, error)
        finally:
            self._end(holder)
        for handed in () if self._disconnected else batch:
            if not handed.verdict.done():
                error_or_none = verdicts.get(handed)
                if error_or_none is None:
                    handed.verdict.set_result(None)
                else:
                    handed.verdict.set_exception(error_or_none)

    async def _in_transaction(
        self, holder: Holder, batch: Sequence[Handed], verdicts: dict[Handed, BaseException]
    ) -> None:
        store = self.store
        for part in lock_sets.PARTS:
            keys = lock_sets.of_part(part, store, [handed.change for handed in batch])
            await self._locks.lock(holder, keys, self._lock_timeout)
        with store.lock:
            passed = [handed for handed in batch if not _refused(store, handed, verdicts)]
            events = sum(len(handed.change.events) for handed in passed) if store.sinks.rows() else 0
            ordinals = store.draw_ordinals(events)
        if not passed:
            return
        await self._locked("commit", holder)
        with store.lock, store.transaction(iter(ordinals)) as transaction:
            for handed in passed:
                before = transaction.mark()
                try:
                    writes.apply(store, handed.change, transaction)
                except PortError as error:
                    transaction.roll_back_to(before)
                    verdicts[handed] = error

    # Leases

    async def claim(
        self,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        async def write(holder: Holder) -> list[Lease]:
            store, now = self.store, self.store.clock.now()
            with store.lock:
                keys = self._unlocked(routes, max(limit, 0), only)
                taken = [(key, store.runs.get(key.run_id), self._ids.new_lease_id()) for key in keys]
            if not taken:
                return []
            for key in keys:
                self._locks.take(holder, lock_sets.job(key))
            await self._locked("claim", holder)
            with store.lock, store.transaction():
                leases = [
                    (claims.lease(store, key, worker=worker, lease_id=lease_id, length=length, at=now), run)
                    for key, run, lease_id in taken
                ]
            return [lease if run is None else attrs.evolve(lease, run=run) for lease, run in leases]

        return await self._around("claim", lambda: self._holding(write))

    def _unlocked(self, routes: Collection[Route], limit: int, only: Sequence[JobKey] | None) -> list[JobKey]:
        due = claims.due(self.store, routes, limit=limit + len(self._locks), only=only)
        return [key for key in due if not self._locks.locked(lock_sets.job(key))][:limit]

    async def extend(self, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
        async def write(holder: Holder) -> list[ExtendAnswer]:
            if not leases:
                return []
            rows = sorted({lock_sets.job(key) for key, _ in leases})
            await self._locks.lock(holder, rows, self._lock_timeout)
            with self.store.lock:
                answers = claims.extensions(self.store, leases, length)
            await self._locked("extend", holder)
            with self.store.lock:
                claims.write_extensions(self.store, answers)
            return answers

        return await self._around("extend", lambda: self._holding(write))

    async def sweep(self, *, runs: timedelta | None, answers: timedelta | None, limit: int) -> Swept:
        async def write(holder: Holder) -> Swept:
            with self.store.lock:
                found = sweeping.found(
                    self.store, runs, answers, limit, lambda keys: self._locks.take_all(holder, keys)
                )
            if found.nothing:
                return Swept()
            await self._locked("sweep", holder)
            with self.store.lock:
                return sweeping.sweep(self.store, found)

        return await self._around("sweep", lambda: self._holding(write))

    async def lease_relay(self, lease_id: LeaseId, length: timedelta, sink: SinkName = DEFAULT_SINK) -> bool:
        return await self._with_relay("lease_relay", sink, lambda store: relay.lease(store, sink, lease_id, length))

    async def release_relay(self, lease_id: LeaseId, sink: SinkName = DEFAULT_SINK) -> None:
        await self._with_relay("release_relay", sink, lambda store: relay.release(store, sink, lease_id))

    async def _with_relay(self, name: str, sink: SinkName, effect: Callable[[MemoryStore], T]) -> T:
        async def write(holder: Holder) -> T:
            await self._locks.lock(holder, [lock_sets.relay(sink)], self._lock_timeout)
            with self.store.lock:
                return effect(self.store)

        return await self._around(name, lambda: self._holding(write))

    # Transactions

    async def _around(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        await self._point(f"{name}:before")
        if self._closed:
            raise UnavailableError("this persistence is closed; open another one")
        try:
            answer = await call()
        except PortError:
            await self._point(f"{name}:after")
            raise
        await self._point(f"{name}:after")
        return answer

    async def _holding(self, write: Callable[[Holder], Awaitable[T]]) -> T:
        holder = self._begin()
        try:
            return await write(holder)
        finally:
            self._end(holder)

    async def _locked(self, name: str, holder: Holder) -> None:
        await self._point(f"{name}:locked")
        if holder.ended:
            raise UnavailableError("the connection was lost; nothing was written")

    def _begin(self) -> Holder:
        holder = Holder()
        self._open[holder] = None
        return holder

    def _end(self, holder: Holder) -> None:
        self._open.pop(holder, None)
        self._locks.release(holder)


def _refused(store: MemoryStore, handed: Handed, verdicts: dict[Handed, BaseException]) -> bool:
    try:
        guards.check(store, handed.change)
    except StaleChange as refusal:
        verdicts[handed] = refusal
        return True
    return False
