"""attempt.finish: how an attempt ended, and what follows from it."""

from datetime import timedelta

import attrs
import pytest

from mainspring.kernel.advance import with_tally
from mainspring.kernel.commands.attempt_finish import decide
from mainspring.kernel.outcomes import Cancelled, Completed, Failed, Finish, Outcome, Suspended
from mainspring.kernel.plan import Plan
from mainspring.ports.change import Unpark
from mainspring.ports.names import Payload, StageId
from mainspring.ports.records import Job, JobKey, RunState, RunStatus, StageStatus, StageTally
from tests.kernel_records import (
    BOOM,
    DIAMOND,
    FACTS,
    LINE,
    MAP,
    NOW,
    ONE,
    RUN_ID,
    SECOND,
    A,
    B,
    C,
    D,
    finish,
    first_state,
    job,
    leased,
    pending_run,
    plan,
    run,
    stage,
    types,
)

DONE = Completed(output=Payload('"done"'))
CANCELLING = run(status=RunStatus.CANCELLING, cancel_reason="enough")


def decided(
    of: Plan, outcome: Outcome, state: RunState | None = None, row: Job | None = None, *, keep: bool = True
) -> Finish:
    row = row or leased(of)
    return decide(finish(of, row, outcome, keep=keep), state or first_state(of), row, FACTS)


def state_of(of: Plan, **tallies: StageTally) -> RunState:
    return attrs.evolve(first_state(of), stages={StageId(name): tally for name, tally in tallies.items()})


# Completed.


def test_the_last_stage_completes_the_run_with_its_output() -> None:
    finished = decided(ONE, DONE)
    change = finished.change
    assert change.run is not None
    assert (change.run.status, change.run.output, change.run.finished_at) == (RunStatus.COMPLETED, '"done"', NOW)
    assert change.job_deletes == (leased().key,)
    assert types(change) == ["stage.started", "stage.completed", "run.completed"]
    assert finished.result.run_status is RunStatus.COMPLETED
    assert finished.result.job is None
    assert finished.state.run.revision == 2


def test_an_ended_stage_leaves_a_row_that_tells_who_ended_it_when_and_with_what() -> None:
    (row,) = decided(ONE, DONE).change.stages
    assert (row.stage, row.index, row.status, row.attempt) == (A, 0, StageStatus.COMPLETED, 1)
    assert (row.worker, row.started_at, row.finished_at) == ("worker-1", NOW - SECOND, NOW)
    assert (row.output, row.failure) == ('"done"', None)


def test_the_run_begins_with_its_first_change() -> None:
    finished = decided(LINE, DONE, first_state(LINE, pending_run()))
    assert finished.change.run is not None
    assert (finished.change.run.status, finished.change.run.started_at) == (RunStatus.RUNNING, NOW - SECOND)
    assert types(finished.change) == ["run.started", "stage.started", "stage.completed"]
    assert finished.state.run.status is RunStatus.RUNNING


def test_a_start_that_was_told_apart_is_not_told_again() -> None:
    change = decide(finish(LINE, leased(LINE), DONE, started_told=True), first_state(LINE), leased(LINE), FACTS).change
    assert types(change) == ["stage.completed"]


def test_one_stage_that_follows_is_handed_over_in_place_and_the_lease_kept() -> None:
    finished = decided(LINE, DONE, row=leased(LINE, wakes=3, attempt=2, progress="{}"))
    (move,) = finished.change.job_moves
    assert (move.key.stage, move.stage, move.keep_lease, move.attempt) == (A, B, True, 1)
    assert (finished.change.job_deletes, finished.change.jobs) == ((), ())
    kept = finished.result.job
    assert kept is not None
    assert (kept.stage, kept.attempt, kept.wakes, kept.lease_id) == (B, 1, 3, leased().lease_id)
    assert (kept.claimed_at, kept.progress) == (NOW, None)
    assert finished.state.stages[B] == StageTally(active=1)


def test_a_worker_that_does_not_go_on_leaves_the_next_stage_to_anybody() -> None:
    finished = decided(LINE, DONE, keep=False)
    (move,) = finished.change.job_moves
    assert (move.stage, move.keep_lease, move.attempt, move.available_at) == (B, False, 0, NOW)
    assert finished.result.job is None
    assert finished.result.due == (JobKey(RUN_ID, B, 0),)


