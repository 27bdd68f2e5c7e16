"""EventSink: where committed events go."""

from collections.abc import Sequence
from typing import Protocol

from mainspring.ports.records import Event


class EventSink(Protocol):
    """Takes events at least once; first publications of a run come in their order."""

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        """Publish, and answer for each event, in order: None if the sink confirmed it, else why not.

        An event that was not confirmed may have arrived all the same; it is published again. After an event that was
        not confirmed, the call publishes no later event of the same run (so their order holds), and says so for each.
        """
        ...
