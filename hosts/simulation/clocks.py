"""Clocks of a simulated world: the store's, and each host's own, which may be wrong."""

from datetime import UTC, datetime, timedelta

from mainspring.hosts.simulation.lives import Host
from mainspring.hosts.simulation.loop import SimLoop

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class StoreTime:
    """The store's clock: the world's time, and what its server's clock jumped by."""

    def __init__(self, loop: SimLoop) -> None:
        self.skew = 0.0  #: seconds
        self.newest = BEGINNING  #: the latest moment it ever told: it may jump back between a decision and its commit
        self._loop = loop

    def now(self) -> datetime:
        """The store's moment."""
        now = BEGINNING + timedelta(seconds=self._loop.time() + self.skew)
        self.newest = max(self.newest, now)
        return now


class HostTime:
    """A host's own wall clock: never trusted with anything that matters."""

    def __init__(self, loop: SimLoop, host: Host) -> None:
        self._loop = loop
        self._host = host

    def now(self) -> datetime:
        """What this host believes."""
        return BEGINNING + timedelta(seconds=self._loop.time() + self._host.skew)
