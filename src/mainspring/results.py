"""Waiting for runs to end: one watcher for all who wait in this process."""

import asyncio
from asyncio import Event, Future, Task
from collections.abc import Collection
from datetime import timedelta

import structlog

from mainspring.ports.errors import MainspringError, PortError, UnavailableError
from mainspring.ports.job_transport import RunFeed
from mainspring.ports.names import RunId
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Run

logger = structlog.get_logger("mainspring.results")

SAFETY_POLL = timedelta(seconds=1)
"""How often waiters look for themselves, should every hint be lost."""

CHUNK = 500

KEPT = 200
"""Runs begun here of which it is remembered that their end will be told, or how they ended."""


class Results:
    """Tells waiters when their runs have ended: at once for runs this process ended, by the feed for others."""

    def __init__(self, store: Persistence, feed: RunFeed) -> None:
        self._store = store
        self._feed = feed
        self._waiters: dict[RunId, dict[Future[Run], None]] = {}  # in order of their coming
        self._ended_here: dict[RunId, None] = {}
        self._begun: dict[RunId, Run | None] = {}  #: runs whose end will be told here, with it if nobody waited yet
        self._news = Event()
        self._somebody = Event()  #: somebody waits
        self._joined = Event()  #: somebody waits whom the feed was not asked about
        self._watchers: tuple[Task[None], ...] = ()
        self._closed: MainspringError | None = None

    def begun(self, run_id: RunId) -> None:
        """A worker here began the run as it was started: who waits for it needs not look whether it has ended."""
        self._begun[run_id] = None
        if len(self._begun) > KEPT:
            del self._begun[next(iter(self._begun))]

    def ended(self, run_id: RunId, run: Run | None = None) -> None:
        """This process recorded the run's end; ``run`` is the record, if it is at hand."""
        if run_id not in self._waiters:
            if run is None:
                self._begun.pop(run_id, None)
            elif run_id in self._begun:
                self._begun[run_id] = run
            return
        if run is not None:
            self._tell(run)
        else:
            self._ended_here[run_id] = None
            self._news.set()

    async def wait(self, run_id: RunId) -> Run:
        """The run, once its status is final. Cancel to stop waiting.

        Raises:
            UnavailableError: this engine was closed, or its worker died, so that nobody here would hear of the end.
        """
        if self._closed is not None:
            raise self._closed
        is_begun = run_id in self._begun
        if (over := self._begun.pop(run_id, None)) is not None:
            return over
        loop = asyncio.get_running_loop()
        future: Future[Run] = loop.create_future()
        self._waiters.setdefault(run_id, {})[future] = None
        self._somebody.set()
        self._joined.set()
        try:
            if not self._watchers:
                self._watchers = (loop.create_task(self._watch_here()), loop.create_task(self._watch_feed()))
            if not is_begun:
                await self._look([run_id])
            return await future
        finally:
            self._leave(run_id, future)

    def fail(self, error: MainspringError) -> None:
        """Nobody who waits, now or later, will hear anything: tell why."""
        self._closed = error
        for waiting in list(self._waiters.values()):
            for future in waiting:
                if not future.done():
                    future.set_exception(error)

    async def close(self) -> None:
        """Stop watching; who still waits is told."""
        self.fail(UnavailableError("the engine was closed while the run was waited for; the run goes on"))
        watchers, self._watchers = self._watchers, ()
        for task in watchers:
            task.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)

    def _leave(self, run_id: RunId, future: "Future[Run]") -> None:
        waiting = self._waiters.get(run_id)
        if waiting is not None:
            waiting.pop(future, None)
            if not waiting:
                del self._waiters[run_id]
        if not self._waiters:
            self._somebody.clear()

    async def _watch_here(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            ended, self._ended_here = self._ended_here, {}
            await self._look(ended)

    async def _watch_feed(self) -> None:
        loop = asyncio.get_running_loop()
        #: the moment of the next look, however many join meanwhile
        look_at = loop.time() + SAFETY_POLL.total_seconds()
        while True:
            if not self._somebody.is_set():
                await self._somebody.wait()
                look_at = loop.time() + SAFETY_POLL.total_seconds()
            try:
                if await self._joined_before_news(look_at - loop.time()):
                    continue
                look_at = loop.time() + SAFETY_POLL.total_seconds()
                heard = await self._look(list(self._waiters))
            except Exception as error:  # noqa: BLE001  who waits must not be left to wait for ever
                logger.warning("watching_failed", error=f"{type(error).__name__}: {error}")
                heard = False
            if not heard:
                await asyncio.sleep(SAFETY_POLL.total_seconds())

    async def _joined_before_news(self, seconds: float) -> bool:
        """Ask the feed about all who wait, for so long; True as soon as there are more of them."""
        self._joined.clear()
        waiting = [
            asyncio.ensure_future(self._feed.wait(list(self._waiters), timedelta(seconds=max(seconds, 0.0)))),
            asyncio.ensure_future(self._joined.wait()),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not waiting[0].done():
                return True
            waiting[0].result()
            return False
        finally:
            for one in waiting:
                one.cancel()

    async def _look(self, run_ids: Collection[RunId]) -> bool:
        """Tell who waits for those that have ended; False if the store could not be asked."""
        ids = [run_id for run_id in run_ids if not all(future.done() for future in self._waiters.get(run_id, ()))]
        for start in range(0, len(ids), CHUNK):
            try:
                found = await self._store.finished(ids[start : start + CHUNK])
            except PortError:
                return False  # the watcher looks again
            for run in sorted(found, key=lambda run: run.id):  # a store gives them in any order
                self._tell(run)
        return True

    def _tell(self, run: Run) -> None:
        for future in self._waiters.get(run.id, ()):
            if not future.done():
                future.set_result(run)
