"""The store's clock of a simulated world: the only wall clock that Mainspring goes by, and it may jump."""

from datetime import UTC, datetime, timedelta

from mainspring.hosts.simulation.loop import SimLoop

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class StoreTime:
    """The store's clock: the world's time, and what its server's clock jumped by."""

    def __init__(self, loop: SimLoop) -> None:
        self.skew = 0.0  #: seconds
        self.newest = BEGINNING  #: the latest moment it ever told: it may jump back between a decision and its commit
        self._loop = loop
        self._asked: tuple[float, float] = (-1.0, 0.0)  #: what it told last belongs to this moment and skew
        self._told = BEGINNING

    def now(self) -> datetime:
        """The store's moment."""
        moment = self._loop.now, self.skew
        if moment != self._asked:
            self._asked = moment
            now = self._told = BEGINNING + timedelta(seconds=moment[0] + moment[1])
            self.newest = max(self.newest, now)
        return self._told