def test_parallel_stages_are_new_jobs_for_anybody() -> None:
    finished = decided(DIAMOND, DONE)
    assert [row.stage for row in finished.change.jobs] == [B, C]
    assert finished.change.job_deletes == (leased(DIAMOND).key,)
    assert finished.result.job is None
    assert finished.result.due == (JobKey(RUN_ID, B, 0), JobKey(RUN_ID, C, 0))


@pytest.mark.fault(95)
def test_the_join_follows_the_last_of_its_stages_and_only_that() -> None:
    both = state_of(DIAMOND, a=StageTally(completed=1), b=StageTally(active=1), c=StageTally(active=1))
    first = decided(DIAMOND, DONE, both, leased(DIAMOND, B))
    assert (first.change.jobs, first.change.job_moves) == ((), ())
    last = decided(DIAMOND, DONE, first.state, leased(DIAMOND, C))
    assert [move.stage for move in last.change.job_moves] == [D]


def test_a_map_opens_with_those_beyond_its_bound_parked() -> None:
    finished = decided(MAP, Completed(output=Payload("[1,2,3]"), elements=(Payload("1"), Payload("2"), Payload("3"))))
    assert [(row.index, row.phase) for row in finished.change.jobs] == [(0, "ready"), (1, "ready"), (2, "parked")]


def test_each_instance_that_ends_frees_the_next() -> None:
    state = state_of(MAP, a=StageTally(completed=1), b=StageTally(active=2, parked=1))
    finished = decided(MAP, DONE, state, leased(MAP, B, index=0))
    assert finished.change.unpark == (Unpark(run_id=RUN_ID, stage=B, count=1, at=NOW),)
    assert finished.state.stages[B] == StageTally(completed=1, active=2)
    assert finished.result.due == (JobKey(RUN_ID, B, 2),)


def test_the_last_instance_of_a_map_goes_on_as_its_join() -> None:
    state = state_of(MAP, a=StageTally(completed=1), b=StageTally(completed=2, active=1))
    finished = decided(MAP, DONE, state, leased(MAP, B, index=2))
    (move,) = finished.change.job_moves
    assert (move.key.index, move.stage, move.index) == (2, C, 0)


def test_a_map_over_nothing_is_complete_at_once_and_its_join_is_handed_over() -> None:
    finished = decided(MAP, Completed(output=Payload("[]"), elements=()))
    assert [(row.stage, row.index) for row in finished.change.stages] == [(A, 0), (B, -1)]
    assert [move.stage for move in finished.change.job_moves] == [C]


def test_a_run_that_ends_in_several_stages_or_a_map_leaves_its_output_to_their_rows() -> None:
    two = plan(stage("a"), stage("b"))
    last = decided(two, DONE, state_of(two, a=StageTally(active=1), b=StageTally(completed=1)))
    assert last.change.run is not None
    assert (last.change.run.status, last.change.run.output) == (RunStatus.COMPLETED, None)
    mapped = plan(stage("a"), stage("b", "a", mapped=True))
    state = state_of(mapped, a=StageTally(completed=1), b=StageTally(active=1))
    assert (ended := decided(mapped, DONE, state, leased(mapped, B)).change.run) is not None
    assert (ended.status, ended.output) == (RunStatus.COMPLETED, None)


# Failed.


def test_a_failure_is_retried_after_a_back_off_that_no_wake_up_shortens() -> None:
    finished = decided(ONE, Failed(failure=BOOM))
    (move,) = finished.change.job_moves
    assert (move.available_at, move.not_before) == (NOW + SECOND, NOW + SECOND)
    assert (move.attempt, move.keep_lease) == (1, False)
    assert finished.result.will_retry
    assert finished.state == first_state(ONE)


def test_a_retried_try_leaves_a_row_and_an_event_without_its_traceback() -> None:
    change = decided(ONE, Failed(failure=BOOM)).change
    (row,) = change.attempts
    assert (row.attempt, row.lease_id, row.worker, row.failure) == (1, leased().lease_id, "worker-1", BOOM)
    assert types(change) == ["stage.started", "stage.retrying"]
    assert "Traceback" not in change.events[-1].data
    assert '"will_retry":true' in change.events[-1].data


@pytest.mark.parametrize(
    ("attempt", "delay"), [(1, timedelta(seconds=1)), (2, timedelta(seconds=2))], ids=["first", "second"]
)
def test_the_delay_grows_with_the_attempt(attempt: int, delay: timedelta) -> None:
    (move,) = decided(ONE, Failed(failure=BOOM), row=leased(attempt=attempt)).change.job_moves
    assert move.available_at == NOW + delay


