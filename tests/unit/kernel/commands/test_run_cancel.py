"""run.cancel: what each job is doing decides."""

import json

import pytest

from mainspring.kernel.commands.run_cancel import CancelRun, CancelState, RunCancelled, decide, recall
from mainspring.kernel.decision import Decision
from mainspring.ports.change import Wake
from mainspring.ports.errors import FinishedError
from mainspring.ports.records import Job, JobPhase, Run, RunStatus, StageStatus
from tests.kernel_records import (
    DIAMOND,
    FACTS,
    MAP,
    NOW,
    RUN_ID,
    A,
    B,
    C,
    job,
    leased,
    pending_run,
    run,
    types,
)

CANCELLING = run(status=RunStatus.CANCELLING, cancel_reason="enough")


def cancelled(over: Run, *jobs: Job, unread: bool = False) -> Decision[RunCancelled]:
    return decide(
        CancelRun(run_id=RUN_ID, reason="operator"), CancelState(over, None if unread else tuple(jobs)), FACTS
    )


@pytest.mark.parametrize("over", [pending_run(), run()])
def test_a_run_nobody_works_on_is_cancelled_at_once(over: Run) -> None:
    decision = cancelled(over, job(DIAMOND, B), job(MAP, C, phase=JobPhase.PARKED), job(available_at=None))
    change = decision.change
    assert change is not None
    assert change.run is not None
    assert (change.run.status, change.run.finished_at) == (RunStatus.CANCELLED, NOW)
    assert change.run.cancel_reason == "operator"
    assert [row.stage for row in change.stages] == [B, C, A]
    assert {row.status for row in change.stages} == {StageStatus.CANCELLED}
    assert len(change.job_deletes) == 3
    assert change.wakes == ()
    assert types(change) == ["stage.cancelled"] * 3 + ["run.cancelled"]
    assert decision.result.status is RunStatus.CANCELLED


@pytest.mark.fault(90)
def test_attempts_under_way_are_told_and_jobs_nobody_holds_end() -> None:
    decision = cancelled(run(), leased(DIAMOND, B), job(DIAMOND, C))
    change = decision.change
    assert change is not None
    assert change.run is not None
    assert (change.run.status, change.run.finished_at) == (RunStatus.CANCELLING, None)
    assert [key.stage for key in change.job_deletes] == [C]
    assert change.wakes == (Wake(run_id=RUN_ID, at=NOW, hurry=True),)
    assert types(change) == ["stage.cancelled", "run.cancelling"]


def test_when_jobs_are_claimed_faster_than_they_are_read_all_are_told() -> None:
    decision = cancelled(run(), unread=True)
    assert decision.change is not None
    assert (decision.change.unleased, decision.change.job_deletes) == ((), ())
    assert len(decision.change.wakes) == 1
    assert decision.result.status is RunStatus.CANCELLING


def test_a_second_cancel_changes_nothing_while_attempts_are_under_way() -> None:
    decision = cancelled(CANCELLING, leased())
    assert (decision.change, decision.result.status) == (None, RunStatus.CANCELLING)
    assert cancelled(CANCELLING, unread=True).change is None


def test_a_second_cancel_ends_what_was_given_back_since_the_first_and_keeps_its_reason() -> None:
    change = cancelled(CANCELLING, leased(), job(DIAMOND, B)).change
    assert change is not None
    assert change.run is not None
    assert (change.run.status, change.run.cancel_reason) == (RunStatus.CANCELLING, "enough")
    assert types(change) == ["stage.cancelled"]
    settled = cancelled(CANCELLING, job()).change
    assert settled is not None
    assert settled.run is not None
    assert settled.run.status is RunStatus.CANCELLED
    assert types(settled) == ["stage.cancelled", "run.cancelled"]


def test_a_cancelled_run_is_answered_as_such() -> None:
    decision = cancelled(run(status=RunStatus.CANCELLED))
    assert (decision.change, decision.result.status) == (None, RunStatus.CANCELLED)


@pytest.mark.fault(89)
@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED])
def test_a_finished_run_cannot_be_cancelled_and_says_how_it_ended(status: RunStatus) -> None:
    with pytest.raises(FinishedError, match=f"ended as {status}"):
        cancelled(run(status=status))


def test_a_remembered_answer_is_read_back() -> None:
    text = json.dumps({"run_id": RUN_ID, "status": "cancelling"})
    assert recall(text) == RunCancelled(run_id=RUN_ID, status=RunStatus.CANCELLING)
