"""EventSink: where committed events go."""

from collections.abc import Sequence
from typing import Final, Protocol

from mainspring.ports.records import Event


class Untried(str):
    """An answer that tells nothing of the event: its place cannot be reached just now. Not counted as a try."""

    __slots__ = ()


UNTRIED: Final = Untried("not tried")
"""The answer for an event that the sink did not come to, though nothing is wrong with it."""


class Hopeless(str):
    """An answer that will never be another: the event becomes a dead letter without further tries."""

    __slots__ = ()


class EventSink(Protocol):
    """Takes events at least once; first publications of a run come in their order."""

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        """Publish, and answer for each event, in order: None if the sink confirmed it, else why not.

        A sink that runs out of time answers ``UNTRIED`` for the rest; one that cannot be reached answers ``Untried``
        with the reason, or raises ``UnavailableError`` or ``SettingsError``: its events wait, however long it takes.

        An event that was not confirmed may have arrived all the same; it is published again. After an event that was
        not confirmed, the call publishes no later event of the same run (so their order holds), and says so for each.
        """
        ...
