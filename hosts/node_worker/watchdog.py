"""The watchdog: a thread that ends the process when its event loop has been dead for longer than the lease allows.

A body that blocks the loop stops the heartbeat too, so other workers take the jobs over; what is left is a process that
holds a place and does nothing. Its supervisor can only start it anew once it has ended.
"""

import faulthandler
import os
import sys
import threading
import time
import traceback
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Self

import attrs
import structlog

from mainspring.ports.errors import SettingsError

logger = structlog.get_logger("mainspring.watchdog")

EXIT_DEAD_LOOP = 7
"""The exit code of a process whose watchdog ended it."""

_TELLING = 2.0  # seconds the last words may take: whoever blocks the loop may block the terminal too
_GIL_FACTOR, _GIL_MARGIN = 4, 60.0
_ARMING = 5.0  # seconds between two arms of faulthandler's timer


@attrs.frozen(kw_only=True)
class DeadTime:
    """For how long the loop has been seen dead, judged by one look after the other.

    A look counts for no more than twice the time that was meant to pass before it: when the whole process was stopped
    (SIGSTOP, a suspended machine) the watchdog was late itself, and that says nothing about the loop.
    """

    every: float  #: seconds meant to pass between two looks
    beats: int = 0
    dead: float = 0.0

    def looked(self, beats: int, elapsed: float) -> "DeadTime":
        """After a look that found so many beats, ``elapsed`` seconds after the one before."""
        if beats != self.beats:
            return attrs.evolve(self, beats=beats, dead=0.0)
        return attrs.evolve(self, dead=self.dead + min(elapsed, 2 * self.every))


class Watchdog:
    """Watches one loop while the ``with`` lasts.

    Args:
        loop: beats by a timer of its own, so that a loop that runs is never taken for dead.
        limit: how long it may be dead.
        end: ends the process; replaced in tests.
    """

    def __init__(self, loop: AbstractEventLoop, limit: timedelta, end: Callable[[int], object] = os._exit) -> None:
        if limit <= timedelta(0):
            raise SettingsError(f"the watchdog's limit must be positive, not {limit}")
        self._loop = loop
        self._limit = limit.total_seconds()
        self._every = min(self._limit / 10, 3.0)
        self._end = end
        self._beats = 0
        self._timer: TimerHandle | None = None
        self._watched = threading.get_ident()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mainspring watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._timer is not None:
            self._timer.cancel()
        self._thread.join(_TELLING)
        faulthandler.cancel_dump_traceback_later()

    def _beat(self) -> None:
        self._beats += 1
        self._timer = self._loop.call_later(self._every, self._beat)

    def _watch(self) -> None:
        state = DeadTime(every=self._every)
        before, armed = time.monotonic(), 0.0
        while not self._closed.wait(self._every):
            now = time.monotonic()
            state = state.looked(self._beats, now - before)
            before = now
            if state.dead > self._limit:
                self._tell_and_end(state.dead)
                return
            if now - armed >= _ARMING or not armed:
                self._guard_interpreter()
                armed = now

    def _guard_interpreter(self) -> None:
        """C code that never gives the interpreter's lock back stops this thread too: faulthandler's needs no lock.

        It counts a stop of the process as time, hence the wide margin.
        """
        if sys.__stderr__ is None:
            return
        with suppress(OSError, ValueError):  # it was closed: then nobody could be told anyway
            faulthandler.dump_traceback_later(self._limit * _GIL_FACTOR + _GIL_MARGIN, exit=True, file=sys.__stderr__)

    def _tell_and_end(self, dead: float) -> None:
        stack = _stack_of(self._watched)
        telling = threading.Thread(target=self._tell, args=(dead, stack), daemon=True)
        telling.start()
        telling.join(_TELLING)
        self._end(EXIT_DEAD_LOOP)

    def _tell(self, dead: float, stack: str) -> None:
        logger.critical(
            "event_loop_dead",
            seconds=round(dead, 1),
            limit=self._limit,
            stack=stack,
            hint="a body blocks the event loop: make it a plain `def`, which gets a thread, or await what it waits for",
        )


def _stack_of(thread: int) -> str:
    """What a thread is doing, without any values."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return "" if frame is None else "".join(traceback.format_stack(frame, limit=30)).rstrip()


def end_within(seconds: float, code: int) -> None:
    """End the process with this code even if its own way of ending hangs: on a thread some body left behind, say."""

    def guard() -> None:
        time.sleep(seconds)
        os._exit(code)

    threading.Thread(target=guard, name="mainspring exit", daemon=True).start()
