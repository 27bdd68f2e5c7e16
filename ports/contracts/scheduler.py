"""The suite of Scheduler: one ask at a time, the newest counts."""

from datetime import UTC, datetime, timedelta

from mainspring.ports.scheduler import Scheduler

MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


class SchedulerContract:
    """What a host may rely on."""

    #: A whole second, some hours before which have not come either by the scheduler's clock.
    moment = MOMENT

    async def open(self) -> Scheduler:
        """A scheduler that was asked for nothing."""
        raise NotImplementedError

    async def asked(self) -> datetime | None:
        """What the environment of the scheduler that ``open`` gave is asked for now."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Close what the test opened, if it needs closing; to be called after each."""

    async def test_a_moment_is_asked_for(self) -> None:
        scheduler = await self.open()
        await scheduler.wake_at(self.moment)
        assert await self.asked() == self.moment

    async def test_the_newest_ask_replaces_the_one_before(self) -> None:
        scheduler = await self.open()
        for moment in (self.moment, self.moment - timedelta(hours=1), self.moment + timedelta(days=1)):
            await scheduler.wake_at(moment)
            assert await self.asked() == moment

    async def test_asking_twice_for_the_same_is_harmless(self) -> None:
        scheduler = await self.open()
        await scheduler.wake_at(self.moment)
        await scheduler.wake_at(self.moment)
        assert await self.asked() == self.moment

    async def test_an_ask_is_taken_back(self) -> None:
        scheduler = await self.open()
        await scheduler.cancel()
        await scheduler.wake_at(self.moment)
        await scheduler.cancel()
        await scheduler.cancel()
        assert await self.asked() is None
