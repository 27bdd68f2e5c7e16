"""The state machine can fail: it finds each of these kernels, which forget one guard, one wake-up or one write.

A mutation is made where it shows: in the Change, on its way to the store.
"""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from mainspring.adapters.memory.store import MemoryStore
from mainspring.kernel import advance, ending
from mainspring.ports.change import Change, Unpark
from mainspring.ports.errors import PortError
from mainspring.ports.names import StageId
from mainspring.ports.records import RunState, StageStatus
from tests.property.kernel_machine import KernelMachine
from tests.property.kernel_walk import walk

WALKS = 600


def finish_without_lease(store: MemoryStore, change: Change) -> Change:
    leases = {job.key: job.lease_id for job in store.jobs.rows()}
    loose = [(guard, leases.get(guard.key)) for guard in change.leases]
    return attrs.evolve(
        change, leases=tuple(attrs.evolve(guard, lease_id=held) for guard, held in loose if held is not None)
    )


def suspend_without_wake_count(store: MemoryStore, change: Change) -> Change:
    return attrs.evolve(change, leases=tuple(attrs.evolve(guard, wakes=None) for guard in change.leases))


def retry_without_wake_count(store: MemoryStore, change: Change) -> Change:
    return suspend_without_wake_count(store, change) if change.attempts else change


def cancel_without_token(store: MemoryStore, change: Change) -> Change:
    tokens = {job.key: job.token for job in store.jobs.rows()}
    loose = (attrs.evolve(guard, token=tokens.get(guard.key, guard.token)) for guard in change.unleased)
    return attrs.evolve(change, unleased=tuple(loose))


def cancel_without_looking_for_leases(store: MemoryStore, change: Change) -> Change:
    return attrs.evolve(change, unleased=())


def reap_without_expired(store: MemoryStore, change: Change) -> Change:
    return attrs.evolve(change, leases=tuple(attrs.evolve(guard, expired=False) for guard in change.leases))


def fold_without_revision(store: MemoryStore, change: Change) -> Change:
    run = None if change.run is None else store.runs.get(change.run.run_id)
    if change.run is None or run is None or not change.leases:
        return change
    return attrs.evolve(change, run=attrs.evolve(change.run, revision=run.revision))


def cancel_without_revision(store: MemoryStore, change: Change) -> Change:
    run = None if change.run is None else store.runs.get(change.run.run_id)
    if change.run is None or run is None or change.leases:
        return change
    return attrs.evolve(change, run=attrs.evolve(change.run, revision=run.revision))


def signal_without_revision(store: MemoryStore, change: Change) -> Change:
    return attrs.evolve(change, run_guard=None)


def signal_without_wake(store: MemoryStore, change: Change) -> Change:
    return attrs.evolve(change, wakes=()) if change.signals else change


def failure_that_spares_siblings(store: MemoryStore, change: Change) -> Change:
    return attrs.evolve(change, end_jobs=None)


def end_without_event(store: MemoryStore, change: Change) -> Change:
    return attrs.evolve(change, events=tuple(event for event in change.events if event.type != "run.cancelled"))


def stage_ended_as_completed(store: MemoryStore, change: Change) -> Change:
    ended = (attrs.evolve(record, status=StageStatus.COMPLETED) for record in change.stages)
    return attrs.evolve(change, stages=tuple(ended))


def parked_left_behind(store: MemoryStore, change: Change) -> Change:
    return attrs.evolve(change, unpark=())


def opened_beyond_the_bound(store: MemoryStore, change: Change) -> Change:
    return attrs.evolve(change, unpark=tuple(attrs.evolve(unpark, count=2) for unpark in change.unpark))


@pytest.mark.parametrize(
    "mutation",
    [
        finish_without_lease,
        suspend_without_wake_count,
        retry_without_wake_count,
        cancel_without_token,
        cancel_without_looking_for_leases,
        reap_without_expired,
        fold_without_revision,
        cancel_without_revision,
        signal_without_revision,
        signal_without_wake,
        failure_that_spares_siblings,
        end_without_event,
        stage_ended_as_completed,
        parked_left_behind,
        opened_beyond_the_bound,
    ],
    ids=lambda mutation: mutation.__name__,
)
def test_the_machine_finds(mutation: Callable[[MemoryStore, Change], Change]) -> None:
    class Mutant(KernelMachine):
        pass

    Mutant.mutation = staticmethod(mutation)
    with pytest.raises((AssertionError, PortError)):
        walks(Mutant)


def test_the_machine_finds_a_join_that_is_opened_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_all(self: Any, at: StageId, elements: Any) -> None:
        for below in self._plan.downstream[at]:
            follower = self._plan.stages[below]
            if all(map(self._is_complete, follower.after)):
                self.open(follower, elements)

    monkeypatch.setattr(advance._Walk, "open_after", open_all)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(AssertionError, match="refused for ever"):
        walks(KernelMachine)


def test_the_machine_finds_a_cancel_that_frees_no_parked_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    def free_nothing(state: RunState, *_: object) -> tuple[RunState, tuple[Unpark, ...]]:
        return state, ()

    monkeypatch.setattr(ending, "free_next", free_nothing)
    with pytest.raises(AssertionError, match="nobody will free"):
        walks(KernelMachine)


def walks(machine: type[KernelMachine]) -> None:
    for seed in range(WALKS):
        walk(machine(), seed)
