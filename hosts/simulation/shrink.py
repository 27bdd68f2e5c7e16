"""Shrinking: the few faults of a failing world that are needed to make it fail.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002): leave out halves,
quarters … single faults, as long as the world still fails; then give what is left the gentlest of its durations.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

import attrs

from mainspring.hosts.simulation.faults import SECONDS, Fault

FEW = 3
"""One more than the faults that are tried in pairs."""

MOST_PAIRED = 14
"""Faults beyond which trying every pair costs more than it is worth."""

Fails = Callable[[tuple[Fault, ...]], bool]
"""Whether the world fails under exactly these faults."""


def shrink(fails: Fails, faults: Sequence[Fault], *, most: int = 400) -> tuple[Fault, ...]:
    """The smallest failing plan found within ``most`` worlds; ``faults`` itself if nothing smaller fails."""
    budget = _Budget(fails, most)
    found = _one_or_two(budget, tuple(faults)) or _fewer(budget, tuple(faults))
    if len(found) > FEW:
        found = _one_or_two(budget, found) or found
    return _gentler(budget, found)


@attrs.define
class _Budget:
    _fails: Fails
    left: int

    def fails(self, faults: tuple[Fault, ...]) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return self._fails(faults)


def _one_or_two(budget: _Budget, faults: tuple[Fault, ...]) -> tuple[Fault, ...] | None:
    """One fault, or two of them, that do alone; None where there are too many to try, or none will do.

    Leaving out one fault at a time can get stuck where the others have grown around it.
    """
    if not FEW < len(faults) <= MOST_PAIRED:
        return None
    for size in range(FEW):
        for chosen in combinations(faults, size):
            if budget.fails(chosen):
                return chosen
    return None


def _fewer(budget: _Budget, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    if budget.fails(()):
        return ()
    size = max(1, len(faults) // 2)
    while faults:
        for start in range(0, len(faults), size):
            rest = faults[:start] + faults[start + size :]
            if len(rest) < len(faults) and budget.fails(rest):
                faults = rest
                size = max(1, min(size, len(faults) // 2))
                break
        else:
            if size == 1:
                break
            size = max(1, size // 2)
        if budget.left <= 0:
            break
    return faults


def _gentler(budget: _Budget, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    for place, fault in enumerate(faults):
        for seconds in sorted(SECONDS[fault.kind], key=abs):
            if abs(seconds) >= abs(fault.seconds):
                break
            gentler = (*faults[:place], attrs.evolve(fault, seconds=seconds), *faults[place + 1 :])
            if budget.fails(gentler):
                faults = gentler
                break
    return faults
