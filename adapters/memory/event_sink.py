"""A sink that keeps what it was given, and refuses what it is told to."""

from collections.abc import Callable, Sequence

from mainspring.adapters.memory.points import Point, straight_on
from mainspring.ports.names import RunId
from mainspring.ports.records import Event

Refusal = Callable[[Event], str | None]
"""Why the sink does not take the event, or None if it does."""


def _takes_all(event: Event) -> None:
    """Refuse nothing."""


class MemoryEventSink:
    """Records every publication in ``published``, repeats included.

    Args:
        refuses: asked for each event; may be replaced at any time.
        point: as in ``points``; what it raises at ``publish:after`` is a confirmation that was lost.
    """

    def __init__(self, *, refuses: Refusal = _takes_all, point: Point = straight_on) -> None:
        self.published: list[Event] = []
        self.refuses = refuses
        self._point = point

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        await self._point("publish:before")
        held_up: dict[RunId, str] = {}
        answers: list[str | None] = []
        for event in events:
            answer = held_up.get(event.run_id) or self.refuses(event)
            if answer is None:
                self.published.append(event)
            else:
                held_up.setdefault(event.run_id, f"event {event.id} of its run was not taken: {answer}")
            answers.append(answer)
        await self._point("publish:after")
        return answers
