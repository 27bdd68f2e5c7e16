"""What a rerun takes over, and what begins anew."""

import attrs
import pytest

from mainspring.kernel.advance import EMPTY_MAP, empty_map
from mainspring.kernel.plan import Plan
from mainspring.kernel.reruns import Rerun, rerun
from mainspring.ports.errors import NotFoundError, UnfinishedError
from mainspring.ports.names import Payload, StageId
from mainspring.ports.records import Graph, RunStatus, StageRecord, StageStatus
from tests.kernel_records import DIAMOND, LINE, MAP, NOW, RUN_ID, WORKER, A, B, C, D, plan, run, stage

ENDED = run(status=RunStatus.FAILED, finished_at=NOW)


def row(stage: StageId, status: StageStatus = StageStatus.COMPLETED, index: int = 0) -> StageRecord:
    return StageRecord(
        run_id=RUN_ID,
        stage=stage,
        index=index,
        status=status,
        attempt=1,
        worker=WORKER,
        started_at=NOW,
        finished_at=NOW,
        output=Payload(f'"{stage}{index}"') if status is StageStatus.COMPLETED else None,
        failure=None,
    )


FAILED, CANCELLED = StageStatus.FAILED, StageStatus.CANCELLED


def found(of: Plan, *rows: StageRecord, begin: StageId | None = None, graph: Graph | None = None) -> Rerun:
    return rerun(of, ENDED, rows, graph, begin)


def opened(it: Rerun) -> list[str]:
    return [one.id for one in it.opened]


def taken(it: Rerun) -> list[str]:
    return [one.stage for one in it.taken]


def test_it_begins_with_the_first_stage_that_did_not_complete_and_takes_over_those_before() -> None:
    it = found(LINE, row(A), row(B, FAILED))
    assert (it.begins, taken(it), opened(it)) == (B, [A], [B])


def test_a_stage_beside_the_chosen_one_is_taken_over_if_it_completed_and_begun_anew_if_not() -> None:
    it = found(DIAMOND, row(A), row(B), row(C, FAILED))
    assert (it.begins, taken(it), opened(it)) == (C, [A, B], [C])
    both = found(DIAMOND, row(A), row(B, CANCELLED), row(C, FAILED), begin=C)
    assert (taken(both), opened(both)) == ([A], [B, C])


def test_what_follows_the_chosen_stage_is_made_anew_though_it_completed() -> None:
    rows = [row(one) for one in (A, B, C, D)]
    it = found(DIAMOND, *rows, begin=B)
    assert (taken(it), opened(it)) == ([A, C], [B])
    whole = found(DIAMOND, *rows, begin=A)
    assert (taken(whole), opened(whole)) == ([], [A])


def test_a_mapped_stage_is_complete_only_if_all_its_instances_are() -> None:
    some = found(MAP, row(A), row(B), row(B, FAILED, 1), row(B, CANCELLED, 2))
    assert (some.begins, taken(some), opened(some)) == (B, [A], [B])
    assert [one.id for one in some.apart] == [B]
    every = found(MAP, row(A), row(B), row(B, index=1), row(C, FAILED))
    assert (every.begins, taken(every), every.apart) == (C, [A, B, B], ())


def test_a_map_over_nothing_is_complete_and_a_map_over_it_has_nothing_to_map() -> None:
    chain = plan(stage("a"), stage("b", "a", mapped=True), stage("c", "b", mapped=True), stage("d", "c"))
    rows = [row(A), empty_map(RUN_ID, B, NOW), empty_map(RUN_ID, C, NOW), row(D, FAILED)]
    it = found(chain, *rows, begin=C)
    assert (it.nothing, opened(it), it.apart) == (frozenset({B}), [C], ())
    assert [one.index for one in it.taken] == [0, EMPTY_MAP]


def test_a_stage_before_which_something_never_completed_is_refused() -> None:
    with pytest.raises(UnfinishedError, match="before it 'b', 'c' never completed"):
        found(DIAMOND, row(A), row(B, FAILED), row(C, CANCELLED), begin=D)


def test_an_unknown_stage_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFoundError, match="no stage 'x'; it has 'a', 'b'"):
        found(LINE, row(A), begin=StageId("x"))


def test_a_run_whose_every_stage_completed_needs_a_stage_to_begin_with() -> None:
    with pytest.raises(UnfinishedError, match="name the one to begin with"):
        found(LINE, row(A), row(B))


def test_a_stage_that_was_mapped_differently_has_no_output_to_take_over() -> None:
    shape = '{"stages":[{"id":"a","after":[],"mapped":true},{"id":"b","after":["a"],"mapped":false}]}'
    it = found(LINE, row(A), row(B, FAILED), graph=Graph(fingerprint=LINE.fingerprint, shape=shape))
    assert (it.begins, taken(it)) == (A, [])


def test_what_the_new_graph_has_no_stage_for_is_left() -> None:
    it = found(LINE, row(A), row(D), row(B, FAILED))
    assert taken(it) == [A]


def test_a_stage_that_the_new_graph_put_in_between_is_made_first() -> None:
    longer = plan(stage("a"), stage("c", "a"), stage("b", "c"))
    it = found(attrs.evolve(longer), row(A), row(B))
    assert (it.begins, taken(it), opened(it)) == (C, [A], [C])
