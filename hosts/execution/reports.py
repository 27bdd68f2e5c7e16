"""What an attempt tells while it lasts: that it began, where its end is long in coming, and its progress, coalesced."""

import asyncio
from asyncio import AbstractEventLoop, Task, TimerHandle
from contextlib import suppress

import structlog

from mainspring.hosts.execution.parts import Timing
from mainspring.kernel.commands.attempt_report import ReportProgress
from mainspring.kernel.commands.attempt_start import StartAttempt
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import MainspringError
from mainspring.ports.records import Job

logger = structlog.get_logger("mainspring.executor")

Told = tuple[float, float | None, str]


class Report:
    """One attempt's reports. ``progress`` may be called from the body's thread."""

    def __init__(
        self, job: Job, dispatcher: Dispatcher, every: float, start_after: float, loop: AbstractEventLoop
    ) -> None:
        self._job = job
        self._dispatcher = dispatcher
        self._every = every  #: seconds between two words on progress
        self._start_after = start_after  #: seconds after which the start is told apart
        self._loop = loop
        self._told: Told | None = None
        self._next = 0.0  #: when progress may be written again, on the loop's clock
        self._pause: TimerHandle | None = None
        self._writing: Task[None] | None = None
        self._start: Task[bool] | None = None
        self._timer: TimerHandle | None = None

    def wait(self) -> None:
        """The body did not end at once: tell that it began, if its end is long in coming."""
        self._timer = self._loop.call_later(self._start_after, self._begin)

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Keep the newest word; it is written at most every ``progress_every``."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._take((done, total, message))
        else:
            with suppress(RuntimeError):  # the loop has closed: a thread that was given up on still talks
                self._loop.call_soon_threadsafe(self._take, (done, total, message))

    async def close(self) -> bool:
        """Stop reporting, the last word written; whether the start was told apart."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pause is not None:
            self._pause.cancel()
        if self._writing is not None:
            await self._writing
        if self._told is not None:
            await self._write()
        return self._start is not None and await self._start

    def _take(self, told: Told) -> None:
        waiting = self._told is not None
        self._told = told
        if not waiting and (self._writing is None or self._writing.done()):
            self._pause = self._loop.call_at(max(self._next, self._loop.time()), self._begin_writing)

    def _begin_writing(self) -> None:
        self._writing = self._loop.create_task(self._write())

    async def _write(self) -> None:
        if self._told is None:
            return
        (done, total, message), self._told = self._told, None
        self._next = self._loop.time() + self._every
        try:
            await self._dispatcher.dispatch(ReportProgress(job=self._job, done=done, total=total, message=message))
        except MainspringError as error:
            logger.debug("progress_not_kept", run=self._job.run_id, stage=self._job.stage, error=str(error))
        if self._told is not None:
            self._pause = self._loop.call_at(self._next, self._begin_writing)

    def _begin(self) -> None:
        self._start = self._loop.create_task(self._tell_start())

    async def _tell_start(self) -> bool:
        try:
            await self._dispatcher.dispatch(StartAttempt(job=self._job))
        except MainspringError as error:
            logger.debug("start_not_told", run=self._job.run_id, stage=self._job.stage, error=str(error))
            return False
        return True


class Reports:
    """Opens reports for one host's attempts."""

    def __init__(self, dispatcher: Dispatcher, timing: Timing) -> None:
        self._dispatcher = dispatcher
        self._every = timing.progress_every.total_seconds()
        self._start_after = timing.start_told_after.total_seconds()

    def open(self, job: Job, loop: AbstractEventLoop) -> Report:
        """Begin reporting on an attempt."""
        return Report(job, self._dispatcher, self._every, self._start_after, loop)
