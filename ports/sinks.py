"""Sinks by name: what a store knows of where its events go, what waits for each, and what each did not take.

A sink has its own copy of every event, so its own order, back-off and dead letters: a slow one holds up no other. A
store that knows of no sink writes no events.
"""

import re
from datetime import datetime

import attrs

from mainspring.ports.errors import SettingsError
from mainspring.ports.names import RunId, SinkName
from mainspring.ports.records import Event

DEFAULT_SINK = SinkName("default")
"""The name of a process' one sink, where none is said."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TYPE = re.compile(r"[a-z]+\.(\*|[a-z_]+)")


@attrs.frozen(kw_only=True)
class Sink:
    """A sink that the store writes events for.

    Raises:
        SettingsError: the name or a type is none.
    """

    name: SinkName = DEFAULT_SINK
    types: tuple[str, ...] = ()  #: which events it gets: exact types, or ``run.*``; none: all

    def __attrs_post_init__(self) -> None:
        """Refuse what no store could keep."""
        if _NAME.fullmatch(self.name) is None:
            msg = f"a sink's name is 1 to 100 letters, digits, dots, dashes and underscores, not {self.name!r}"
            raise SettingsError(msg)
        for one in self.types:
            if _TYPE.fullmatch(one) is None:
                raise SettingsError(f"a type of events looks like 'run.completed' or 'run.*', not {one!r}")

    def wants(self, event_type: str) -> bool:
        """Whether it gets events of this type."""
        family = event_type.partition(".")[0] + ".*"
        return not self.types or event_type in self.types or family in self.types


@attrs.frozen(kw_only=True)
class WaitingEvent:
    """An event that waits to be published to a sink."""

    sink: SinkName
    event: Event
    until: datetime | None = None  #: not before then: it was refused


@attrs.frozen(kw_only=True)
class DeadLetter:
    """An event that was given up on, for one sink."""

    sink: SinkName
    event: Event
    error: str  #: why the last try failed
    died_at: datetime


@attrs.frozen(kw_only=True, slots=False)
class EventFilter:
    """Which waiting events or dead letters are meant; every field that is set must hold."""

    sink: SinkName | None = None
    run_id: RunId | None = None
    seq: int | None = None  #: of the run's event
    types: tuple[str, ...] = ()  #: as of ``Sink``
    since: datetime | None = None  #: given up on at or after; of waiting events: happened at or after
    before: datetime | None = None  #: likewise, before

    def holds(self, sink: SinkName, event: Event, at: datetime) -> bool:
        """Whether this one is meant; ``at``: when it was given up on, or happened."""
        return (
            self.sink in {None, sink}
            and self.run_id in {None, event.run_id}
            and self.seq in {None, event.seq}
            and Sink(types=self.types).wants(event.type)
            and (self.since is None or at >= self.since)
            and (self.before is None or at < self.before)
        )


EVERY_EVENT = EventFilter()
"""Leaves nothing out."""
