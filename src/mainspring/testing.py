"""Testing workflows: an engine in memory whose time is yours, and worlds in which everything goes wrong.

A retry in an hour, a start next week or a run's deadline costs no waiting: when nothing is due, the clock jumps to the
next moment at which something is. ``simulate`` runs a workflow in hundreds of worlds with crashes at every place.
Port contract suites for your own adapters are in ``mainspring.ports.contracts``.
"""

import asyncio
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from typing_extensions import Unpack

from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.memory.clock import ManualClock
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.adapters.memory.job_transport import MemoryJobTransport
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.memory.run_feed import MemoryRunFeed
from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.adapters.system import SystemIds
from mainspring.client import Client
from mainspring.explaining import SimulationFailedError
from mainspring.handles import RunHandle
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.serverless.host import ServerlessHost
from mainspring.hosts.simulation.access import effect, outside
from mainspring.hosts.simulation.loop import SimulationError
from mainspring.hosts.simulation.outside import Effect, Outside, StaleTokenError
from mainspring.kernel.definition import Workflow
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.codec import Limits
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Event, Run
from mainspring.ports.sinks import Sink
from mainspring.requests import Options, StartOptions
from mainspring.simulating import SimulationReport, simulate
from mainspring.virtual_time import SimulatedEngine, StuckError, in_virtual_time
from mainspring.worlds import SimulatedRun

I = TypeVar("I")  # noqa: E741  input, as in Stage[I, O]
O = TypeVar("O")  # noqa: E741

_TICK = timedelta(microseconds=1)


class TestEngine:
    """An engine on memory adapters and a manual clock, driven by the very handlers of the serverless host.

    Use it as an async context manager::

        async def test_greeting() -> None:
            async with TestEngine(hello) as engine:
                assert await engine.run(hello, "Ada") == "hello Ada"
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    def __init__(self, *workflows: Workflow[Any, Any], limits: Limits | None = None) -> None:
        self.clock = ManualClock()
        limit = limits or Limits()
        ids = SystemIds()
        self._sink = MemoryEventSink()
        self.parts = Parts(
            store=MemoryPersistence(self.clock, ids),
            transport=MemoryJobTransport(),
            feed=MemoryRunFeed(),
            blobs=MemoryBlobStore(),
            codec=MsgspecCodec(limit),
            clock=self.clock,
            ids=ids,
            limits=limit,
            sink=self._sink,
        )
        self._registry = WorkflowRegistry(workflows, self.parts.codec)
        self.client = Client(self.parts, self._registry, Dispatcher(self.parts.store, self.clock, ids))
        self.host = ServerlessHost(self.parts, self._registry)

    async def __aenter__(self) -> Self:
        """Begin."""
        await self.parts.store.add_sink(Sink())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything."""
        await self.client.results.close()
        self.host.close()
        await self.parts.store.close()

    async def start(self, workflow: Workflow[I, O], input: I, /, **options: Unpack[Options]) -> RunHandle[O]:
        """Start a run, as ``Mainspring.start`` does. ``settle``, ``advance`` or ``finish`` execute it."""
        return await self.client.start(workflow, input, StartOptions(**options))

    async def run(self, workflow: Workflow[I, O], input: I, /, **options: Unpack[Options]) -> O:
        """Start a run, carry it to its end, and give its output."""
        return await self.finish(await self.start(workflow, input, **options))

    async def settle(self) -> None:
        """Execute all that is due now, upkeep included, and publish every event."""
        while True:
            report = await self.host.process_available_jobs(1_000_000)
            upkeep = await self.host.run_maintenance_tick()
            if not report.claimed and not upkeep.reaped and not upkeep.expired:
                return

    async def advance(self, by: timedelta) -> None:
        """Let so much time pass, executing on the way what falls due."""
        until = self.clock.now() + by
        await self.settle()
        while (due := await self._next_due()) is not None and due <= until:
            self.clock.set(max(due, self.clock.now()) + _TICK)
            await self.settle()
        self.clock.set(max(until, self.clock.now()))
        await self.settle()

    async def finish(self, handle: RunHandle[O]) -> O:
        """Carry the run to its end, jumping over every wait; its output.

        Raises:
            RunFailedError, RunCancelledError: as the run ended.
            StuckError: it waits for something that time alone does not bring.
        """
        await self.ended(handle)
        return await handle.result()

    async def ended(self, handle: RunHandle[Any]) -> Run:
        """Carry the run to its end; its record, however it ended."""
        while True:
            await self.settle()
            run = await handle.describe()
            if run.status in TERMINAL_RUN_STATUSES:
                return run
            due = await self._next_due()
            if due is None:
                msg = f"run {run.id} is {run.status}, and nothing is due: it waits for a signal, or is not served here"
                raise StuckError(msg)
            self.clock.set(max(due, self.clock.now()) + _TICK)
            await asyncio.sleep(0)

    @property
    def events(self) -> list[Event]:
        """Every event published so far."""
        return self._sink.published

    async def _next_due(self) -> datetime | None:
        moments = [
            await self.parts.store.next_due(self._registry.routes()),
            await self.parts.store.next_upkeep(),
        ]
        return min((moment for moment in moments if moment is not None), default=None)


__all__ = [
    "Effect",
    "ManualClock",
    "Outside",
    "SimulatedEngine",
    "SimulatedRun",
    "SimulationError",
    "SimulationFailedError",
    "SimulationReport",
    "StaleTokenError",
    "StuckError",
    "TestEngine",
    "effect",
    "in_virtual_time",
    "outside",
    "simulate",
]
