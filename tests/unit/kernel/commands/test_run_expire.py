"""run.expire: a deadline ends the run whatever its stages are doing."""

import pytest

from mainspring.kernel.commands.run_expire import ExpireRun, RunExpired, decide
from mainspring.kernel.decision import Decision
from mainspring.ports.records import Run, RunStatus, StageStatus
from tests.kernel_records import FACTS, NOW, RUN_ID, SECOND, pending_run, run, types


def expired(over: Run) -> Decision[RunExpired]:
    return decide(ExpireRun(run_id=RUN_ID), over, FACTS)


@pytest.mark.parametrize("over", [pending_run(deadline=NOW), run(deadline=NOW)], ids=["pending", "running"])
def test_a_run_past_its_deadline_fails_as_timed_out_and_all_its_jobs_go(over: Run) -> None:
    decision = expired(over)
    change = decision.change
    assert change is not None
    assert change.run is not None
    assert change.run.status is RunStatus.FAILED
    assert change.run.failure is not None
    assert change.run.failure.code == "timed_out"
    assert change.end_jobs is not None
    assert change.end_jobs.status is StageStatus.CANCELLED
    assert types(change) == ["run.failed"]
    assert decision.result.expired


def test_a_run_that_is_being_cancelled_ends_as_cancelled() -> None:
    change = expired(run(status=RunStatus.CANCELLING, deadline=NOW, cancel_reason="enough")).change
    assert change is not None
    assert change.run is not None
    assert (change.run.status, change.run.failure) == (RunStatus.CANCELLED, None)
    assert types(change) == ["run.cancelled"]


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    "over",
    [
        run(),
        run(deadline=NOW + SECOND),
        run(deadline=NOW - SECOND, status=RunStatus.COMPLETED),
        run(deadline=NOW - SECOND, status=RunStatus.FAILED),
        run(deadline=NOW - SECOND, status=RunStatus.CANCELLED),
    ],
    ids=["no deadline", "in time", "completed", "failed", "cancelled"],
)
def test_any_other_run_is_left_alone(over: Run) -> None:
    decision = expired(over)
    assert (decision.change, decision.result.expired) == (None, False)
