"""Pending: what a body returns whose work goes on elsewhere.

Imported by the face, ``kernel.declare`` and hosts. Nothing is held while a stage is pending: its job waits for the
moment of its next check, like any other.
"""

from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import attrs

from mainspring.kernel.retry import LONGEST
from mainspring.ports.errors import InvalidValueError, Problem

S_co = TypeVar("S_co", covariant=True)


@attrs.frozen
class Pending(Generic[S_co]):
    """Not ready yet: call the stage's check with this state, again and again, until it returns an output.

    Raises:
        InvalidValueError: ``every`` or ``until`` cannot be followed.
    """

    state: S_co  #: what the check needs to know; a value like any output
    #: between two checks; None: as before, at first a minute. A signal to the run makes the next check due at once.
    every: timedelta | None = attrs.field(default=None, kw_only=True)
    #: the stage fails as ``timed_out`` if it is not ready by then; a timedelta counts from the beginning of the attempt
    #: that first returned ``Pending``. None: as before, at first never.
    until: datetime | timedelta | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be followed."""
        every: Any = self.every  # of whatever type, where no checker looked
        until: Any = self.until
        problems: list[Problem] = []
        if every is not None and not _is_span(every):
            problems.append(Problem("$.every", f"must be a timedelta, positive, at most 100 years; found {every!r}"))
        if isinstance(until, datetime) and until.tzinfo is None:
            problems.append(Problem("$.until", "must have a time zone; found a naive datetime"))
        elif until is not None and not isinstance(until, datetime) and not _is_span(until):
            told = "an aware datetime, or a timedelta, positive, at most 100 years"
            problems.append(Problem("$.until", f"must be {told}; found {until!r}"))
        if problems:
            raise InvalidValueError("Pending", tuple(problems))


def _is_span(value: Any) -> bool:
    return isinstance(value, timedelta) and timedelta(0) < value <= LONGEST
