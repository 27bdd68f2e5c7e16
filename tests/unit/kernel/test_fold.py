"""Folding: finishes of one run decided one after another on one state, and committed as one."""

import attrs
import pytest

from mainspring.kernel.fold import Answer, Fold, fold, merge
from mainspring.kernel.outcomes import AttemptFinished, Cancelled, Completed, Failed, FinishAttempt, Suspended
from mainspring.kernel.plan import Plan
from mainspring.ports.change import Change, RunGuard, RunPatch
from mainspring.ports.errors import LeaseLostError
from mainspring.ports.names import LeaseId, Payload, StageId
from mainspring.ports.records import Job, RunState, RunStatus, StageTally
from tests.kernel_records import (
    BOOM,
    FACTS,
    LINE,
    NOW,
    RUN_ID,
    A,
    B,
    finish,
    first_state,
    leased,
    pending_run,
    plan,
    run,
    stage,
    types,
)

DONE = Completed(output=Payload("1"))
WIDE = plan(*(stage(f"s{number}") for number in range(4)), stage("join", "s0", "s1", "s2", "s3"))
MAP = plan(stage("a"), stage("b", "a", mapped=True, max_parallel=2))


def held(of: Plan, at: str, number: int = 0, **fields: object) -> Job:
    return leased(of, StageId(at), lease_id=LeaseId(f"lease-{at}-{number}"), **fields)


def folded(
    state: RunState | None, *commands: FinishAttempt, rows: dict[LeaseId, Job] | None = None
) -> tuple[Fold, Change]:
    decided = fold(commands, state, rows, [FACTS] * len(commands))
    return decided, decided.change or Change()


def finished(answer: Answer) -> AttemptFinished:
    assert isinstance(answer, AttemptFinished)
    return answer


def all_of_wide() -> list[FinishAttempt]:
    return [finish(WIDE, held(WIDE, f"s{number}"), DONE) for number in range(4)]


@pytest.mark.fault(95)
def test_a_join_of_parallel_stages_is_one_change_and_fires_once() -> None:
    decided, change = folded(first_state(WIDE, pending_run()), *all_of_wide())
    assert change.run == RunPatch(
        run_id=RUN_ID, revision=0, bump=4, status=RunStatus.RUNNING, started_at=leased().claimed_at
    )
    assert len(change.leases) == len(change.stages) == 4
    assert [move.stage for move in change.job_moves] == ["join"]
    assert len(change.job_deletes) == 3
    assert types(change).count("run.started") == 1
    assert decided.state is not None
    assert decided.state.run.revision == 4
    assert [finished(answer).job is not None for answer in decided.answers] == [False, False, False, True]


def test_what_a_fold_decides_is_what_one_after_another_decides() -> None:
    at_once, _ = folded(first_state(WIDE, pending_run()), *all_of_wide())
    state: RunState | None = first_state(WIDE, pending_run())
    answers: list[Answer] = []
    for command in all_of_wide():
        one, _ = folded(state, command)
        state = one.state
        answers += one.answers
    assert (at_once.state, at_once.answers) == (state, answers)


def test_a_finish_behind_the_runs_end_has_lost_its_lease() -> None:
    commands = all_of_wide()
    commands[1] = attrs.evolve(commands[1], outcome=Failed(failure=BOOM, retryable=False))
    decided, change = folded(first_state(WIDE), *commands)
    assert [isinstance(answer, LeaseLostError) for answer in decided.answers] == [False, False, True, True]
    assert change.run is not None
    assert (change.run.status, change.run.bump) == (RunStatus.FAILED, 2)
    assert len(change.leases) == 2
    assert change.end_jobs is not None


@pytest.mark.fault(17)
def test_commands_whose_lease_is_not_among_the_rows_are_answered_lost_and_the_rest_is_decided() -> None:
    first, second = all_of_wide()[:2]
    assert first.job.lease_id is not None
    decided, change = folded(first_state(WIDE), first, second, rows={first.job.lease_id: first.job})
    assert [isinstance(answer, LeaseLostError) for answer in decided.answers] == [False, True]
    assert [guard.lease_id for guard in change.leases] == [first.job.lease_id]


