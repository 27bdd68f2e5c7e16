"""attempt.start: the start told apart."""

import pytest

from mainspring.kernel.commands.attempt_start import StartAttempt, StartState, decide
from mainspring.ports.change import Change
from mainspring.ports.errors import LeaseLostError
from mainspring.ports.records import Job, Run, RunStatus
from tests.kernel_records import FACTS, NOW, OTHER_LEASE, SECOND, job, leased, pending_run, run, types


def started(over: Run | None, row: Job | None) -> Change:
    change = decide(StartAttempt(job=leased()), StartState(over, row), FACTS).change
    assert change is not None
    return change


def test_the_first_attempt_takes_the_run_from_pending_to_running() -> None:
    change = started(pending_run(), leased())
    assert change.run is not None
    assert (change.run.status, change.run.started_at) == (RunStatus.RUNNING, NOW - SECOND)
    assert types(change) == ["run.started", "stage.started"]


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.CANCELLING])
def test_a_later_attempt_only_tells_of_itself(status: RunStatus) -> None:
    change = started(run(status=status), leased())
    assert change.run is None
    assert types(change) == ["stage.started"]


@pytest.mark.fault(17)
@pytest.mark.parametrize(
    ("over", "row"),
    [(run(), None), (None, leased()), (run(), job()), (run(), leased(lease_id=OTHER_LEASE))],
    ids=["job gone", "run gone", "given back", "taken over"],
)
def test_an_attempt_whose_lease_is_gone_did_not_start(over: Run | None, row: Job | None) -> None:
    with pytest.raises(LeaseLostError, match="is gone"):
        started(over, row)
