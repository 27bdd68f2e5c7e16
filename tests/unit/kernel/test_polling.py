"""Polled stages: what a body and its check say by Pending, and what becomes of the job."""

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from mainspring.kernel.commands.attempt_finish import decide
from mainspring.kernel.commands.attempt_start import StartAttempt, StartState
from mainspring.kernel.commands.attempt_start import decide as start
from mainspring.kernel.commands.lease_reap import ReapLease, ReapState
from mainspring.kernel.commands.lease_reap import decide as reap
from mainspring.kernel.outcomes import Cancelled, Completed, Failed, Finish, NotReady, Outcome
from mainspring.kernel.pending import Pending
from mainspring.ports.change import JobMove
from mainspring.ports.errors import InvalidValueError
from mainspring.ports.names import Payload
from mainspring.ports.records import Job, Polling, RunStatus, StageStatus
from tests.kernel_records import (
    BOOM,
    FACTS,
    LEASE,
    LINE,
    NOW,
    ONE,
    SECOND,
    finish,
    first_state,
    leased,
    pending_run,
    run,
    types,
)

MINUTE = timedelta(minutes=1)
BEGAN = NOW - 10 * MINUTE
WAITS = Polling(state=Payload('"b1"'), every=5 * SECOND, since=BEGAN, until=NOW + MINUTE, checks=3)
AGAIN = NotReady(state=Payload('"b2"'))


def decided(outcome: Outcome, row: Job, **fields: Any) -> Finish:
    return decide(finish(ONE, row, outcome), first_state(ONE, run(**fields)), row, FACTS)


def moved(outcome: Outcome, row: Job) -> JobMove:
    (move,) = decided(outcome, row).change.job_moves
    return move


def test_a_body_that_is_not_ready_frees_its_worker_until_the_first_check() -> None:
    row = leased(attempt=2, input=Payload("7"))
    finished = decided(NotReady(state=Payload("1"), every=5 * SECOND, until=MINUTE), row)
    (move,) = finished.change.job_moves
    assert (move.available_at, move.attempt, move.keep_lease, move.input) == (NOW + 5 * SECOND, 0, False, "7")
    expected = Polling(state=Payload("1"), every=5 * SECOND, since=NOW - SECOND, until=NOW - SECOND + MINUTE)
    assert move.polling == expected
    assert types(finished.change) == ["stage.started", "stage.suspended"]
    assert (finished.result.suspended, finished.result.later, finished.result.will_retry) == (
        True,
        move.available_at,
        False,
    )


def test_a_minute_passes_between_checks_where_nothing_is_said() -> None:
    move = moved(NotReady(state=Payload("1")), leased())
    assert move.available_at == NOW + MINUTE
    assert move.polling is not None
    assert move.polling.until is None


def test_a_check_that_finds_it_not_ready_is_counted_and_what_it_leaves_out_stays() -> None:
    move = moved(AGAIN, leased(polling=WAITS))
    assert move.polling == attrs.evolve(WAITS, state=Payload('"b2"'), checks=4)
    assert move.available_at == NOW + 5 * SECOND


def test_a_check_may_say_anew_how_often_and_until_when() -> None:
    said = NotReady(state=Payload("1"), every=MINUTE, until=NOW + 2 * MINUTE)
    move = moved(said, leased(polling=WAITS))
    assert (move.available_at, move.polling and move.polling.until) == (NOW + MINUTE, NOW + 2 * MINUTE)


def test_a_length_said_again_by_every_check_counts_from_the_beginning_of_the_stage() -> None:
    move = moved(attrs.evolve(AGAIN, until=20 * MINUTE), leased(polling=WAITS))
    assert move.polling is not None
    assert move.polling.until == BEGAN + 20 * MINUTE


def test_the_last_check_is_at_the_very_end() -> None:
    move = moved(AGAIN, leased(polling=attrs.evolve(WAITS, until=NOW + SECOND)))
    assert move.available_at == NOW + SECOND