@pytest.mark.fault(5)
def test_a_lease_that_stands_at_the_next_stage_was_handed_over_by_a_commit_of_unknown_outcome() -> None:
    before = held(LINE, "a")
    after = attrs.evolve(before, stage=B)
    assert before.lease_id is not None
    decided, change = folded(first_state(LINE), finish(LINE, before, DONE), rows={before.lease_id: after})
    assert change.is_empty
    assert finished(decided.answers[0]).job == after


@pytest.mark.fault(5, 88)
def test_a_wake_up_that_came_while_a_hand_over_was_of_unknown_outcome_is_not_taken_as_seen() -> None:
    before = held(LINE, "a")
    assert before.lease_id is not None
    at_the_next, where_it_was = attrs.evolve(before, stage=B, wakes=1), attrs.evolve(before, wakes=1)
    for row in (at_the_next, where_it_was):
        decided, _ = folded(first_state(LINE), finish(LINE, before, DONE), rows={before.lease_id: row})
        job = finished(decided.answers[0]).job
        assert job is not None
        assert (job.stage, job.wakes) == (B, before.wakes)


@pytest.mark.parametrize("state", [None, first_state(LINE, run(status=RunStatus.COMPLETED))], ids=["no run", "ended"])
def test_in_a_run_that_is_over_every_lease_is_lost(state: RunState | None) -> None:
    decided, change = folded(state, finish(LINE, held(LINE, "a"), DONE))
    assert isinstance(decided.answers[0], LeaseLostError)
    assert change.is_empty


@pytest.mark.promise(4)
def test_a_second_finish_of_one_attempt_comes_too_late() -> None:
    command = finish(LINE, held(LINE, "a"), DONE)
    decided, change = folded(first_state(LINE), command, command)
    assert isinstance(decided.answers[1], LeaseLostError)
    assert len(change.stages) == 1


def test_a_stay_writes_nothing_and_hides_no_start_from_the_next() -> None:
    row = held(WIDE, "s0", wakes=1)
    other = held(WIDE, "s1")
    assert row.lease_id is not None
    assert other.lease_id is not None
    stays = finish(WIDE, attrs.evolve(row, wakes=0), Suspended(until=None))
    _, change = folded(
        first_state(WIDE, pending_run()),
        stays,
        finish(WIDE, other, DONE),
        rows={row.lease_id: row, other.lease_id: other},
    )
    assert change.run is not None
    assert change.run.status is RunStatus.RUNNING
    assert types(change)[0] == "run.started"


def test_freed_instances_of_one_stage_are_summed() -> None:
    state = attrs.evolve(first_state(MAP), stages={A: StageTally(completed=1), B: StageTally(active=2, parked=3)})
    commands = [finish(MAP, held(MAP, "b", index, index=index), DONE) for index in range(2)]
    decided, change = folded(state, *commands)
    assert [unpark.count for unpark in change.unpark] == [2]
    assert decided.state is not None
    assert decided.state.stages[B] == StageTally(completed=2, active=2, parked=1)


def test_shared_and_exclusive_guards_on_one_run_become_one() -> None:
    shared = finish(WIDE, held(WIDE, "s0"), Cancelled())
    _, alone = folded(first_state(WIDE), shared, finish(WIDE, held(WIDE, "s1"), Cancelled()))
    assert (alone.run, alone.run_guard) == (None, RunGuard(run_id=RUN_ID, revision=1))
    _, both = folded(first_state(WIDE), finish(WIDE, held(WIDE, "s1"), DONE), shared)
    assert both.run is not None
    assert (both.run.revision, both.run_guard) == (1, None)


def test_one_change_is_itself() -> None:
    change = Change(run=RunPatch(run_id=RUN_ID, revision=1, finished_at=NOW))
    assert merge([change]) is change


def test_merged_patches_keep_what_only_one_of_them_says() -> None:
    first = Change(run=RunPatch(run_id=RUN_ID, revision=1, status=RunStatus.RUNNING, started_at=NOW))
    last = Change(run=RunPatch(run_id=RUN_ID, revision=2, status=RunStatus.COMPLETED, output=Payload("1")))
    assert merge([first, last]).run == RunPatch(
        run_id=RUN_ID, revision=1, bump=2, status=RunStatus.COMPLETED, started_at=NOW, output=Payload("1")
    )
