"""The proof of the proof: whatever protection is taken away, the simulator notices, and shows it by a fault or two."""

import pytest

from mainspring.hosts.simulation.timeline import report
from tests.simulation.campaign import undisturbed
from tests.simulation.catching import FEW, catch
from tests.simulation.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_simulator_notices(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    with undisturbed():
        caught = catch(mutant, monkeypatch)
        assert caught is not None, f"{mutant.name} broke nothing"
        broken = caught.case.run(traced=True)
        monkeypatch.undo()
        assert mutant.seen_in(broken.violations), report(broken)
        assert len(caught.case.faults) <= FEW, report(broken)
        assert not caught.case.run().violations, "the same world breaks without the mutant, too"
