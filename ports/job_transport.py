"""JobTransport: hints that a job is worth a look, and RunFeed: hints that a run may have ended.

Hints may come twice, late, in any order or never. Losing them all costs latency, never work.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from mainspring.ports.names import RunId
from mainspring.ports.records import Hint, Pointer


class JobTransport(Protocol):
    """Carries pointers to jobs. A database transport's hint is just "look"."""

    #: True: every hint points at one job and goes to one host of the fleet, which claims that very row. Somebody's
    #: upkeep must announce jobs of which no message tells any more. False: a hint only says that the store is worth a
    #: look, and goes to all.
    carries_pointers: bool

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        """Tell listeners, here and elsewhere, that these jobs are due. After the commit that made them so.

        ``after``: they are due only then. A transport that can keep a message so long tells of them then, not earlier;
        any other tells nothing, and leaves it to whoever looks at the store at that moment.
        """
        ...

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        """Up to ``limit`` hints as soon as there is one; an empty list when ``wait`` passed without.

        A hint sent between two calls is not lost to a single receiver of this process.
        """
        ...

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        """The hint was dealt with, or (``again_after``) shall come again after that time."""
        ...

    async def close(self) -> None:
        """Let go of every resource; waiting receivers return empty."""
        ...


class RunFeed(Protocol):
    """Tells that runs may have ended; for those who wait for results."""

    async def ended(self, run_ids: Collection[RunId]) -> None:
        """These runs ended: the caller's commit said so."""
        ...

    async def wait(self, run_ids: Collection[RunId], wait: timedelta) -> None:
        """Return when one of these runs may have ended, or when ``wait`` passed. May return early for no reason."""
        ...
