"""Ways to wait that end early: at a bell, at a stop. Shared by the worker's loops.

Rule: no wait makes a task, for a worker that has nothing to do waits all the time.
"""

import asyncio
from asyncio import CancelledError, Event, Future
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

logger = structlog.get_logger("mainspring.worker")


class Bell(Event):
    """An event that calls who listens when it is set."""

    def __init__(self) -> None:
        super().__init__()
        self._listeners: dict[object, Callable[[], object]] = {}

    def set(self) -> None:
        """Set the event; who listens is called at once."""
        super().set()
        for listener in list(self._listeners.values()):
            listener()

    def listen(self, who: object, listener: Callable[[], object]) -> None:
        """Call it at each ``set``, until ``leave``."""
        self._listeners[who] = listener

    def leave(self, who: object) -> None:
        """Call it no more."""
        self._listeners.pop(who, None)


async def within(bell: Bell, seconds: float) -> None:
    """Wait for the bell, but not longer than so many seconds."""
    if not bell.is_set():
        await _first(seconds, bell)


async def either(*bells: Bell) -> None:
    """Wait for the first of the bells."""
    if not any(bell.is_set() for bell in bells):
        await _first(None, *bells)


async def _first(seconds: float | None, *bells: Bell) -> None:
    loop = asyncio.get_running_loop()
    news: Future[None] = loop.create_future()

    def ring() -> None:
        if not news.done():
            news.set_result(None)

    timer = None if seconds is None else loop.call_later(seconds, ring)
    for bell in bells:
        bell.listen(news, ring)
    try:
        await news
    finally:
        for bell in bells:
            bell.leave(news)
        if timer is not None:
            timer.cancel()


async def unless(bell: Bell, coroutine: Coroutine[Any, Any, T], otherwise: T) -> T:
    """The coroutine's value, or ``otherwise`` if the bell comes first: then the coroutine is cancelled."""
    task = asyncio.current_task()
    if task is None or bell.is_set():
        coroutine.close()
        return otherwise
    loop, others = task.get_loop(), task.cancelling()
    waits, cancelled = True, False

    def cancel() -> None:
        nonlocal cancelled
        if waits and not cancelled:
            cancelled = True
            task.cancel()

    # Soon, not at once: whoever sets the bell may be the coroutine, and a task that runs is cancelled at a later wait.
    bell.listen(task, lambda: loop.call_soon(cancel))
    try:
        return await coroutine
    except CancelledError:
        if not cancelled or task.cancelling() > others + 1:
            raise
        return otherwise
    finally:
        waits = False
        bell.leave(task)
        if cancelled:
            task.uncancel()


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
