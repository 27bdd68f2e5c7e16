"""The composition root: a URL chooses the adapters. The only module of the face that names them, beside ``testing``."""

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.adapters.system import SystemClock, SystemIds
from mainspring.hosts.execution.parts import Parts
from mainspring.ports.codec import Limits
from mainspring.ports.errors import SettingsError
from mainspring.ports.event_sink import EventSink

KNOWN = "sqlite:///file.db (relative), sqlite:////file.db (absolute), memory://"


def open_parts(
    url: str,
    *,
    blobs: str | None = None,
    migrate: bool = True,
    limits: Limits | None = None,
    sink: EventSink | None = None,
) -> Parts:
    """Open the store that a URL names, with the adapters that go with it. Blocks for some milliseconds.

    ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``memory://`` (gone with the process).

    Raises:
        SettingsError: the URL names no store Mainspring knows, or no place where one can be.
        SchemaError: the store's schema is missing, older or newer than this code.
        PortError: the store cannot be opened.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "memory":
        return _memory(limits or Limits(), sink)
    if separator and scheme == "sqlite":
        return _sqlite(url, blobs, limits or Limits(), sink, migrate=migrate)
    found = f"begins with {scheme!r}" if separator else "has no scheme"
    msg = f"no store is known for a URL that {found}; known: {KNOWN}"
    raise SettingsError(msg)


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


def _sqlite(url: str, blobs: str | None, limits: Limits, sink: EventSink | None, *, migrate: bool) -> Parts:
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
        blobs=FilesystemBlobStore(blobs or path.with_name(path.name + "-blobs")),
        codec=MsgspecCodec(limits),
        clock=clock,
        ids=ids,
        limits=limits,
        sink=sink,
    )
