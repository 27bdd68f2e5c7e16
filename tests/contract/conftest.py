"""Contract suites are shipped without pytest: here their asserts are explained, and what they opened is closed."""

import inspect
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mainspring.adapters.memory import ManualClock, MemoryPersistence, SeededIds
from mainspring.ports.contracts.world import World


@pytest.fixture(autouse=True)
async def _finished(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    yield
    finish = getattr(request.instance, "finish", None)
    if finish is not None and inspect.iscoroutinefunction(finish):
        await finish()


@pytest.fixture
async def world() -> World:
    """A memory store that two clients share, its clock, and builders of records."""
    clock = ManualClock()
    store = MemoryPersistence(clock, SeededIds(clock))

    async def advance(by: timedelta) -> None:
        clock.advance(by)

    return World(store=store, other=store.another(), clock=clock, advance=advance)
