"""Parts: the adapters that the composition root chose, and what all hosts keep to. Handed to each host."""

from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

import attrs

from mainspring.hosts.execution.threads import BodyThreads, Threads
from mainspring.kernel.outlets import Outlet
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.clock import Clock, Ids
from mainspring.ports.codec import Codec, Limits
from mainspring.ports.errors import PortError
from mainspring.ports.event_sink import EventSink
from mainspring.ports.job_transport import JobTransport, RunFeed
from mainspring.ports.names import SinkName
from mainspring.ports.observer import Observer
from mainspring.ports.persistence import Persistence
from mainspring.ports.scheduler import Scheduler
from mainspring.ports.sinks import DEFAULT_SINK


@attrs.frozen(kw_only=True)
class Timing:
    """Durations of executing, in one place. The defaults are those the documentation tells."""

    lease: timedelta = timedelta(seconds=30)
    heartbeat: timedelta = timedelta(seconds=10)
    reap: timedelta = timedelta(seconds=5)
    collect: timedelta = timedelta(hours=1)  #: between two looks for blobs that nothing names; zero: never
    retention: timedelta = timedelta(0)  #: runs that ended so long ago are deleted; zero: never
    answer_retention: timedelta | None = None  #: likewise remembered answers; None: as runs
    sweep: timedelta = timedelta(minutes=1)  #: between two looks for what is old enough
    safety_poll: timedelta = timedelta(seconds=5)
    attempt_maximum: timedelta = timedelta(hours=1)
    start_told_after: timedelta = timedelta(seconds=1)  #: an attempt's start is committed alone when nothing else was
    progress_every: timedelta = timedelta(milliseconds=250)
    cancel_grace: timedelta = timedelta(seconds=5)  #: for a body that was told to end
    shutdown_grace: timedelta = timedelta(seconds=30)


async def needs_no_refresh() -> None:
    """The clock is the one the store itself goes by: there is nothing to ask."""


@runtime_checkable
class Closing(Protocol):
    """What holds resources until it is closed."""

    async def close(self) -> None:
        """Let go of every resource."""
        ...


@attrs.frozen(kw_only=True)
class Parts:
    """Everything a host needs of the world."""

    store: Persistence
    transport: JobTransport
    feed: RunFeed
    blobs: BlobStore
    codec: Codec
    clock: Clock
    ids: Ids
    limits: Limits = attrs.field(factory=Limits)
    sink: EventSink | None = None  #: the one that goes by the default name
    sinks: Mapping[SinkName, Outlet] = attrs.field(factory=dict[SinkName, Outlet])  #: further ones, by name
    scheduler: Scheduler | None = None
    observer: Observer | None = None  #: watches what hosts do; None: nobody
    threads: Callable[[], Threads] = BodyThreads  #: makes what calls plain function bodies, once per executor
    refresh_clock: Callable[[], Coroutine[Any, Any, None]] = needs_no_refresh  #: before the first command, then often
    others: tuple[Closing, ...] = ()  #: what else is to be closed with them: adapters that are in use beside the store

    async def close(self) -> None:
        """Let go of everything, the store last; what cannot be closed does not keep the rest open.

        Raises:
            PortError: the first that one of them raised.
        """
        first: PortError | None = None
        for part in (self.transport, *self.others, self.store):
            try:
                await part.close()
            except PortError as error:
                first = first or error
        if first is not None:
            raise first

    @property
    def outlets(self) -> dict[SinkName, Outlet]:
        """All sinks of this process, by name."""
        return {**({} if self.sink is None else {DEFAULT_SINK: Outlet(self.sink)}), **self.sinks}