def test_a_stage_that_is_not_ready_by_then_fails_as_timed_out() -> None:
    finished = decided(AGAIN, leased(polling=attrs.evolve(WAITS, until=NOW)))
    (row,) = finished.change.stages
    assert (row.status, row.failure and row.failure.code) == (StageStatus.FAILED, "timed_out")
    assert finished.result.run_status is RunStatus.FAILED
    assert types(finished.change) == ["stage.failed", "run.failed"]


def test_checks_are_told_of_once() -> None:
    assert types(decided(AGAIN, leased(polling=WAITS)).change) == []
    row = leased(polling=WAITS)
    assert start(StartAttempt(job=row), StartState(run(), row), FACTS).change is None
    assert types(decided(Completed(output=Payload("1")), row).change) == ["stage.completed", "run.completed"]


def test_a_failed_check_is_made_again_with_the_state_it_had() -> None:
    row = leased(polling=WAITS)
    finished = decided(Failed(failure=BOOM), row)
    (move,) = finished.change.job_moves
    assert (move.polling, move.attempt, finished.result.will_retry) == (WAITS, 1, True)
    assert [attempt.attempt for attempt in finished.change.attempts] == [1]


def test_the_check_that_fails_for_the_last_time_fails_the_stage() -> None:
    finished = decided(Failed(failure=BOOM), leased(polling=WAITS, attempt=3))
    assert finished.result.run_status is RunStatus.FAILED


def test_a_check_whose_worker_died_is_made_again_with_the_state_it_had() -> None:
    row = leased(polling=WAITS, lease_until=NOW - SECOND)
    change = reap(ReapLease(key=row.key, lease_id=LEASE), ReapState(first_state(ONE, run()), row), FACTS).change
    assert change is not None
    assert [move.polling for move in change.job_moves] == [WAITS]


def test_a_wake_up_during_a_check_makes_the_next_one_due_at_once() -> None:
    seen = leased(polling=WAITS, wakes=1)
    newest = attrs.evolve(seen, wakes=2)
    change = decide(finish(ONE, seen, AGAIN), first_state(ONE, run()), newest, FACTS).change
    assert change.job_moves[0].available_at == NOW
    assert change.leases[0].wakes == 2


def test_a_run_that_is_being_cancelled_waits_for_no_check() -> None:
    for outcome in (AGAIN, Cancelled()):
        finished = decided(outcome, leased(polling=WAITS), status=RunStatus.CANCELLING)
        assert [row.status for row in finished.change.stages] == [StageStatus.CANCELLED]
        assert finished.result.run_status is RunStatus.CANCELLED


def test_a_stage_that_waited_began_with_its_body_and_hands_no_state_over() -> None:
    row = leased(LINE, polling=WAITS)
    finished = decide(finish(LINE, row, Completed(output=Payload("1"))), first_state(LINE, run()), row, FACTS)
    assert finished.change.stages[0].started_at == BEGAN
    assert finished.change.job_moves[0].polling is None
    assert finished.result.job is not None
    assert finished.result.job.polling is None


def test_the_first_stage_of_a_run_begins_it_though_it_is_not_ready() -> None:
    row = leased()
    finished = decide(finish(ONE, row, AGAIN), first_state(ONE, pending_run()), row, FACTS)
    assert finished.change.run is not None
    assert finished.change.run.status is RunStatus.RUNNING
    assert types(finished.change) == ["run.started", "stage.started", "stage.suspended"]


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"every": timedelta(0)}, "$.every"),
        ({"every": 5}, "$.every"),
        ({"until": timedelta(days=-1)}, "$.until"),
        ({"until": datetime(2026, 1, 1)}, "$.until"),  # noqa: DTZ001  that is what is wrong with it
        ({"until": "soon"}, "$.until"),
    ],
)
def test_a_pending_that_cannot_be_followed_is_refused(wrong: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        Pending(1, **wrong)
    assert [problem.path for problem in refused.value.problems] == [path]
