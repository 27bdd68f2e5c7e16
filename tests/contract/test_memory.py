"""The memory adapters keep every contract, and crash and report unknown outcomes like real ones."""

import asyncio
from datetime import datetime
from random import Random

import pytest

from mainspring.adapters.memory import (
    Fault,
    ManualClock,
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryRunFeed,
    MemoryScheduler,
    SeededIds,
)
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.change import Change
from mainspring.ports.clock import Clock, Ids
from mainspring.ports.contracts.blob_store import BlobStoreContract
from mainspring.ports.contracts.clock import ClockContract, IdsContract
from mainspring.ports.contracts.event_sink import EventSinkContract
from mainspring.ports.contracts.job_transport import JobTransportContract
from mainspring.ports.contracts.persistence import PersistenceContract
from mainspring.ports.contracts.run_feed import RunFeedContract
from mainspring.ports.contracts.scheduler import SchedulerContract
from mainspring.ports.contracts.world import LEASE_LENGTH, ROUTE, WORKER, SteerableClock, World
from mainspring.ports.errors import UnknownOutcomeError
from mainspring.ports.event_sink import EventSink
from mainspring.ports.job_transport import JobTransport, RunFeed
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Event
from mainspring.ports.scheduler import Scheduler


class TestMemoryPersistence(PersistenceContract):
    def new_clock(self) -> SteerableClock:
        return ManualClock()

    async def open(self, clock: SteerableClock) -> Persistence:
        self.one = MemoryPersistence(clock, SeededIds(clock))
        return self.one

    async def second(self, clock: SteerableClock) -> Persistence:
        return self.one.another()


class TestMemoryPersistenceInterleaved(PersistenceContract):
    """The same, with every call suspended a random while before and after its effect."""

    def new_clock(self) -> SteerableClock:
        return ManualClock()

    async def open(self, clock: SteerableClock) -> Persistence:
        dice = Random(0)

        async def linger(name: str) -> None:
            for _ in range(dice.randrange(3)):
                await asyncio.sleep(0)

        self.linger = linger
        self.one = MemoryPersistence(clock, SeededIds(clock), point=linger)
        return self.one

    async def second(self, clock: SteerableClock) -> Persistence:
        return self.one.another(self.linger)


class TestMemoryJobTransport(JobTransportContract):
    async def open(self) -> JobTransport:
        return MemoryJobTransport()


class TestMemoryRunFeed(RunFeedContract):
    async def open(self) -> RunFeed:
        return MemoryRunFeed()


class TestMemoryEventSink(EventSinkContract):
    async def open(self) -> EventSink:
        self.sink = MemoryEventSink()
        return self.sink

    async def taken(self) -> list[Event]:
        return self.sink.published

    async def refuse(self, event_id: str) -> None:
        def refuses(event: Event) -> str | None:
            return "no" if event.id == event_id else None

        self.sink.refuses = refuses


class TestMemoryScheduler(SchedulerContract):
    async def open(self) -> Scheduler:
        self.scheduler = MemoryScheduler()
        return self.scheduler

    async def asked(self) -> datetime | None:
        return self.scheduler.asked


class TestMemoryBlobStore(BlobStoreContract):
    async def open(self) -> BlobStore:
        self.store = MemoryBlobStore()
        return self.store

    async def second(self) -> BlobStore:
        return self.store


class TestManualClock(ClockContract):
    def open(self) -> Clock:
        return ManualClock()


class TestSeededIds(IdsContract):
    def open(self) -> Ids:
        return SeededIds(ManualClock())


def failing_at(world: World, name: str, error: BaseException) -> MemoryPersistence:
    """A client of the world's store that meets the error at that point."""
    assert isinstance(world.store, MemoryPersistence)
    return world.store.another(Fault(name, error))


async def test_an_unknown_outcome_after_the_commit_was_written(world: World) -> None:
    run = world.run()
    with pytest.raises(UnknownOutcomeError):
        await failing_at(world, "commit:after", UnknownOutcomeError("lost")).commit(Change(create=run))
    assert await world.store.run(run.id) == run


async def test_an_unknown_outcome_before_the_commit_was_not_written(world: World) -> None:
    run = world.run()
    with pytest.raises(UnknownOutcomeError):
        await failing_at(world, "commit:before", UnknownOutcomeError("lost")).commit(Change(create=run))
    assert await world.store.run(run.id) is None


async def test_an_unknown_outcome_may_hide_that_the_change_was_refused(world: World) -> None:
    run = await world.created()
    with pytest.raises(UnknownOutcomeError):
        await failing_at(world, "commit:after", UnknownOutcomeError("lost")).commit(Change(create=run))


async def test_a_crash_after_a_claim_leaves_the_job_leased(world: World) -> None:
    _, job = await world.with_job()
    crashing = failing_at(world, "claim:after", SystemExit("killed"))
    with pytest.raises(SystemExit):
        await crashing.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER)
    stored = await world.stored(job)
    assert (stored.worker, stored.attempt) == (WORKER, 1)


async def test_a_crash_before_a_claim_leaves_the_job_claimable(world: World) -> None:
    _, job = await world.with_job()
    crashing = failing_at(world, "claim:before", SystemExit("killed"))
    with pytest.raises(SystemExit):
        await crashing.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER)
    assert [lease.job.key for lease in await world.claimed()] == [job.key]
