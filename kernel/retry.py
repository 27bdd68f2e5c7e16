"""When a failed try is made again: a pure policy, part of a stage's definition.

Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): the delay is drawn evenly from zero to
the exponential bound, so that many failures at once do not come back at once.
"""

from datetime import timedelta
from typing import Any, cast

import attrs

from mainspring.ports.errors import DefinitionError

LONGEST = timedelta(days=36_500)
"""The longest duration a policy may name: beyond it, moments cannot be reckoned with."""


class NonRetryable(Exception):  # noqa: N818  users raise it as a word, not as a kind of error
    """Raised by a body: this failure will not get better; do not try again."""


@attrs.frozen(kw_only=True)
class Retry:
    """How often, and how far apart, a stage is tried.

    The delay before attempt ``n + 1`` is drawn from ``[(1 - jitter) * bound, bound]`` with ``bound = min(initial *
    factor ** (n - 1), maximum)``.
    """

    max_attempts: int = 3  #: tries in all, at least 1
    initial: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    maximum: timedelta = timedelta(minutes=1)
    jitter: float = 1.0  #: 0: the bound itself; 1: full jitter
    non_retryable: tuple[type[BaseException], ...] = ()  #: exceptions that end the retries, beside ``NonRetryable``

    def __attrs_post_init__(self) -> None:
        """Refuse a policy that cannot be followed."""
        attempts: Any = self.max_attempts  # of whatever type, where no checker looked
        initial: Any = self.initial
        for good, field, expected in (
            (isinstance(attempts, int) and 1 <= attempts <= 1_000_000, "max_attempts", "an int from 1 to 1,000,000"),
            (_is_between(initial, timedelta(0), LONGEST), "initial", "a timedelta, not negative, at most 100 years"),
            (_is_between(self.factor, 1, 1000), "factor", "between 1 and 1000"),
            (_is_between(self.maximum, initial, LONGEST), "maximum", "from `initial` to 100 years"),
            (_is_between(self.jitter, 0, 1), "jitter", "between 0 and 1"),
            (_are_exceptions(self.non_retryable), "non_retryable", "a tuple of exception classes"),
        ):
            if not good:
                msg = f"Retry({field}={getattr(self, field)!r}): must be {expected}"
                raise DefinitionError(msg)

    def delay(self, attempt: int, random: float) -> timedelta:
        """How long to wait after the failure of this attempt (1, 2, 3 …); ``random`` is in [0, 1)."""
        bound = self._bound(attempt)
        return bound * (1.0 - self.jitter * random)

    def _bound(self, attempt: int) -> timedelta:
        try:
            seconds = self.initial.total_seconds() * self.factor ** (attempt - 1)
        except OverflowError:
            seconds = float("inf") if self.initial else 0.0
        return self.maximum if seconds >= self.maximum.total_seconds() else timedelta(seconds=seconds)

    def refuses(self, error: BaseException) -> bool:
        """Whether this exception ends the retries at once; a group does if any of its members does."""
        if isinstance(error, (NonRetryable, *self.non_retryable)):
            return True
        if not isinstance(error, BaseExceptionGroup):
            return False
        members = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return any(map(self.refuses, members))


def _is_between(value: Any, least: Any, most: Any) -> bool:
    try:
        return bool(least <= value <= most)
    except TypeError:
        return False


def _are_exceptions(kinds: Any) -> bool:
    if not isinstance(kinds, tuple):
        return False
    members: tuple[Any, ...] = kinds  # pyright: ignore[reportUnknownVariableType]
    return all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in members)


NO_RETRY = Retry(max_attempts=1)
"""One try."""
