"""job.release: a job given back unharmed."""

import pytest

from mainspring.kernel.commands.job_release import ReleaseJob, decide
from tests.kernel_records import FACTS, NOW, job, leased


@pytest.mark.fault(104)
@pytest.mark.parametrize(("attempt", "afterwards"), [(1, 0), (3, 2), (0, 0)])
def test_a_released_job_is_due_at_once_with_its_attempt_refunded(attempt: int, afterwards: int) -> None:
    row = leased(attempt=attempt)
    decision = decide(ReleaseJob(job=row), row, FACTS)
    assert decision.change is not None
    (move,) = decision.change.job_moves
    assert (move.attempt, move.available_at, move.not_before, move.keep_lease) == (afterwards, NOW, None, False)
    assert decision.result.released
    assert (decision.change.attempts, decision.change.events) == ((), ())


def test_a_job_whose_lease_is_gone_is_left_alone() -> None:
    decision = decide(ReleaseJob(job=leased()), None, FACTS)
    assert (decision.change, decision.result.released) == (None, False)
    assert decide(ReleaseJob(job=job()), job(), FACTS).change is None
