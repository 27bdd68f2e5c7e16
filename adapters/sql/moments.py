"""Moments as integers: microseconds since the epoch, UTC. Exact both ways, and cheap."""

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000
_SECOND = 1_000_000


def span(duration: timedelta) -> int:
    """A duration in microseconds."""
    return duration.days * _DAY + duration.seconds * _SECOND + duration.microseconds


@overload
def to_micros(moment: datetime) -> int: ...
@overload
def to_micros(moment: None) -> None: ...
@overload
def to_micros(moment: datetime | None) -> int | None: ...
def to_micros(moment: datetime | None) -> int | None:
    """The integer for an aware moment; None stays None.

    Raises:
        TypeError: the moment is naive.
    """
    if moment is None:
        return None
    passed = moment - _EPOCH
    return passed.days * _DAY + passed.seconds * _SECOND + passed.microseconds


def from_micros(micros: int) -> datetime:
    """The aware UTC moment of an integer."""
    return _EPOCH + timedelta(microseconds=micros)


def maybe_from_micros(micros: int | None) -> datetime | None:
    """The same for a column that may be null."""
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)
