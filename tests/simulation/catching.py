"""Catching a mutant: the smallest world in which it shows, by the sweep where one fault is enough, else by chance."""

import gc

import attrs
import pytest

from tests.simulation.case import Case, chaos_of, drawn_case
from tests.simulation.finding import Meter, shrunk
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.sweep import sweep

FEW = 3
"""Faults that a reader can follow."""


@attrs.frozen
class Caught:
    """How a mutant showed."""

    case: Case
    worlds: int  #: until the first that failed


def catch(mutant: Mutant, patch: pytest.MonkeyPatch) -> Caught | None:
    """Apply the mutant, and find the world; it stays applied."""
    if mutant.swept:
        worlds = list(sweep(mutant.store, seeds=1))
        mutant.apply(patch)
        return _by_one_fault(mutant, worlds)
    mutant.apply(patch)
    return _by_chance(mutant)


def figures() -> dict[str, dict[str, int]]:
    """Catch all of them, for the record.

    Raises:
        LookupError: one was not caught.
    """
    found: dict[str, dict[str, int]] = {}
    for mutant in MUTANTS:
        with pytest.MonkeyPatch.context() as patch:
            caught = catch(mutant, patch)
        if caught is None:
            raise LookupError(f"{mutant.name} was not caught")
        found[mutant.name] = {"seeds": caught.worlds, "faults": len(caught.case.faults)}
    return found


class _Same(Meter):
    """Shrinks to worlds that break for the same reason."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__()
        self._mutant = mutant

    def fails(self, case: Case) -> bool:
        """Whether the mutant shows in the case."""
        self.worlds += 1
        return self._mutant.seen_in(case.run().violations)


def _by_one_fault(mutant: Mutant, worlds: list[Case]) -> Caught | None:
    for number, case in enumerate(worlds, 1):
        if number % 40 == 0:
            gc.collect()
        if mutant.seen_in(case.run().violations):
            return Caught(case, number)
    return None


def _by_chance(mutant: Mutant) -> Caught | None:
    """The first worlds of the ordinary campaign that fail, shrunk until one is small."""
    best: Case | None = None
    first = 0
    for number, seed in enumerate(range(mutant.first, mutant.first + mutant.seeds), 1):
        if number % 20 == 0:
            gc.collect()
        case = drawn_case(seed, mutant.store)
        outcome = case.run(chaos_of(seed))
        if not mutant.seen_in(outcome.violations):
            continue
        first = first or number
        small = shrunk(attrs.evolve(case, faults=outcome.faults), most=200, meter=_Same(mutant))
        if best is None or len(small.faults) < len(best.faults):
            best = small
        if len(best.faults) <= FEW:
            break
    return None if best is None else Caught(best, first)
