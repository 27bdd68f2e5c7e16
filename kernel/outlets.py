"""Outlets: the sinks of one process, each with what its store needs to know of it and how often it is tried."""

from collections.abc import Mapping
from datetime import timedelta

import attrs

from mainspring.kernel.retry import Retry
from mainspring.ports.event_sink import EventSink
from mainspring.ports.names import SinkName
from mainspring.ports.persistence import OutboxStore
from mainspring.ports.sinks import Sink

PUBLISHING = Retry(max_attempts=10, initial=timedelta(seconds=1), maximum=timedelta(minutes=5))
"""Ten tries, over four minutes on average and eight and a half at most; then the event becomes a dead letter."""


@attrs.frozen
class Outlet:
    """A sink, and how it is to be served."""

    sink: EventSink
    types: tuple[str, ...] = attrs.field(default=(), kw_only=True)  #: as of ``ports.sinks.Sink``: none is all; no other
    #: is published, whatever the store writes for processes that want more
    retry: Retry = attrs.field(default=PUBLISHING, kw_only=True)


async def register(store: OutboxStore, outlets: Mapping[SinkName, Outlet]) -> None:
    """Have the store write events for these, too. What it knows already is not written again.

    A sink's types only grow by it: a process of an older release that is started again must not take from a newer one
    what that wants. Fewer are written after ``mainspring events remove-sink``.

    Raises:
        SettingsError: a name or a type is none.
    """
    known = {sink.name: sink for sink in await store.sinks()} if outlets else {}
    for name, outlet in outlets.items():
        sink = Sink(name=name, types=outlet.types)
        there = known.get(name)
        if there is not None:
            every = () in (there.types, sink.types)
            sink = Sink(name=name, types=() if every else tuple(dict.fromkeys((*there.types, *sink.types))))
        if sink != there:
            await store.add_sink(sink)
