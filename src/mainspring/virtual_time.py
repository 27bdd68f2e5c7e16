"""An engine with a real worker on virtual time, where nothing goes wrong: years of waiting take milliseconds.

Rule: nothing polls. Time jumps from one moment at which something is due to the next; who waits is told of news.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.memory.ids import SeededIds
from mainspring.adapters.memory.job_transport import MemoryJobTransport
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.memory.store import MemoryStore
from mainspring.adapters.memory.tables import Committed
from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.engine import Mainspring
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Parts, Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.waiting import Bell, within
from mainspring.hosts.simulation.escapes import watched
from mainspring.hosts.simulation.faults import Plan
from mainspring.hosts.simulation.quiet import kept_apart
from mainspring.hosts.simulation.threads import SimThreads
from mainspring.hosts.simulation.world import World
from mainspring.hosts.upkeep.ticks import Upkeep
from mainspring.kernel.definition import Workflow
from mainspring.ports.codec import Limits
from mainspring.ports.errors import MainspringError
from mainspring.ports.names import RunId
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Event
from mainspring.ports.sinks import Sink

T = TypeVar("T")

NEVER = timedelta(days=100 * 365)
"""How long a worker's loops sleep that would only look whether a hint was lost: here none is."""

LONGEST = timedelta(days=10 * 365)
"""Virtual time after which a scenario counts as stuck."""


class StuckError(MainspringError):
    """Nothing is due and nothing ever will be, yet it has not ended: it waits for what time does not bring."""


class SimulatedEngine(Mainspring):
    """A ``Mainspring`` on virtual time: start, wait, cancel and signal as ever. Only ``in_virtual_time`` makes one."""

    def __init__(self, world: World, *workflows: Workflow[Any, Any], limits: Limits | None = None) -> None:
        self.events: list[Event] = []  #: every event, as it was committed
        self._world = world
        self._changed = Bell()
        tables = MemoryStore(world.time)
        tables.add_sink(Sink())
        tables.watch = self._committed
        self._feed = _Feed()
        parts = _parts(world, tables, self._feed, limits or Limits())
        super().__init__(workflows=workflows, settings=_settings(), parts=parts)

    async def __aenter__(self) -> Self:
        """Begin to work."""
        await super().__aenter__()
        self._keeping = asyncio.get_running_loop().create_task(self._keep_time(), name="mainspring upkeep")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop working."""
        self._keeping.cancel()
        await super().__aexit__(kind, error, trace)

    def now(self) -> datetime:
        """The moment: aware, UTC."""
        return self._world.time.now()

    async def sleep(self, by: timedelta) -> None:
        """Let so much time pass."""
        await asyncio.sleep(by.total_seconds())

    def _committed(self, transaction: Committed) -> None:
        for table, _, __, after in transaction.writes:
            if table == "outbox" and after is not None:
                self.events.append(after.event)
            elif table == "runs" and after is not None and after.status in TERMINAL_RUN_STATUSES:
                self._feed.news.set()
        self._changed.set()

    async def _keep_time(self) -> None:
        """End runs whose time is up, at that very moment."""
        store, worker = self.parts.store, self.worker
        if worker is None:
            return
        upkeep = Upkeep(store, worker.executor.dispatch)
        while True:
            self._changed.clear()
            due = await upkeep.next_due()
            left = (due - self.now()).total_seconds() if due is not None else NEVER.total_seconds()
            if left > 0:
                await within(self._changed, left)
                continue
            for run_id in await upkeep.expire():
                for seat in worker.executor.live.of_run(run_id):
                    seat.tell(Stop.LEASE_LOST)
            await asyncio.sleep(1e-6)


class _Feed:
    """News of ended runs, of which none is lost: who waits need not look for himself now and then."""

    def __init__(self) -> None:
        self.news = Bell()  #: some run has ended

    async def ended(self, run_ids: Collection[RunId]) -> None:
        """Seen at the commit already."""

    async def wait(self, run_ids: Collection[RunId], wait: timedelta) -> None:  # noqa: ARG002
        """Wait until some run has ended."""
        await self.news.wait()
        self.news.clear()


def _settings() -> WorkerSettings:
    timing = Timing(lease=NEVER * 2, heartbeat=NEVER, reap=NEVER, collect=NEVER, safety_poll=NEVER)
    return WorkerSettings(timing=timing, relay_poll=NEVER)


def _parts(world: World, tables: MemoryStore, feed: _Feed, limits: Limits) -> Parts:
    ids = SeededIds(world.time)
    return Parts(
        store=MemoryPersistence(world.time, ids, store=tables),
        transport=MemoryJobTransport(),
        feed=feed,
        blobs=MemoryBlobStore(),
        codec=MsgspecCodec(limits),
        clock=world.time,
        ids=ids,
        limits=limits,
        threads=SimThreads,
    )


def in_virtual_time(
    scenario: Callable[[SimulatedEngine], Awaitable[T]], /, *workflows: Workflow[Any, Any], limits: Limits | None = None
) -> T:
    """Run a scenario against an engine with a real worker, on virtual time; its value.

    A plain function: it needs no event loop, and works within one. The same scenario goes the same way each time, as
    long as its bodies ask neither ``datetime.now`` nor ``uuid4``.

    Raises:
        StuckError: the scenario waits for something that never comes, or that is more than ten years away.
        SimulationError: a body, or the scenario, reached out of the simulated world: for a thread, a socket, a process.
    """
    __tracebackhide__ = True  # pytest shows the test and what it met, not this

    async def play() -> T:
        async with engine:
            return await scenario(engine)

    world = World(0, Plan(), pace=0.0)
    engine = SimulatedEngine(world, *workflows, limits=limits)
    with kept_apart(many=False):
        random.seed(0)
        task = world.loop.create_task(play(), name="scenario")
        task.add_done_callback(lambda _: world.loop.stop())
        try:
            with watched(world.loop) as escapes:
                world.loop.run(LONGEST.total_seconds())
                done = task.done()
                if not done:  # it is unwound in order, or its engine would be left open
                    task.cancel()
                    world.loop.run((LONGEST + NEVER).total_seconds())
            if escapes.first is not None:
                raise escapes.first
            if not done:
                raise StuckError("the scenario waits for something that time does not bring: a signal, another process")
            value: T = task.result()
            return value
        finally:
            world.loop.close()
