"""Scheduler: asks the environment for a tick at about a moment. Losing it costs latency, never work."""

from datetime import datetime
from typing import Protocol


class Scheduler(Protocol):
    """At most one wake-up is asked for at a time; the newest ask replaces the one before."""

    async def wake_at(self, moment: datetime) -> None:
        """Ask for a tick at about that moment; asking twice for the same is harmless."""
        ...

    async def cancel(self) -> None:
        """Take the ask back, if there is one."""
        ...
