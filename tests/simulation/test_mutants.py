"""The proof of the proof: whatever protection is taken away, the simulator notices, and shows it by a fault or two."""

import gc

import attrs
import pytest

from mainspring.hosts.simulation.timeline import report
from tests.simulation.campaign import undisturbed
from tests.simulation.case import Case, chaos_of, drawn_case
from tests.simulation.finding import shrunk
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.sweep import sweep

FEW = 3
"""Faults that a reader can follow."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_simulator_notices(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    with undisturbed():
        smallest = by_one_fault(mutant, monkeypatch) or by_chance(mutant, monkeypatch)
        assert smallest is not None, f"{mutant.name} broke nothing in {mutant.seeds} worlds"
        broken = smallest.run(traced=True)
        monkeypatch.undo()
        assert broken.violations
        assert len(smallest.faults) <= FEW, report(broken)
        assert not smallest.run().violations, "the same world breaks without the mutant, too"


def by_one_fault(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> Case | None:
    """A world with one fault at most, from the sweep."""
    if not mutant.swept:
        return None
    worlds = list(sweep(mutant.store, seeds=1))
    mutant.apply(monkeypatch)
    for number, case in enumerate(worlds):
        if number % 40 == 0:
            gc.collect()
        if case.run().violations:
            return case
    return None


def by_chance(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> Case | None:
    """The first worlds of the ordinary campaign that fail, shrunk until one is small."""
    if not mutant.swept:
        mutant.apply(monkeypatch)
    best: Case | None = None
    for seed in range(mutant.first, mutant.first + mutant.seeds):
        if seed % 20 == 0:
            gc.collect()
        case = drawn_case(seed, mutant.store)
        outcome = case.run(chaos_of(seed))
        if outcome.violations:
            small = shrunk(attrs.evolve(case, faults=outcome.faults), most=200)
            if best is None or len(small.faults) < len(best.faults):
                best = small
            if len(best.faults) <= FEW:
                return best
    return best
