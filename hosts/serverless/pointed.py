"""The jobs that a batch of messages points at: claimed in one write, worked off, and a word for each.

Rule: a message must come again only if nobody can tell that its job needs none. One that comes a moment too early is
waited for: clocks differ by the length of a round trip, and a queue may be faster than that.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.serverless.working import NOT_BEGUN, Budget, Working
from mainspring.hosts.upkeep import announcer
from mainspring.ports.errors import PortError
from mainspring.ports.records import JobKey, Lease

logger = structlog.get_logger("mainspring.serverless")

UNTOLD = "untold"
"""Of a job: the store could not tell whether it is to be worked on."""

NOT_SERVED = "not_served"
"""Of a job that fell due lately, of a route that this process does not serve; upkeep announces older ones anew."""

NOTHING = "nothing"
"""Of a job that is not to be worked on now: done, leased elsewhere, due later."""

AGAIN = frozenset({NOT_BEGUN, NOT_SERVED, UNTOLD})
"""Of a job of which nothing is known to be done: its message must come again."""

EARLY = timedelta(seconds=1)
"""A job that is due so soon is waited for."""

_BLINK = timedelta(milliseconds=5)  # after the moment


class Pointed:
    """Works on what messages point at, for one host."""

    def __init__(self, parts: Parts, registry: WorkflowRegistry, working: Working) -> None:
        self._store = parts.store
        self._registry = registry
        self._working = working

    async def handle(self, keys: Sequence[JobKey], budget: Budget) -> dict[JobKey, str]:
        """Claim and work off; how the last attempt of each ended, or why there was none.

        Raises:
            PortError: the store does not answer at all.
        """
        until = self._working.until(budget)
        leases, untold = await self._claim(keys, budget)
        claimed = {lease.job.key for lease in leases}
        missed = [key for key in keys if key not in claimed and key not in untold]
        words, told = await asyncio.gather(self._working.work(leases, until, budget), self._told(missed, budget))
        return words | told | dict.fromkeys(untold, UNTOLD)

    async def _claim(
        self, keys: Sequence[JobKey], budget: Budget, *, again: bool = True
    ) -> tuple[list[Lease], set[JobKey]]:
        """Claim these jobs in one write; the leases, and those jobs of which the store could not tell.

        A store that answers, but not this, is asked ``again``, since its connection may just have been lost; then for
        halves: one row must not hold up the rest.

        Raises:
            PortError: the store does not answer at all.
        """
        try:
            return await self._working.claim(len(keys), budget, keys), set()
        except Exception as error:  # noqa: BLE001  whatever one row made of it
            await self._store.now()  # raises if the whole store is down
            logger.warning("jobs_not_claimed", jobs=len(keys), error=f"{type(error).__name__}: {error}")
        if again:
            return await self._claim(keys, budget, again=False)
        if len(keys) == 1:
            return [], set(keys)
        half = len(keys) // 2
        leases, untold = await self._claim(keys[:half], budget, again=False)
        more, more_untold = await self._claim(keys[half:], budget, again=False)
        return leases + more, untold | more_untold

    async def _told(self, missed: Sequence[JobKey], budget: Budget) -> dict[JobKey, str]:
        """Why these were not claimed; those that came a moment too early are worked on when it has come."""
        if not missed:
            return {}
        try:
            routes = set(self._registry.routes())
            ready = await self._store.ready_among(missed)
            theirs = [one for one in ready if one.route not in routes]
            unserved = [one.key for one in theirs if -announcer.AGAIN < one.due_in <= EARLY]
            early = {one.key: one.due_in for one in ready if one.route in routes and one.due_in <= EARLY}
            words: dict[JobKey, str] = {}
            if early:
                await asyncio.sleep((max(timedelta(0), *early.values()) + _BLINK).total_seconds())
                if not self._working.has_time(budget):
                    return dict.fromkeys(missed, NOTHING) | dict.fromkeys([*unserved, *early], NOT_BEGUN)
                until = self._working.until(budget)
                leases = await self._working.claim(len(early), budget, sorted(early))
                words = await self._working.work(leases, until, budget)
        except PortError as error:
            logger.warning("jobs_not_told", jobs=len(missed), error=str(error))
            return dict.fromkeys(missed, UNTOLD)
        return dict.fromkeys(missed, NOTHING) | dict.fromkeys(unserved, NOT_SERVED) | words
