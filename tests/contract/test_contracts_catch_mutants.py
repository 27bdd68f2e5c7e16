"""Each rule of the persistence suite is shown to fail when broken: the memory adapter without it fails named tests.

A mutant is a name, what to break, and the tests of the suite that must then fail, whatever else does.
"""

import pytest

from mainspring.adapters.memory import guards
from tests.contract.commit_mutants import COMMIT_MUTANTS
from tests.contract.mutants import MemorySuite, fails
from tests.contract.store_mutants import STORE_MUTANTS
from tests.contract.sweep_mutants import SWEEP_MUTANTS

PERSISTENCE_MUTANTS = COMMIT_MUTANTS | STORE_MUTANTS | SWEEP_MUTANTS


@pytest.mark.promise(13)
@pytest.mark.parametrize("name", PERSISTENCE_MUTANTS)
def test_the_persistence_suite_catches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it, tests = PERSISTENCE_MUTANTS[name]
    named = tests.split()
    assert not [test for test in named if fails(MemorySuite, test)], "a test that always fails proves nothing"
    break_it(monkeypatch)
    assert [test for test in named if not fails(MemorySuite, test)] == []


def test_every_guard_and_gate_has_its_mutant() -> None:
    names = {"no exclusive revision", "no shared revision", "no lease", "no wake count", "reaps alive", "no unleased"}
    names |= {"no token", "no relay lease", "no run id", "no run key", "no signal id", "no answer", "no stage row"}
    names |= {"no dead letter"}
    assert len(names) == len(guards.GUARDS) + len(guards.GATES)
    assert names <= set(PERSISTENCE_MUTANTS)
