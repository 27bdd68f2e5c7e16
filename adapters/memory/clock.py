"""A clock that stands still until it is told to move: time for tests and simulations."""

from datetime import UTC, datetime, timedelta

_NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """A clock that only its owner moves."""

    def __init__(self, start: datetime = _NEW_YEAR) -> None:
        self._now = start

    def now(self) -> datetime:
        """The moment it was last moved to."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move by so much; a negative duration is a clock that jumps back."""
        self._now += by

    def set(self, moment: datetime) -> None:
        """Move to that moment (aware)."""
        self._now = moment.astimezone(UTC)
