"""Row locks, as a database server keeps them: one holder at a time, the others queue, first come, first served.

The rule: all there is to know of a lock is in this table, nothing in the frames of a waiting task. So the locks of a
process that died, whose tasks are never run again, are freed by ``release``, and a lock is never handed to its dead.
Whoever takes several locks takes them in ascending order of their keys; who does not, may wait for ever, that is until
the time-out.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import attrs

from mainspring.ports.errors import UnavailableError

LockKey = tuple[Any, ...]
"""What is locked: a kind of row and the row's key."""


@attrs.define(eq=False)
class Holder:
    """One transaction, as far as locks go: what it holds and what it waits for."""

    held: dict[LockKey, None] = attrs.field(factory=dict[LockKey, None])  #: in the order in which it got them
    request: "_Request | None" = None
    ended: bool = False  #: everything was released; it gets nothing more


@attrs.define(eq=False)
class _Request:
    key: LockKey
    holder: Holder
    granted: asyncio.Future[None]
    timer: asyncio.TimerHandle


@attrs.define(eq=False)
class _Lock:
    holder: Holder
    queue: deque[_Request] = attrs.field(factory=deque[_Request])


class RowLocks:
    """The locks of one store, shared by all its clients."""

    def __init__(self) -> None:
        self._locks: dict[LockKey, _Lock] = {}

    def __len__(self) -> int:
        return len(self._locks)

    def locked(self, key: LockKey) -> bool:
        """Whether anybody holds the lock."""
        return key in self._locks

    def take(self, holder: Holder, key: LockKey) -> bool:
        """Take the lock if it is free; whether the holder has it now.

        Raises:
            UnavailableError: the transaction has ended: its client was disconnected.
        """
        self._must_go_on(holder)
        lock = self._locks.get(key)
        if lock is None:
            self._locks[key] = _Lock(holder)
            holder.held[key] = None
            return True
        return lock.holder is holder

    def take_all(self, holder: Holder, keys: Iterable[LockKey]) -> bool:
        """Take all of these locks, or (if another holds one of them) none; whether the holder has them now.

        Raises:
            UnavailableError: likewise.
        """
        wanted = list(keys)
        if any(key in self._locks and self._locks[key].holder is not holder for key in wanted):
            return False
        return all(self.take(holder, key) for key in wanted)

    async def lock(self, holder: Holder, keys: Iterable[LockKey], timeout: timedelta) -> None:
        """Take the locks one after the other, waiting up to ``timeout`` for each.

        Raises:
            UnavailableError: a lock did not become free in time, or the transaction has ended. What was taken is
                kept: release it.
        """
        for key in keys:
            if not self.take(holder, key):
                await self._wait(holder, key, timeout)

    def release(self, holder: Holder) -> None:
        """Free all that the transaction holds, and let it wait for nothing. It has ended; again is harmless."""
        holder.ended = True
        if holder.request is not None:
            self._withdraw(holder.request)
        for key in holder.held:
            self._hand_over(key)
        holder.held.clear()

    async def _wait(self, holder: Holder, key: LockKey, timeout: timedelta) -> None:
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[None] = loop.create_future()
        request = _Request(key, holder, granted, loop.call_later(timeout.total_seconds(), self._expire, holder))
        holder.request = request
        self._locks[key].queue.append(request)
        await granted
        self._must_go_on(holder)

    def _must_go_on(self, holder: Holder) -> None:
        if holder.ended:
            raise UnavailableError("the connection was lost, and its transaction with it; nothing was written")

    def _expire(self, holder: Holder) -> None:
        request = holder.request
        if request is not None:
            self._withdraw(request)
            if not request.granted.done():
                error = UnavailableError(f"the lock of {request.key} did not become free in time; nothing was written")
                request.granted.set_exception(error)

    def _withdraw(self, request: _Request) -> None:
        request.timer.cancel()
        request.holder.request = None
        self._locks[request.key].queue.remove(request)

    def _hand_over(self, key: LockKey) -> None:
        lock = self._locks[key]
        while lock.queue:
            request = lock.queue[0]
            self._withdraw(request)
            if not request.granted.done():  # else its task was cancelled, and has yet to release
                lock.holder = request.holder
                lock.holder.held[key] = None
                request.granted.set_result(None)
                return
        del self._locks[key]
