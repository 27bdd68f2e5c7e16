"""The suite of RunFeed: who waits for a run is told soon after it ended, and never waits longer than asked."""

import asyncio
from datetime import timedelta

from mainspring.ports.contracts.job_transport import LONG
from mainspring.ports.job_transport import RunFeed
from mainspring.ports.names import RunId

RUN = RunId("019a0000-0000-7000-8000-000000000001")
OTHER_RUN = RunId("019a0000-0000-7000-8000-000000000002")

_PATIENCE = 30.0


class RunFeedContract:
    """What those who wait for results may rely on. A return for no reason is always allowed."""

    async def open(self) -> RunFeed:
        """A feed of which nobody was told anything."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Close what the test opened, if it needs closing; to be called after each."""

    async def test_who_waits_is_told_of_the_end(self) -> None:
        feed = await self.open()
        waiting = asyncio.create_task(feed.wait([OTHER_RUN, RUN], LONG))
        await asyncio.sleep(0)
        await feed.ended([RUN])
        async with asyncio.timeout(_PATIENCE):
            await waiting

    async def test_everybody_who_waits_is_told(self) -> None:
        feed = await self.open()
        waiting = [asyncio.create_task(feed.wait([RUN], LONG)) for _ in range(3)]
        await asyncio.sleep(0)
        await feed.ended([RUN, OTHER_RUN])
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(*waiting)

    async def test_the_wait_ends_without_news(self) -> None:
        feed = await self.open()
        async with asyncio.timeout(_PATIENCE):
            await feed.wait([RUN], timedelta(0))
            await feed.wait([RUN], timedelta(milliseconds=5))

    async def test_a_waiter_that_gives_up_is_no_trouble(self) -> None:
        feed = await self.open()
        waiting = asyncio.create_task(feed.wait([RUN], LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await feed.ended([RUN])

    async def test_telling_of_nothing_is_harmless(self) -> None:
        feed = await self.open()
        await feed.ended([])
