"""What the simulator found that no invariant tells: hosts that do too much."""

from typing import Any

import pytest

from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.hosts.simulation.faults import Plan
from mainspring.ports.records import RunStatus
from mainspring.simulation import make_trial
from tests.simulation.campaign import undisturbed
from tests.simulation.workload import LIMITS, REGISTRY, Order, Work, Workload, place


def test_workers_do_not_hammer_a_store_whose_due_rows_are_locked_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = 0

    async def passes_over(self: MemoryPersistence, *_: Any, **__: Any) -> list[Any]:
        nonlocal claims
        claims += 1
        await self._point("claim:before")  # pyright: ignore[reportPrivateUsage]
        return []

    monkeypatch.setattr(MemoryPersistence, "claim", passes_over)
    trial = make_trial(1, REGISTRY, Plan(), limits=LIMITS)
    place(trial, Workload((Order("line", Work(naps=[0.0] * 3, fails=[0] * 3)),)))
    with undisturbed():
        outcome = trial.run(chaos=0.0, patience=60.0)
    assert "still pending" in outcome.violations[0]
    assert 600 < claims < 1500, "of two workers in a minute: about ten a second each"


@pytest.mark.promise(1)
@pytest.mark.fault(45)
def test_a_body_that_no_invocation_is_long_enough_for_uses_its_attempts_up() -> None:
    trial = make_trial(1, REGISTRY, Plan(), limits=LIMITS)
    order = Order("line", Work(naps=[35.0, 0.0, 0.0], fails=[0] * 3))
    place(trial, Workload((order,), hosts=("function", "function")))
    with undisturbed():
        outcome = trial.run()
    assert outcome.violations == ()
    (run,) = trial.audit.runs.values()
    assert run.failure is not None
    assert (run.status, run.failure.code) == (RunStatus.FAILED, "timed_out")
    assert "whole invocation" in run.failure.message
