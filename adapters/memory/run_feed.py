"""News of ended runs within one event loop, for those who wait for results."""

import asyncio
from collections.abc import Collection
from datetime import timedelta

from mainspring.adapters.memory.points import Point, straight_on
from mainspring.ports.names import RunId


class MemoryRunFeed:
    """Wakes who waits for a run, and remembers the newest ``capacity`` ended ones, so that none is missed in between.

    Belongs to the event loop that uses it.
    """

    def __init__(self, *, capacity: int = 10_000, point: Point = straight_on) -> None:
        self._capacity = capacity
        self._point = point
        self._ended: dict[RunId, None] = {}  # a set that keeps its order
        self._waiters: dict[RunId, dict[asyncio.Future[None], None]] = {}  # in order of their coming

    async def ended(self, run_ids: Collection[RunId]) -> None:
        await self._point("ended:before")
        for run_id in run_ids:
            self._ended.pop(run_id, None)
            self._ended[run_id] = None
            for news in self._waiters.get(run_id, ()):
                if not news.done():
                    news.set_result(None)
        while len(self._ended) > self._capacity:
            del self._ended[next(iter(self._ended))]
        await self._point("ended:after")

    async def wait(self, run_ids: Collection[RunId], wait: timedelta) -> None:
        await self._point("wait:before")
        if not any(run_id in self._ended for run_id in run_ids):
            await self._news_of(list(dict.fromkeys(run_ids)), wait)
        await self._point("wait:after")

    async def _news_of(self, run_ids: list[RunId], wait: timedelta) -> None:
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for run_id in run_ids:
            self._waiters.setdefault(run_id, {})[news] = None
        try:
            async with asyncio.timeout(wait.total_seconds()):
                await news
        except TimeoutError:
            pass
        finally:
            self._forget(run_ids, news)

    def _forget(self, run_ids: list[RunId], news: "asyncio.Future[None]") -> None:
        for run_id in run_ids:
            waiters = self._waiters[run_id]
            waiters.pop(news, None)
            if not waiters:
                del self._waiters[run_id]
