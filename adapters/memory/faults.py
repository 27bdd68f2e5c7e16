"""Hooks for scheduling points: the faults that tests and simulations inject, ready-made and composable."""

from collections import Counter

from mainspring.adapters.memory.points import Point


class Fault:
    """Raises the error when the point is passed for the ``nth`` time, and never again.

    At ``commit:after``, ``UnknownOutcomeError`` is a Change that was written, yet reported as perhaps not; at
    ``commit:before``, one that was not. An error that is no ``Exception`` (``SystemExit``, or one of the test's own)
    is a process that dies there.
    """

    def __init__(self, point: str, error: BaseException, *, nth: int = 1) -> None:
        self._point = point
        self._error = error
        self._left = nth
        self.met = False  #: whether it was raised

    async def __call__(self, name: str) -> None:
        """Pass the point, or raise."""
        if name == self._point and not self.met:
            self._left -= 1
            if self._left == 0:
                self.met = True
                raise self._error


class Passed:
    """Counts how often each point was passed: what a test must cover to have crashed everywhere."""

    def __init__(self) -> None:
        self.points: Counter[str] = Counter()

    async def __call__(self, name: str) -> None:
        """Count the point."""
        self.points[name] += 1


def one_after_another(*hooks: Point) -> Point:
    """A hook that passes through all of these, in their order."""

    async def pass_all(name: str) -> None:
        for hook in hooks:
            await hook(name)

    return pass_all
