"""Memory parts on a manual clock, for tests of hosts."""

from typing import Any

import attrs

from mainspring import Workflow
from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.memory.clock import ManualClock
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.adapters.memory.job_transport import MemoryJobTransport
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.memory.points import Point, straight_on
from mainspring.adapters.memory.run_feed import MemoryRunFeed
from mainspring.adapters.memory.scheduler import MemoryScheduler
from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.adapters.system import SystemClock, SystemIds
from mainspring.client import Client
from mainspring.handles import RunHandle
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.clock import Clock
from mainspring.requests import StartOptions


@attrs.frozen
class Bench:
    """Parts, and a client of its own beside the host under test."""

    parts: Parts
    registry: WorkflowRegistry
    client: Client
    store: MemoryPersistence

    async def start(self, workflow: Workflow[Any, Any], value: Any, **options: Any) -> RunHandle[Any]:
        """Start a run; nothing executes it but the host under test."""
        return await self.client.start(workflow, value, StartOptions(**options))


def bench(*workflows: Workflow[Any, Any], clock: Clock | None = None, point: Point = straight_on) -> Bench:
    """A bench on memory adapters; ``point`` is met by the host's store, not by the client's."""
    real: Clock = clock or SystemClock()
    ids = SystemIds()
    store = MemoryPersistence(real, ids)
    parts = Parts(
        store=store.another(point),
        transport=MemoryJobTransport(),
        feed=MemoryRunFeed(),
        blobs=MemoryBlobStore(),
        codec=MsgspecCodec(),
        clock=real,
        ids=ids,
        sink=MemoryEventSink(),
        scheduler=MemoryScheduler(),
    )
    registry = WorkflowRegistry(workflows, parts.codec)
    own = attrs.evolve(parts, store=store)
    return Bench(parts, registry, Client(own, registry, Dispatcher(store, real, ids)), store)


__all__ = ["Bench", "ManualClock", "bench"]
