"""SimLoop: an event loop whose time is virtual and whose order is decided by a seed.

Within a life callbacks run first in, first out, as in any loop; lives interleave by the latencies their scheduling
points draw. When nothing is ready, time jumps to the next timer. There are no threads, sockets or files.
"""

import asyncio
from asyncio import AbstractEventLoop, Future, Task, TimerHandle, events
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar, cast

from mainspring.hosts.simulation.lives import LIFE, Life, State

T = TypeVar("T")

MOST_AT_ONCE = 200_000
"""Callbacks that may run at one moment of virtual time before the world counts as spinning."""


class SimulationError(Exception):
    """The simulation itself cannot go on: code under test left the simulated world, or spins."""


class SimHandle(list[Any]):
    """A callback to run: itself, its arguments, its context and its moment; to be used as a ``TimerHandle``.

    A list, because those are made without a line of Python; hundreds are made for each world.
    """

    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]  # it is one of its kind, whatever it holds
    __eq__ = object.__eq__

    def cancel(self) -> None:
        """Do not run it."""
        self[:3] = None, (), None

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self[0] is None

    def when(self) -> float:
        """The moment it is due."""
        moment: float = self[3]
        return moment

    def __repr__(self) -> str:
        return f"<SimHandle {self[0]!r} at {self[3]}>"


class SimTask(Task[T]):
    """A task that hashes by its number: sets of tasks have the same order in every run."""

    ordinal: int  #: given before anything else is

    def __hash__(self) -> int:
        return self.ordinal

    def __eq__(self, other: object) -> bool:
        return self is other


class SimFuture(Future[T]):
    """A future that hashes by a number, as ``SimTask`` does; the number is given when it is first asked for."""

    __slots__ = ("_ordinal",)
    _ordinal: int

    def __hash__(self) -> int:
        try:
            return self._ordinal
        except AttributeError:
            self._ordinal = cast("SimLoop", self.get_loop()).ordinal()
            return self._ordinal

    def __eq__(self, other: object) -> bool:
        return self is other


class Nap:
    """An awaitable that lets time pass: as ``asyncio.sleep``, in half the callbacks. Await it once."""

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_handle", "_loop", "_moment", "_wake")

    def __init__(self, loop: "SimLoop", seconds: float) -> None:
        self._loop = loop
        self._moment = loop.now + seconds
        self._asyncio_future_blocking = True
        self._cancelled = False

    def __await__(self) -> Generator["Nap"]:
        yield self
        del self._handle  # which holds this: nothing is left for the garbage collector
        if self._cancelled:
            raise asyncio.CancelledError

    def add_done_callback(self, wake: Callable[..., object], *, context: Context) -> None:
        """The task waits: wake it at the moment."""
        self._wake, self._context = wake, context
        self._handle = self._loop.timer(self._moment, wake, (self,), context)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  as a future has it
        """The task is cancelled: wake it now."""
        if not self._cancelled:
            self._cancelled = True
            self._handle.cancel()
            self._loop.call_soon(self._wake, self, context=self._context)
        return True

    def get_loop(self) -> "SimLoop":
        """The loop, which tasks ask for."""
        return self._loop

    def result(self) -> None:
        """Nothing, or the cancellation.

        Raises:
            CancelledError: it was cancelled.
        """
        if self._cancelled:
            raise asyncio.CancelledError


class _Nothing(tuple[()]):
    """An awaitable that has nothing to wait for, and costs next to nothing."""

    __slots__ = ()
    __await__ = vars(tuple)["__iter__"]


NOTHING: Awaitable[None] = _Nothing()


