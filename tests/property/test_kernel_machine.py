"""Nothing is lost, nothing happens twice, everything ends: whatever comes in between, and wherever a process dies."""

import sys
from collections import Counter
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from mainspring.kernel import transitions
from mainspring.kernel.transitions import JOB, RUN, STAGE, JobEvent, StageEvent, StageStanding
from mainspring.ports.records import JobPhase
from tests.property.kernel_machine import KINDS, KernelMachine
from tests.property.kernel_walk import walk

#: Edges of work that comes later: skipped stages, and jobs that only other code can go on with.
LATER = {
    (StageStanding.ACTIVE, StageEvent.SKIP),
    (JobPhase.READY, JobEvent.BLOCK),
    (JobPhase.BLOCKED, JobEvent.UNBLOCK),
}

#: Taken by the stores themselves, as the Change tells them to: seen in the rows.
BY_ROWS = {(JobPhase.PARKED, JobEvent.UNPARK)}


@pytest.mark.promise(1, 2, 4, 9)
@pytest.mark.fault(1)
@pytest.mark.fault(2)
@pytest.mark.fault(3)
@pytest.mark.fault(5)
@pytest.mark.fault(6)
@pytest.mark.fault(9)
@pytest.mark.fault(11)
@pytest.mark.fault(14)
@pytest.mark.fault(17)
@pytest.mark.fault(28)
@pytest.mark.fault(30)
@pytest.mark.fault(31)
@pytest.mark.fault(32)
@pytest.mark.fault(75)
@pytest.mark.fault(87)
@pytest.mark.fault(88)
@pytest.mark.fault(89)
@pytest.mark.fault(90)
@pytest.mark.fault(92)
@pytest.mark.fault(95)
def test_every_run_ends_once_whatever_comes_in_between() -> None:
    run_state_machine_as_test(KernelMachine, settings=settings(max_examples=150, stateful_step_count=50))


def test_every_edge_of_the_tables_is_taken_and_every_fault_met(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[tuple[StrEnum, StrEnum]] = set()
    struck: Counter[str] = Counter()
    unparked = 0
    step = transitions.step

    def recording(table: Any, status: Any, event: Any) -> Any:
        after = step(table, status, event)
        taken.add((status, event))
        return after

    for name, module in list(sys.modules.items()):
        if name.startswith("mainspring.kernel") and getattr(module, "step", None) is step:
            monkeypatch.setattr(module, "step", recording)
    for seed in range(700):
        machine = KernelMachine()
        walk(machine, seed)
        struck += machine.world.struck
        unparked += machine.world.unparked
    edges = {(status, event) for table in (RUN, STAGE, JOB) for status, after in table.items() for event in after}
    assert {f"{status} {event}" for status, event in edges - taken} == {
        f"{status} {event}" for status, event in LATER | BY_ROWS
    }
    assert unparked > 0
    assert set(struck) == set(KINDS)
