"""Clock and Ids: time and fresh names, injected so that tests and the simulator own them."""

from datetime import datetime
from typing import Protocol

from mainspring.ports.names import LeaseId, RunId


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> datetime:
        """The time now, aware, UTC."""
        ...


class Ids(Protocol):
    """Sources of fresh ids."""

    def new_run_id(self) -> RunId:
        """A UUIDv7: later ones sort after earlier ones of this process."""
        ...

    def new_lease_id(self) -> LeaseId:
        """A UUIDv4: random, never the same twice, not even after a restored backup."""
        ...

    def random(self) -> float:
        """A random number in [0, 1)."""
        ...