class SimLoop(AbstractEventLoop):
    """Virtual time in seconds since the world began."""

    def __init__(self, salt: int = 0) -> None:
        """``salt`` parts its tasks' numbers from those of other loops: asyncio keeps the tasks of all in one set."""
        self.world: object = None  #: whose time this is
        self.steps = 0  #: callbacks run
        self.troubles: list[BaseException] = []  #: what callbacks raised into the loop
        self.now = 0.0  #: seconds since the world began; only ``run`` moves it
        self._ready: deque[SimHandle] = deque()
        self._timers: list[tuple[float, int, SimHandle]] = []
        self._count = salt
        self._tasks: list[SimTask[Any]] = []
        self._prune_at = 1000
        self._stopping = False
        self._over = False

    # Driving.

    def run(self, until: float) -> bool:
        """Run until ``stop``, or until that moment; False: nothing is left that could ever happen."""
        self._stopping = False
        with self._current():
            return self._run(until)

    def _run(self, until: float) -> bool:
        ready, timers, life_of = self._ready, self._timers, LIFE
        at_once = 0
        while not self._stopping:
            if ready:
                handle = ready.popleft()
            elif timers:
                moment = timers[0][0]
                if moment > self.now:
                    if moment > until:
                        self.now = max(self.now, until)
                        return True
                    self.now = moment
                    at_once = 0
                handle = heappop(timers)[2]
            else:
                return False
            callback, args, context, _ = handle
            if callback is None:
                continue
            life = context.get(life_of)
            if life is not None and life.stopped:
                life.held.append(handle)
                continue
            at_once += 1
            if at_once > MOST_AT_ONCE:
                raise SimulationError(f"{MOST_AT_ONCE:,} callbacks ran and no time passed: {handle!r} spins")
            self.steps += 1
            try:
                context.run(callback, *args)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001  told by the world
                self.troubles.append(error)
        return True

    def stop(self) -> None:
        """Let ``run`` return after this callback."""
        self._stopping = True

    @contextmanager
    def _current(self) -> Generator[None]:
        outer = events._get_running_loop()  # noqa: SLF001  what asyncio.run does as well
        events._set_running_loop(self)  # noqa: SLF001
        try:
            yield
        finally:
            events._set_running_loop(outer)  # noqa: SLF001

    # Lives.

    def freeze(self, life: Life) -> None:
        """Let nothing of the life run until ``thaw``; its timers wait."""
        life.state, life.stopped = State.FROZEN, True

    def thaw(self, life: Life) -> None:
        """Let the life go on with all that came due meanwhile."""
        if life.state is State.FROZEN:
            life.state, life.stopped = State.RUNNING, False
            self._ready.extend(life.held)
            life.held.clear()

    def kill(self, life: Life) -> None:
        """Let nothing of the life run ever again. What it held stays referenced: nothing is unwound."""
        life.state, life.stopped = State.DEAD, True

    def close(self) -> None:
        """End the world: every coroutine is closed, whatever it does about it."""
        self._over = True
        with self._current():
            for task in self._tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001
                    with suppress(BaseException):  # bodies may refuse to end, or await in a finally
                        cast("Coroutine[Any, Any, Any]", task.get_coro()).close()
        self._tasks.clear()
        self._ready.clear()
        self._timers.clear()

    # What asyncio asks of a loop.

    def time(self) -> float:
        """Seconds since the world began."""
        return self.now

    def call_soon(  # type: ignore[override]  # typeshed relates callback and arguments
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> SimHandle:
        """Run the callback after those that are ready."""
        handle = SimHandle((callback, args, copy_context() if context is None else context, self.now))
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> SimHandle:
        """As ``call_soon``: there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> SimHandle:
        """Run the callback in so many seconds."""
        return self.timer(self.now + delay, callback, args, copy_context() if context is None else context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> SimHandle:
        """Run the callback at that moment."""
        return self.timer(when, callback, args, copy_context() if context is None else context)

    def timer(self, when: float, callback: Any, args: tuple[Any, ...], context: Context) -> SimHandle:
        """Run the callback at that moment, in this very context."""
        handle = SimHandle((callback, args, context, when))
        self._count += 1
        heappush(self._timers, (when, self._count, handle))
        return handle

    def create_future(self) -> SimFuture[Any]:
        """A future of this loop."""
        return SimFuture(loop=self)

    def ordinal(self) -> int:
        """The next number of what this loop counts."""
        self._count += 1
        return self._count

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> SimTask[Any]:
        """A task of this loop; its name does not depend on what ran before in this process."""
        if self._over:
            coro.close()
            raise SimulationError("the simulated world is over")
        self._count += 1
        kind: Any = SimTask
        task: SimTask[Any] = kind.__new__(kind)
        task.ordinal = self._count
        task.__init__(coro, loop=self, name=name or "task", context=context)  # type: ignore[misc]
        tasks = self._tasks
        tasks.append(task)
        if len(tasks) > self._prune_at:
            tasks[:] = [one for one in tasks if not one.done()]
            self._prune_at = len(tasks) + 1000
        return task

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """Whether code asks from inside."""
        return not self._over

    def is_closed(self) -> bool:
        """Whether the world is over."""
        return self._over

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An error that nobody retrieved: not news of the world under test."""

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Nothing to do: it is dropped when its moment comes."""

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Any,  # noqa: ARG002
        func: Any,
        *args: Any,  # noqa: ARG002
    ) -> Future[Any]:
        """Threads leave the simulated world.

        Raises:
            SimulationError: always.
        """
        raise SimulationError(
            f"{func!r} was to run in a thread: a simulated world has none. Make it a plain `def` stage (its body runs"
            " at one moment of virtual time), or await it"
        )


def new_loop(salt: int = 0) -> SimLoop:
    """A loop whose time begins at zero."""
    return SimLoop(salt)  # type: ignore[abstract]  # what is missing (sockets, pipes, processes) raises NotImplementedError


def running_loop() -> SimLoop:
    """The simulated loop this code runs on.

    Raises:
        SimulationError: it runs on another one.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimLoop):
        raise SimulationError("this only works inside a simulated world")
    return loop
