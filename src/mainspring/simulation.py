"""The composition root of simulated worlds: which adapters a world stands on.

``mainspring.testing.simulate`` is what users call; campaigns of our own build their worlds here too.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from random import Random
from typing import Literal

import attrs

from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.memory.ids import SeededIds
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.memory.row_locks import RowLocks
from mainspring.adapters.memory.server import ServerPersistence
from mainspring.adapters.memory.store import MemoryStore
from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.hosts.execution.parts import Parts, Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.execution.store_clock import StoreClock
from mainspring.hosts.simulation.audit import Audit
from mainspring.hosts.simulation.faults import Faults
from mainspring.hosts.simulation.lives import Life
from mainspring.hosts.simulation.messages import Manners, SimEventSink, SimJobTransport, SimRunFeed
from mainspring.hosts.simulation.threads import SimThreads
from mainspring.hosts.simulation.trial import Trial
from mainspring.hosts.simulation.world import World
from mainspring.kernel.outlets import Outlet
from mainspring.ports.clock import Ids
from mainspring.ports.codec import Limits
from mainspring.ports.names import SinkName
from mainspring.ports.persistence import Persistence
from mainspring.ports.sinks import DEFAULT_SINK, Sink

TIMING = Timing(
    lease=timedelta(seconds=12),
    heartbeat=timedelta(seconds=4),
    safety_poll=timedelta(seconds=8),
    collect=timedelta(seconds=20),
)
"""A lease that is short beside the pauses between polls: worlds that recover soon spend less of themselves waiting."""

Store = Literal["memory", "server", "sqlite"]
"""What keeps a world's state. ``memory`` makes every effect at one moment; ``server`` is used as a database server is:
transactions take time, overlap, lock rows and may be cut off half-way; ``sqlite`` is the real adapter on a database in
memory.
"""

_POINTS = {
    "read:before": "run:before",
    "read:after": "run:after",
    "write:before": "commit:before",
    "write:after": "commit:after",
}
"""What the SQLite adapter's points are called elsewhere."""


@attrs.frozen(kw_only=True)
class _Backing:
    """A world's state."""

    client: Callable[[Life, Ids], Persistence]  #: a process' view of it
    died: Callable[[Life], None] = lambda _: None  #: a process is gone, and its connection with it
    close: Callable[[], None] = lambda: None


def make_trial(
    seed: int,
    registry: WorkflowRegistry,
    faults: Faults,
    *,
    store: Store = "memory",
    manners: Manners | None = None,
    timing: Timing = TIMING,
    pace: float = 0.004,
    traced: bool = False,
    limits: Limits | None = None,
    further: Sequence[SinkName] = (),
) -> Trial:
    """A trial: a world, its stores and its books, without hosts yet. ``further``: sinks beside the default one."""
    world = World(seed, faults, pace=pace, traced=traced)
    plans = {served.plan.fingerprint: served.plan for served in registry.all()}
    audit = Audit(world, plans)
    backing = _BACKINGS[store](world, audit, [DEFAULT_SINK, *further])
    world.on_death = backing.died
    limit = limits or Limits()
    codec = _codec(limit)
    blobs = MemoryBlobStore(point=world.point, watch=audit.blob_changed)
    treatment = manners or Manners()
    transport = SimJobTransport(world, treatment)
    sink = SimEventSink(world, treatment, audit.taken)
    others = {name: Outlet(SimEventSink(world, treatment, audit.taken, name)) for name in further}
    feed = SimRunFeed(world)

    def parts(life: Life) -> Parts:
        ids = SeededIds(world.time, hash_free(f"{seed}/{life.name}"))
        client = backing.client(life, ids)
        clock = StoreClock(client, world.loop.time)
        return Parts(
            store=client,
            transport=transport,
            feed=feed,
            blobs=blobs,
            codec=codec,
            clock=clock,
            ids=ids,
            limits=limit,
            sink=sink,
            sinks=others,
            threads=SimThreads,
            refresh_clock=clock.refresh,
        )

    return Trial(world, audit, registry, parts, timing, close=backing.close)


def _memory(world: World, audit: Audit, sinks: Sequence[SinkName]) -> _Backing:
    tables = _watched(world, audit, sinks)
    return _Backing(client=lambda _, ids: MemoryPersistence(world.time, ids, store=tables, point=world.point))


def _server(world: World, audit: Audit, sinks: Sequence[SinkName]) -> _Backing:
    tables, locks = _watched(world, audit, sinks), RowLocks()
    clients: dict[Life, ServerPersistence] = {}

    def client(life: Life, ids: Ids) -> Persistence:
        clients[life] = ServerPersistence(world.time, ids, locks=locks, store=tables, point=world.point)
        return clients[life]

    def died(life: Life) -> None:
        if life in clients:
            clients.pop(life).disconnect()

    return _Backing(client=client, died=died)


def _sqlite(world: World, audit: Audit, sinks: Sequence[SinkName]) -> _Backing:
    from mainspring.adapters.sql.sqlite_inline import SharedDatabase, sqlite_template

    audit.tells_all = False
    database = SharedDatabase(world.time, sqlite_template(sinks=tuple(sinks)), audit.committed)

    def point(name: str) -> Awaitable[None]:
        return world.point(_POINTS[name])

    return _Backing(client=lambda _, ids: database.client(ids, point), close=database.close)


_BACKINGS: Mapping[Store, Callable[[World, Audit, Sequence[SinkName]], _Backing]] = {
    "memory": _memory,
    "server": _server,
    "sqlite": _sqlite,
}


def _watched(world: World, audit: Audit, sinks: Sequence[SinkName]) -> MemoryStore:
    tables = MemoryStore(world.time)
    for name in sinks:
        tables.add_sink(Sink(name=name))
    tables.watch = audit.committed
    return tables


@cache
def _codec(limits: Limits) -> MsgspecCodec:
    """One for all worlds: to learn a type costs more than a world's use of it."""
    return MsgspecCodec(limits)


def hash_free(text: str) -> int:
    """A number from a text, the same in every process."""
    return Random(text).getrandbits(32)  # noqa: S311
