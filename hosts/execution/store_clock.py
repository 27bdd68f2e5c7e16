"""The store's time on another machine: its own answers, carried on by this process' monotonic clock.

Rule: the machine's wall clock is never asked, so that one that jumps fires no timer, neither early nor late.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

from mainspring.ports.errors import PortError
from mainspring.ports.persistence import Persistence

DRIFT = 500e-6
"""Seconds by which two clocks may part in one second: the most by which a clock is slewed."""


class StoreClock:
    """A ``Clock`` that tells the store's time.

    An answer is taken for the time at which it was *asked for*: so the clock runs ahead of the store by at most the
    round trip, and behind it (where a timer would fire early) by no more than the clocks drifted apart since. Of
    several answers the best is kept: one that was long under way tells less than one that came fast, as long as both
    can be true; where they cannot, the store's clock has jumped, and the newer one is right. What is kept grows
    uncertain as clocks drift, and is then replaced.
    """

    def __init__(self, store: Persistence, monotonic: Callable[[], float]) -> None:
        """``monotonic`` tells seconds from any beginning, and never goes back."""
        self._store = store
        self._monotonic = monotonic
        self._zero: datetime | None = None  #: the store's time when the monotonic clock stood at zero
        self._measured = 0.0  #: when that was found out

    def now(self) -> datetime:
        """The store's time now, aware, UTC.

        Raises:
            RuntimeError: the store was never asked; whoever made the clock must ``refresh`` it first.
        """
        if self._zero is None:
            msg = "the store's time is not known yet: await refresh() before the first command"
            raise RuntimeError(msg)
        return self._zero + timedelta(seconds=self._monotonic())

    async def refresh(self) -> None:
        """Ask the store for its time.

        Raises:
            PortError: the store did not answer; the clock goes on with what it knew.
        """
        if self._zero is None:
            await self._store.now()  # the first answer also opens a connection: it would set the clock far ahead
        asked = self._monotonic()
        told = await self._store.now()
        answered = self._monotonic()
        earliest, latest = told - timedelta(seconds=answered), told - timedelta(seconds=asked)
        if self._zero is not None:
            kept = self._zero + timedelta(seconds=DRIFT * (answered - self._measured))
            if earliest <= kept <= latest:
                return
        self._zero, self._measured = latest, answered


async def keep_refreshed(refresh: Callable[[], Awaitable[None]], every: timedelta) -> None:
    """Ask for the store's time again and again, for a process without a worker whose heartbeat does so."""
    while True:
        await asyncio.sleep(every.total_seconds())
        with suppress(PortError):  # the clock goes on with what it knew
            await refresh()
