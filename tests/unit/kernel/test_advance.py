"""What follows when stages end: rules of the graph."""

import pytest

from mainspring.kernel.advance import (
    EMPTY_MAP,
    Advance,
    after_completion,
    empty_map,
    group,
    initial_state,
    with_tally,
)
from mainspring.kernel.plan import Plan
from mainspring.ports.names import Payload, StageId
from mainspring.ports.records import JobPhase, RunState, StageStatus, StageTally
from tests.kernel_records import DIAMOND, LINE, MAP, NOW, RUN_ID, SECOND, A, B, C, D, plan, run, stage

NESTED = plan(stage("a"), stage("b", "a", mapped=True), stage("c", "b", mapped=True, max_parallel=1), stage("d", "c"))


def done(**tallies: int) -> RunState:
    return RunState(run=run(), stages={StageId(name): StageTally(completed=count) for name, count in tallies.items()})


def completed(of: Plan, state: RunState, at: StageId, *elements: str) -> Advance:
    return after_completion(state, of, at, NOW, tuple(map(Payload, elements)))


def keys(advance: Advance) -> list[tuple[str, int]]:
    return [(job.stage, job.index) for job in advance.jobs]


def test_a_new_run_begins_with_every_stage_that_follows_none() -> None:
    both = plan(stage("a"), stage("b"), stage("c", "a", "b"))
    begun = initial_state(RunState(run=run(), stages={}), both, NOW, None)
    assert keys(begun) == [(A, 0), (B, 0)]
    assert begun.state.active == 2


def test_jobs_carry_the_runs_priority_the_route_and_their_stages_attempts() -> None:
    begun = initial_state(RunState(run=run(priority=8), stages={}), LINE, NOW, None)
    (job,) = begun.jobs
    assert (job.priority, job.route, job.max_attempts) == (8, LINE.route, 3)
    assert (job.available_at, job.not_before, job.phase) == (NOW, None, JobPhase.READY)


def test_a_delayed_run_keeps_its_moment_as_one_that_no_wake_up_hurries() -> None:
    later = NOW + 60 * SECOND
    (job,) = initial_state(RunState(run=run(start_at=later), stages={}), LINE, NOW, None).jobs
    assert (job.available_at, job.not_before) == (later, later)


def test_a_start_in_the_past_is_a_start_now_and_keeps_its_moment_should_the_clock_be_set_back() -> None:
    (job,) = initial_state(RunState(run=run(start_at=NOW - SECOND), stages={}), LINE, NOW, None).jobs
    assert (job.available_at, job.not_before) == (NOW, NOW - SECOND)


def test_the_next_stage_follows() -> None:
    assert keys(completed(LINE, done(a=1), A)) == [(B, 0)]


def test_parallel_stages_follow_together() -> None:
    assert keys(completed(DIAMOND, done(a=1), A)) == [(B, 0), (C, 0)]


def test_a_join_waits_for_all_of_its_stages() -> None:
    half = with_tally(done(a=1, b=1), C, active=1)
    assert keys(completed(DIAMOND, half, B)) == []
    assert keys(completed(DIAMOND, done(a=1, b=1, c=1), C)) == [(D, 0)]


def test_nothing_follows_the_last_stage() -> None:
    assert keys(completed(LINE, done(a=1, b=1), B)) == []


def test_a_map_has_an_instance_for_each_element_and_parks_those_beyond_its_bound() -> None:
    advance = completed(MAP, done(a=1), A, "1", "2", "3")
    assert keys(advance) == [(B, 0), (B, 1), (B, 2)]
    assert [job.input for job in advance.jobs] == ["1", "2", "3"]
    assert [job.phase for job in advance.jobs] == [JobPhase.READY, JobPhase.READY, JobPhase.PARKED]
    assert advance.state.stages[B] == StageTally(active=2, parked=1)


def test_an_empty_map_leaves_one_row_and_its_join_follows_at_once() -> None:
    advance = completed(MAP, done(a=1), A)
    assert keys(advance) == [(C, 0)]
    assert [(row.stage, row.index, row.status) for row in advance.empty] == [(B, EMPTY_MAP, StageStatus.COMPLETED)]
    assert advance.state.stages[B] == StageTally(completed=1)


def test_a_join_of_a_stage_and_its_empty_map_follows_once() -> None:
    both = plan(stage("a"), stage("b", "a", mapped=True), stage("c", "a", "b"))
    assert keys(completed(both, done(a=1), A)) == [(C, 0)]


def test_a_map_over_an_empty_map_is_empty_and_so_on_down() -> None:
    advance = completed(NESTED, done(a=1), A)
    assert keys(advance) == [(D, 0)]
    assert [row.stage for row in advance.empty] == [B, C]


def test_a_map_over_a_map_has_as_many_instances_and_reads_instance_by_instance() -> None:
    advance = completed(NESTED, done(a=1, b=3), B)
    assert keys(advance) == [(C, 0), (C, 1), (C, 2)]
    assert [job.input for job in advance.jobs] == [None, None, None]
    assert advance.state.stages[C] == StageTally(active=1, parked=2)


def test_a_run_whose_first_stage_is_mapped_begins_with_its_elements() -> None:
    mapped = plan(stage("a", mapped=True), stage("b", "a"))
    begun = initial_state(RunState(run=run(), stages={}), mapped, NOW, (Payload("1"), Payload("2")))
    assert keys(begun) == [(A, 0), (A, 1)]
    assert keys(initial_state(RunState(run=run(), stages={}), mapped, NOW, ())) == [(B, 0)]


def test_a_map_whose_list_was_not_taken_apart_is_a_mistake_not_an_empty_map() -> None:
    with pytest.raises(AssertionError, match="not taken apart"):
        after_completion(done(a=1), MAP, A, NOW, None)


def test_tallies_count_up_and_down() -> None:
    state = with_tally(done(a=1), A, completed=1, active=-1)
    assert state.stages[A] == StageTally(completed=2, active=-1)


def test_rows_are_grouped_by_stage_in_order_without_the_empty_maps() -> None:
    rows = [empty_map(RUN_ID, A, NOW)]
    assert group(rows) == {A: ()}
