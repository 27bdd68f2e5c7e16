"""Ways to wait that end early: at an event, at a stop. Shared by the worker's loops."""

import asyncio
from asyncio import Event
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

logger = structlog.get_logger("mainspring.worker")


async def within(event: Event, seconds: float) -> None:
    """Wait for the event, but not longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def either(*events: Event) -> None:
    """Wait for the first of the events."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def unless(event: Event, coroutine: Coroutine[Any, Any, T], otherwise: T) -> T:
    """The coroutine's value, or ``otherwise`` if the event comes first."""
    task = asyncio.ensure_future(coroutine)
    stop = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else otherwise
    finally:
        stop.cancel()
        task.cancel()


class BackOff:
    """Growing pauses after failures: 0.1 s, twice as long each time, 5 s at most, jittered."""

    def __init__(self, random: float) -> None:
        self._jitter = 0.75 + 0.5 * random
        self.seconds = 0.0

    def failed(self, event: str, error: Exception) -> None:
        """Log the failure; the next pause is longer."""
        logger.warning(event, error=f"{type(error).__name__}: {error}")
        self.seconds = min(max(self.seconds * 2, 0.1 * self._jitter), 5.0 * self._jitter)

    def went_well(self) -> None:
        """No pause is needed."""
        self.seconds = 0.0
