"""How the memory adapter is broken, one rule at a time, and how a suite is asked whether it notices."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from mainspring.adapters.memory import ManualClock, MemoryPersistence, SeededIds, claims, guards, writes
from mainspring.adapters.memory.store import MemoryStore
from mainspring.ports.contracts.persistence import PersistenceContract
from mainspring.ports.contracts.world import SteerableClock
from mainspring.ports.names import LeaseId, WorkerId
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Job, JobKey, Lease

Break = Callable[[pytest.MonkeyPatch], None]
"""Breaks a rule until the test ends."""

Fields = Callable[[Job, Job], dict[str, Any]]
"""Fields of a job, made of the job before and the job as it must be."""


class MemorySuite(PersistenceContract):
    """The suite on memory; every call is suspended once before and once after its effect."""

    client: type[MemoryPersistence] = MemoryPersistence

    def new_clock(self) -> SteerableClock:
        return ManualClock()

    async def open(self, clock: SteerableClock) -> Persistence:
        self.one = self.client(clock, SeededIds(clock), point=_step_aside)
        return self.one

    async def second(self, clock: SteerableClock) -> Persistence:
        return self.client(clock, SeededIds(clock, 1), store=self.one.store, point=_step_aside)


async def _step_aside(name: str) -> None:
    await asyncio.sleep(0)


# Rules of the guard table: each is one function in memory.guards.


def without_guard(guard: guards.Check) -> Break:
    def break_it(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guards, "GUARDS", tuple(kept for kept in guards.GUARDS if kept is not guard))
        monkeypatch.setattr(guards, "GATES", tuple(kept for kept in guards.GATES if kept is not guard))

    return break_it


def without_write(write: writes.Write) -> Break:
    def break_it(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writes, "WRITES", tuple(kept for kept in writes.WRITES if kept is not write))

    return break_it


def replaced(place: Any, name: str, other: Any) -> Break:
    def break_it(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(place, name, other)

    return break_it


def evolved(name: str, fields: Fields) -> Break:
    """``writes.<name>`` answers another job: made of the job before and the one it must be."""
    original: Callable[[Job, Any], Job] = getattr(writes, name)

    def other(job: Job, what: Any) -> Job:
        after = original(job, what)
        return attrs.evolve(after, **fields(job, after))

    return replaced(writes, name, other)


def client(broken: type[MemoryPersistence]) -> Break:
    return replaced(MemorySuite, "client", broken)


def other_write(old: writes.Write, new: writes.Write) -> Break:
    table = tuple(new if write is old else write for write in writes.WRITES)
    return replaced(writes, "WRITES", table)


def lease_with(fields: Fields) -> Break:
    """A claim leases another job: made of the job before and the one it must be."""
    original = claims.lease

    def other(store: MemoryStore, key: JobKey, *, worker: WorkerId, lease_id: LeaseId, length: timedelta) -> Lease:
        before = store.jobs.get(key)
        assert before is not None
        lease = original(store, key, worker=worker, lease_id=lease_id, length=length)
        job = attrs.evolve(lease.job, **fields(before, lease.job))
        store.jobs.write(key, job)
        return attrs.evolve(lease, job=job)

    return replaced(claims, "lease", other)


def fails(suite: Any, test: str) -> bool:
    """Whether the suite's test fails, in a loop and a world of its own."""

    async def run() -> None:
        instance = suite()
        try:
            await getattr(instance, f"test_{test}")()
        finally:
            await instance.finish()

    try:
        asyncio.run(run())
    except Exception:  # noqa: BLE001  an adapter may fail a test in any way
        return True
    return False