@pytest.mark.parametrize(
    ("attempt", "retryable"), [(3, True), (1, False)], ids=["its last attempt", "not to be retried"]
)
def test_a_final_failure_ends_the_run_and_every_other_job(attempt: int, retryable: bool) -> None:
    finished = decided(ONE, Failed(failure=BOOM, retryable=retryable), row=leased(attempt=attempt))
    change = finished.change
    assert change.run is not None
    assert change.run.status is RunStatus.FAILED
    assert change.run.failure == attrs.evolve(BOOM, stage=A)
    assert change.end_jobs is not None
    assert change.end_jobs.status is StageStatus.CANCELLED
    assert [row.status for row in change.stages] == [StageStatus.FAILED]
    assert types(change) == ["stage.started", "stage.failed", "run.failed"]
    assert finished.result.run_status is RunStatus.FAILED
    assert finished.state.active == 0


# Suspended.


def test_a_suspended_job_is_claimable_at_its_moment_and_its_attempts_begin_anew() -> None:
    (move,) = decided(ONE, Suspended(until=NOW + SECOND), row=leased(attempt=2)).change.job_moves
    assert (move.available_at, move.not_before, move.attempt, move.keep_lease) == (NOW + SECOND, None, 0, False)


def test_a_job_that_waits_for_a_message_has_no_moment() -> None:
    (move,) = decided(ONE, Suspended(until=None)).change.job_moves
    assert move.available_at is None


@pytest.mark.fault(87)
def test_an_attempt_stays_when_a_wake_up_came_that_its_body_has_not_seen() -> None:
    seen, newest = leased(wakes=1), leased(wakes=2)
    finished = decide(finish(ONE, seen, Suspended(until=None)), first_state(ONE), newest, FACTS)
    assert finished.change.is_empty
    assert (finished.result.stays, finished.result.job) == (True, newest)


def test_an_attempt_that_stays_has_not_begun_its_run() -> None:
    seen, newest = leased(wakes=1), leased(wakes=2)
    state = first_state(ONE, pending_run())
    finished = decide(finish(ONE, seen, Suspended(until=None)), state, newest, FACTS)
    assert finished.state == state
    assert finished.result.run_status is RunStatus.PENDING


# In a run that is being cancelled.


@pytest.mark.fault(90)
@pytest.mark.parametrize(
    "outcome",
    [DONE, Failed(failure=BOOM), Failed(failure=BOOM, retryable=False), Suspended(until=None), Cancelled()],
    ids=["completed", "failed", "failed for good", "suspended", "cancelled"],
)
def test_every_outcome_ends_as_cancelled(outcome: Outcome) -> None:
    finished = decided(ONE, outcome, first_state(ONE, CANCELLING))
    assert [row.status for row in finished.change.stages] == [StageStatus.CANCELLED]
    assert finished.change.run is not None
    assert finished.change.run.status is RunStatus.CANCELLED
    assert types(finished.change)[-1] == "run.cancelled"
    assert finished.result.run_status is RunStatus.CANCELLED


def test_the_run_is_cancelled_when_its_last_job_has_ended_not_before() -> None:
    state = with_tally(first_state(DIAMOND, CANCELLING), B, active=1)
    finished = decided(DIAMOND, Cancelled(), state)
    assert finished.change.run is not None
    assert finished.change.run.status is None
    assert finished.result.run_status is RunStatus.CANCELLING
    assert "run.cancelled" not in types(finished.change)


def test_a_cancelled_instance_frees_the_next_parked_one_too() -> None:
    state = state_of(MAP, a=StageTally(completed=1), b=StageTally(active=1, parked=1))
    state = attrs.evolve(state, run=CANCELLING)
    finished = decided(MAP, Cancelled(), state, leased(MAP, B))
    assert [unpark.count for unpark in finished.change.unpark] == [1]
    assert finished.result.run_status is RunStatus.CANCELLING


def test_a_body_told_of_a_cancel_that_was_never_decided_is_called_again_at_no_cost() -> None:
    finished = decided(ONE, Cancelled(), row=leased(attempt=2))
    (move,) = finished.change.job_moves
    assert (move.attempt, move.available_at) == (1, NOW)
    assert finished.change.run_guard is not None


def test_a_finish_without_a_lease_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="without a lease"):
        decide(finish(ONE, job(), DONE), first_state(ONE), job(), FACTS)
    with pytest.raises(AssertionError, match="without a lease"):
        decided(ONE, Failed(failure=BOOM), row=leased(worker=None))
