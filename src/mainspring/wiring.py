"""The composition root: a URL chooses the adapters. The only module of the face that names them, beside ``testing``."""

from datetime import datetime
from time import monotonic

import attrs

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.adapters.system import SystemClock, SystemIds
from mainspring.choosing import open_blobs, open_scheduler, open_sinks, open_transport
from mainspring.hosts.execution.observers import together
from mainspring.hosts.execution.parts import Closing, Parts
from mainspring.hosts.execution.store_clock import StoreClock
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.clock import Clock
from mainspring.ports.codec import Limits
from mainspring.ports.errors import SettingsError
from mainspring.ports.event_sink import EventSink
from mainspring.ports.observer import Exposition, Observer

KNOWN = "sqlite:///file.db (relative), sqlite:////file.db (absolute), postgresql://user@host/database, memory://"


def open_parts(
    url: str,
    *,
    blobs: str | None = None,
    transport: str | None = None,
    scheduler: str | None = None,
    migrate: bool = True,
    limits: Limits | None = None,
    sink: EventSink | None = None,
    sinks: str | None = None,
) -> Parts:
    """Open the store that a URL names, with the adapters that go with it. Blocks for some milliseconds.

    ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://user@host/database?schema=mainspring`` or
    ``memory://`` (gone with the process). An embedded store brings its schema up to date by itself, if ``migrate``; a
    server's is only checked.

    ``blobs``: a directory, or ``s3://bucket/prefix``; else where the store keeps large payloads by itself.
    ``transport``: ``sqs://queue`` or ``amqp://user:password@host/vhost?queue=…`` carries the jobs' pointers instead of
    the store; it is not connected to yet. ``scheduler``: ``scheduler://…``, asked for ticks by functions. ``sinks``:
    where committed events go, ``name=url`` each: ``jsonl:///path``, ``sqs://…``, ``eventbridge://…``, ``amqp://…``.

    Raises:
        SettingsError: the URL names no store Mainspring knows, or no place where one can be.
        SchemaError: the store's schema is missing, older or newer than this code.
        PortError: the store cannot be opened.
    """
    # The store comes last, for it alone has threads from the start: a wrong URL beside it leaves nothing behind.
    clock = _StoresClock()
    carries = open_transport(transport) if transport else None
    asked = open_scheduler(scheduler, clock) if scheduler else None
    outlets = open_sinks(sinks) if sinks else None
    parts = _store(url, open_blobs(blobs) if blobs else None, limits or Limits(), sink, migrate=migrate)
    clock.inner = parts.clock
    if carries is not None:
        # who waits for results goes on hearing of them from the store
        parts = attrs.evolve(parts, transport=carries, others=(parts.transport,))
    if asked is not None:
        parts = attrs.evolve(parts, scheduler=asked)
    if outlets is not None:
        parts = attrs.evolve(parts, sinks=outlets)
    beside: tuple[object, ...] = (parts.blobs, parts.scheduler, *(outlet.sink for outlet in parts.outlets.values()))
    closing = tuple(part for part in beside if isinstance(part, Closing))
    return attrs.evolve(parts, others=(*closing, *parts.others))


class _StoresClock:
    """The store's clock, for who is made before the store."""

    inner: Clock

    def now(self) -> datetime:
        """The store's time."""
        return self.inner.now()


def _store(url: str, blobs: BlobStore | None, limits: Limits, sink: EventSink | None, *, migrate: bool) -> Parts:
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "memory":
        return _memory(limits, sink)
    if separator and scheme == "sqlite":
        return _sqlite(url, blobs, limits, sink, migrate=migrate)
    if separator and scheme in {"postgresql", "postgres"}:
        return _postgres(url, blobs, limits, sink)
    found = f"begins with {scheme!r}" if separator else "has no scheme"
    msg = f"no store is known for a URL that {found}; known: {KNOWN}"
    raise SettingsError(msg)


def open_exposition() -> Exposition:
    """What keeps a worker's figures for Prometheus.

    Raises:
        SettingsError: prometheus-client is not installed.
    """
    try:
        from mainspring.adapters.prometheus.metrics import PrometheusMetrics
    except ImportError as error:
        raise SettingsError("metrics need prometheus-client; run: pip install 'mainspring[metrics]'") from error
    return PrometheusMetrics()


def observed(parts: Parts, *, tracing: bool = False, exposition: Exposition | None = None) -> Parts:
    """The parts, watched by what is asked for, beside what watches them already.

    Raises:
        SettingsError: tracing is asked for, and opentelemetry-api is not installed.
    """
    if not tracing and exposition is None:
        return parts
    return attrs.evolve(parts, observer=together(parts.observer, exposition, _tracing() if tracing else None))


def _tracing() -> Observer:
    try:
        from mainspring.adapters.opentelemetry.tracing import OpenTelemetryTracing
    except ImportError as error:
        raise SettingsError("tracing needs opentelemetry-api; run: pip install 'mainspring[tracing]'") from error
    return OpenTelemetryTracing()


def _memory(limits: Limits, sink: EventSink | None) -> Parts:
    from mainspring.adapters.memory.blob_store import MemoryBlobStore
    from mainspring.adapters.memory.job_transport import MemoryJobTransport
    from mainspring.adapters.memory.persistence import MemoryPersistence
    from mainspring.adapters.memory.run_feed import MemoryRunFeed

    clock, ids = SystemClock(), SystemIds()
    return Parts(
        store=MemoryPersistence(clock, ids),
        transport=MemoryJobTransport(),
        feed=MemoryRunFeed(),
        blobs=MemoryBlobStore(),
        codec=MsgspecCodec(limits),
        clock=clock,
        ids=ids,
        limits=limits,
        sink=sink,
    )


def _sqlite(url: str, blobs: BlobStore | None, limits: Limits, sink: EventSink | None, *, migrate: bool) -> Parts:
    from mainspring.adapters.filesystem import FilesystemBlobStore
    from mainspring.adapters.sql.sqlite import open_sqlite
    from mainspring.adapters.sql.sqlite_location import locate

    clock, ids = SystemClock(), SystemIds()
    path = locate(url).path
    store, transport = open_sqlite(url, clock=clock, ids=ids, migrate=migrate)
    return Parts(
        store=store,
        transport=transport,
        feed=transport,
        blobs=blobs or FilesystemBlobStore(path.with_name(path.name + "-blobs")),
        codec=MsgspecCodec(limits),
        clock=clock,
        ids=ids,
        limits=limits,
        sink=sink,
    )


_NO_BLOBS = "set blobs= (or MAINSPRING_BLOBS) to a directory that all processes share, or to s3://bucket"


def _postgres(url: str, blobs: BlobStore | None, limits: Limits, sink: EventSink | None) -> Parts:
    from mainspring.adapters.filesystem import AbsentBlobStore

    try:
        from mainspring.adapters.sql.postgres import open_postgres
    except ImportError as error:
        raise SettingsError("PostgreSQL needs psycopg; run: pip install 'mainspring[postgres]'") from error
    store, transport = open_postgres(url)
    clock = StoreClock(store, monotonic)
    return Parts(
        store=store,
        transport=transport,
        feed=transport,
        blobs=blobs or AbsentBlobStore(_NO_BLOBS),
        codec=MsgspecCodec(limits),
        clock=clock,
        ids=SystemIds(),
        limits=limits,
        sink=sink,
        refresh_clock=clock.refresh,
    )
