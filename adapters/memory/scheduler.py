"""A scheduler that only remembers what it was asked for: the host or the test asks back."""

from datetime import datetime

from mainspring.adapters.memory.points import Point, straight_on


class MemoryScheduler:
    """Holds the newest ask in ``asked``; whoever drives the ticks looks there. ``point`` as in ``points``."""

    def __init__(self, *, point: Point = straight_on) -> None:
        self.asked: datetime | None = None
        self._point = point

    async def wake_at(self, moment: datetime) -> None:
        await self._point("wake_at:before")
        self.asked = moment
        await self._point("wake_at:after")

    async def cancel(self) -> None:
        await self._point("cancel:before")
        self.asked = None
        await self._point("cancel:after")

    def take_due(self, now: datetime) -> bool:
        """Whether the moment asked for has come; it is then forgotten, as an environment's timer fires once."""
        if self.asked is None or self.asked > now:
            return False
        self.asked = None
        return True
