"""Hints between the workers of one event loop: a bounded queue that forgets pointers rather than grow."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import count

from mainspring.adapters.memory.points import Point, straight_on
from mainspring.ports.records import Hint, Pointer


class MemoryJobTransport:
    """Receivers compete for hints; one pointer waits at most once.

    Beyond ``capacity`` pointers the new ones are forgotten, and one hint without a pointer says "look for jobs" in
    their stead. Belongs to the event loop that uses it.
    """

    carries_pointers = False

    def __init__(self, *, capacity: int = 10_000, point: Point = straight_on) -> None:
        self._capacity = capacity
        self._point = point
        self._waiting: dict[Pointer, None] = {}  # a set that keeps its order
        self._overflowed = False
        self._receivers: dict[asyncio.Future[None], None] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._receipts = count(1)
        self._closed = False

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        await self._point("send:before")
        if after:
            self._later(pointers, after)
        else:
            self._enqueue(pointers)
        await self._point("send:after")

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        await self._point("receive:before")
        deadline = asyncio.get_running_loop().time() + wait.total_seconds()
        while not (hints := self._take(limit)) and not self._closed and await self._more_until(deadline):
            pass
        await self._point("receive:after")
        return hints

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        await self._point("settle:before")
        if again_after is not None and not self._closed:
            self._later((hint.pointer,), again_after)
        await self._point("settle:after")

    async def close(self) -> None:
        """Let waiting receivers go, and forget all hints; what is sent from now on is lost."""
        self._closed = True
        self._waiting.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._let_go(len(self._receivers))

    def _enqueue(self, pointers: Sequence[Pointer | None]) -> None:
        if self._closed:
            return
        for pointer in pointers:
            if pointer is None or (pointer not in self._waiting and len(self._waiting) >= self._capacity):
                self._overflowed = True
            else:
                self._waiting[pointer] = None
        self._let_go(len(pointers))

    def _take(self, limit: int) -> list[Hint]:
        hints: list[Hint] = []
        if self._overflowed and limit > 0:
            self._overflowed = False
            hints.append(self._hint(None))
        while self._waiting and len(hints) < limit:
            pointer = next(iter(self._waiting))
            del self._waiting[pointer]
            hints.append(self._hint(pointer))
        return hints

    def _hint(self, pointer: Pointer | None) -> Hint:
        return Hint(receipt=str(next(self._receipts)), pointer=pointer)

    async def _more_until(self, deadline: float) -> bool:
        """Wait for news; False when the deadline passed without."""
        loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = loop.create_future()
        self._receivers[news] = None
        try:
            async with asyncio.timeout_at(deadline):
                await news
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if news.done() and not news.cancelled():
                self._let_go(1)  # the news was not taken: let another receiver have it
            raise
        finally:
            self._receivers.pop(news, None)
        return True

    def _let_go(self, receivers: int) -> None:
        for news in list(self._receivers)[:receivers]:
            del self._receivers[news]
            if not news.done():
                news.set_result(None)

    def _later(self, pointers: Sequence[Pointer | None], after: timedelta) -> None:
        def enqueue() -> None:
            self._timers.discard(timer)
            self._enqueue(pointers)

        timer = asyncio.get_running_loop().call_later(max(after.total_seconds(), 0), enqueue)
        self._timers.add(timer)
