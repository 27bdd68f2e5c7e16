"""lease.reap: a job taken away from its dead worker."""

import pytest

from mainspring.kernel.advance import with_tally
from mainspring.kernel.commands.lease_reap import BACK_OFF, LeaseReaped, ReapLease, ReapState, decide
from mainspring.kernel.decision import Decision
from mainspring.ports.records import Job, RunState, RunStatus, StageStatus
from tests.kernel_records import (
    DIAMOND,
    FACTS,
    LEASE,
    MAP,
    NOW,
    ONE,
    OTHER_LEASE,
    SECOND,
    A,
    B,
    first_state,
    job,
    leased,
    pending_run,
    run,
    types,
)

LOST = leased(lease_until=NOW - SECOND)
LAST = leased(lease_until=NOW - SECOND, attempt=3)
CANCELLING = run(status=RunStatus.CANCELLING, cancel_reason="enough")


def reaped(state: RunState, row: Job | None) -> Decision[LeaseReaped]:
    return decide(ReapLease(key=LOST.key, lease_id=LEASE), ReapState(state, row), FACTS)


@pytest.mark.promise(11)
@pytest.mark.fault(2)
@pytest.mark.fault(28)
def test_a_reaped_job_waits_for_another_worker_and_its_attempt_stays_counted() -> None:
    decision = reaped(first_state(ONE), LOST)
    assert decision.change is not None
    (move,) = decision.change.job_moves
    due = NOW + BACK_OFF.delay(1, 0.0)
    assert (move.available_at, move.not_before, move.attempt, move.keep_lease) == (due, due, 1, False)
    assert decision.change.attempts[0].failure is not None
    assert decision.change.attempts[0].failure.code == "worker_lost"
    assert types(decision.change) == ["stage.retrying"]
    assert decision.result == LeaseReaped(key=LOST.key, reaped=True, due=due)


@pytest.mark.fault(75)
def test_past_its_last_attempt_the_stage_fails_and_the_run_with_it() -> None:
    decision = reaped(first_state(ONE), LAST)
    change = decision.change
    assert change is not None
    assert change.run is not None
    assert change.run.status is RunStatus.FAILED
    assert change.run.failure is not None
    assert (change.run.failure.code, change.run.failure.stage) == ("worker_lost", A)
    assert change.end_jobs is not None
    assert types(change) == ["stage.failed", "run.failed"]
    assert decision.result.ended


def test_a_run_that_nothing_ever_told_of_has_begun_when_it_fails() -> None:
    change = reaped(first_state(ONE, pending_run()), LAST).change
    assert change is not None
    assert change.run is not None
    assert (change.run.status, change.run.started_at) == (RunStatus.FAILED, NOW - SECOND)
    assert types(change) == ["run.started", "stage.failed", "run.failed"]


@pytest.mark.fault(30)
@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("state", "row"),
    [
        (first_state(ONE), None),
        (first_state(ONE), job()),
        (first_state(ONE), leased(lease_id=OTHER_LEASE, lease_until=NOW - SECOND)),
        (first_state(ONE), leased()),
        (first_state(ONE), leased(lease_until=NOW)),
        (first_state(ONE, run(status=RunStatus.COMPLETED)), LOST),
    ],
    ids=["gone", "given back", "taken over", "extended", "just over", "run finished"],
)
def test_what_is_not_lost_any_more_is_left_alone(state: RunState, row: Job | None) -> None:
    decision = reaped(state, row)
    assert (decision.change, decision.result) == (None, LeaseReaped(key=LOST.key))


def test_in_a_run_that_is_being_cancelled_the_stage_ends_and_the_run_if_it_was_the_last() -> None:
    change = reaped(first_state(ONE, CANCELLING), LOST).change
    assert change is not None
    assert change.run is not None
    assert change.run.status is RunStatus.CANCELLED
    assert [row.status for row in change.stages] == [StageStatus.CANCELLED]
    assert types(change) == ["stage.cancelled", "run.cancelled"]
    held = reaped(with_tally(first_state(DIAMOND, CANCELLING), B, active=1), LOST).change
    assert held is not None
    assert held.run is not None
    assert held.run.status is None


def test_a_reaped_instance_of_a_map_that_is_being_cancelled_frees_the_next() -> None:
    state = with_tally(first_state(MAP, CANCELLING), A, parked=1)
    change = reaped(state, LOST).change
    assert change is not None
    assert [unpark.count for unpark in change.unpark] == [1]
    assert change.run is not None
    assert change.run.status is None
