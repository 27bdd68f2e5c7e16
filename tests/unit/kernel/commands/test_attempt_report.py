"""attempt.report: the body's latest word on its progress."""

import json
from math import inf, nan

import pytest

from mainspring.kernel.commands.attempt_report import ReportProgress, decide, load
from mainspring.kernel.decision import Repeat
from mainspring.ports.errors import InvalidValueError, LeaseLostError
from tests.kernel_records import FACTS, drive, job, leased, types


def test_progress_is_kept_on_the_job_and_told() -> None:
    change = decide(ReportProgress(job=leased(), done=1, total=4, message="page 1"), None, FACTS).change
    assert change is not None
    assert change.progress is not None
    assert json.loads(change.progress.data) == {"done": 1, "total": 4, "message": "page 1"}
    assert types(change) == ["stage.progress"]


def test_a_long_message_is_cut() -> None:
    change = decide(ReportProgress(job=leased(), done=1, message="x" * 1000), None, FACTS).change
    assert change is not None
    assert change.progress is not None
    assert len(json.loads(change.progress.data)["message"]) == 500


@pytest.mark.parametrize(("done", "total"), [(nan, None), (1.0, inf)])
def test_numbers_that_json_does_not_know_are_refused(done: float, total: float | None) -> None:
    with pytest.raises(InvalidValueError, match="finite"):
        decide(ReportProgress(job=leased(), done=done, total=total), None, FACTS)


@pytest.mark.fault(17)
def test_a_refusal_means_that_the_lease_is_gone() -> None:
    command = ReportProgress(job=leased(), done=1)
    with pytest.raises(LeaseLostError, match="is gone"):
        drive(load(command, None, FACTS, Repeat(stale=1)))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(LeaseLostError, match="without a lease"):
        decide(ReportProgress(job=job(), done=1), None, FACTS)
