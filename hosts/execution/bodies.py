"""Calling a body, and ending it: whatever it does, the host goes on.

A body is a task of its own (never in the host's task group), or a daemon thread for a plain function. Told to end, it
gets a cancellation and a grace; one that swallows both is closed and forgotten.
"""

import asyncio
from asyncio import Future, Task
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import attrs

from mainspring.hosts.execution.live import Seat, Stop
from mainspring.hosts.execution.threads import Raised, Threads

CANCELS = 3
"""How often a body that swallows cancellation is cancelled within its grace."""


@attrs.frozen(slots=False)
class Ended:
    """How a body ended: with a value, an error, or because it was told to (``stop``)."""

    value: Any = None
    error: BaseException | None = None
    stop: Stop | None = None
    called: bool = True  #: False: it was too late before it began
    abandoned: bool = False  #: it had not ended when it was given up on


class Bodies:
    """Runs bodies for one host; counts those that would not end."""

    def __init__(self, threads: Threads, grace: float) -> None:
        self._threads = threads
        self._grace = grace
        self._zombies: set[Task[Any]] = set()

    @property
    def stuck(self) -> int:
        """Bodies that were given up on and still live, threads and tasks."""
        return len(self._zombies) + self._threads.stuck

    async def call_async(
        self, seat: Seat, timeout: float, body: Callable[[], Awaitable[Any]], on_wait: Callable[[], None]
    ) -> Ended:
        """Call a coroutine function; end it after ``timeout`` seconds, or when the seat is told to.

        ``on_wait`` is called if the body does not end at once.
        """
        loop = asyncio.get_running_loop()
        told = _told_already(seat, loop.time())
        if told is not None:
            return Ended(stop=told, called=False)
        try:
            awaitable = body()
        except BaseException as raised:  # noqa: BLE001  nothing a body raises may end the host
            return Ended(error=raised)
        task = loop.create_task(_guarded(awaitable))
        try:
            await asyncio.sleep(0)  # a body that awaits nothing has ended after this, and needs no timers
        except asyncio.CancelledError:  # the host itself is being torn down
            task.cancel()
            raise
        stop: Stop | None = None
        if not task.done():
            on_wait()
            stop = await self._until_done(task, seat, timeout)
        if stop is not None and not await self._cancel(task):
            self._forget(task, awaitable)
            return Ended(stop=stop, abandoned=True)
        value, error = task.result()
        return Ended(value, error, stop)

    async def call_plain(
        self, seat: Seat, timeout: float, body: Callable[[], Any], on_wait: Callable[[], None]
    ) -> Ended:
        """Call a plain function in a thread; told to end it gets the grace, then the thread is left to it."""
        told = _told_already(seat, asyncio.get_running_loop().time())
        if told is not None:
            return Ended(stop=told, called=False)
        future = self._threads.run(body)
        on_wait()
        stop = await self._until_done(future, seat, timeout)
        if stop is not None:
            await asyncio.wait([future], timeout=self._grace if stop is not Stop.LEASE_LOST else 0)
            if not future.done():
                self._threads.give_up(future)
                return Ended(stop=stop, abandoned=True)
        error = future.exception()
        if error is None:
            return Ended(future.result(), None, stop)
        return Ended(None, error.error if isinstance(error, Raised) else error, stop)

    async def _until_done(self, future: "Future[Any]", seat: Seat, timeout: float) -> Stop | None:
        """Wait for the body; why it shall end instead, or None. The future stays as it is."""
        loop = asyncio.get_running_loop()
        waiter: Future[Stop | None] = loop.create_future()

        def done(_: object) -> None:
            if not waiter.done():
                waiter.set_result(None)

        def told(reason: Stop) -> None:
            if not waiter.done():
                waiter.set_result(reason)

        future.add_done_callback(done)
        seat.listen(told)
        timer = loop.call_later(timeout, seat.tell, Stop.TIMED_OUT)
        try:
            reason = await waiter
        except asyncio.CancelledError:  # the host itself is being torn down
            future.cancel()
            raise
        finally:
            timer.cancel()
            seat.listen(None)
        return None if future.done() else reason

    async def _cancel(self, task: "Task[Any]") -> bool:
        for _ in range(CANCELS):
            task.cancel()
            await asyncio.wait([task], timeout=self._grace / CANCELS)
            if task.done():
                return True
        return False

    def _forget(self, task: "Task[Any]", awaitable: Awaitable[Any]) -> None:
        """Close the coroutine under the task; one that ignores even that is cut off from the loop."""
        self._zombies.add(task)
        task.add_done_callback(self._bury)
        for coroutine in (awaitable, awaitable, awaitable, task.get_coro()):
            if isinstance(coroutine, Coroutine):
                try:
                    coroutine.close()
                    break
                except (RuntimeError, ValueError):  # it ignores GeneratorExit, or is running this very moment
                    continue
        task.cancel()  # makes the task see that nothing is left of it

    def _bury(self, task: "Task[Any]") -> None:
        self._zombies.discard(task)
        if not task.cancelled():
            task.exception()


def _told_already(seat: Seat, moment: float) -> Stop | None:
    """Why the body must not be called at all: a lease that ran out meanwhile may be another worker's by now."""
    if seat.until <= moment:
        seat.tell(Stop.LEASE_LOST)
    return seat.stop


async def _guarded(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """The body's value or error as data: SystemExit raised in a task would end the loop, StopIteration break it."""
    try:
        return await awaitable, None
    except BaseException as error:  # noqa: BLE001  nothing a body raises may end the host
        return None, error
