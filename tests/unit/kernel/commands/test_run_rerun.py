"""run.rerun: a new run that takes over what completed before the stage it begins with."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from mainspring.kernel.commands.run_create import RunCreated
from mainspring.kernel.commands.run_rerun import RerunRun, RerunState, decide
from mainspring.kernel.decision import Decision
from mainspring.kernel.plan import Plan
from mainspring.ports.change import Change, RunGuard
from mainspring.ports.errors import ConflictError, UnfinishedError
from mainspring.ports.names import Payload, RunId
from mainspring.ports.records import Job, JobPhase, Run, RunStatus, StageRecord
from tests.kernel_records import (
    FACTS,
    LINE,
    MAP,
    NOW,
    RUN_ID,
    SECOND,
    A,
    B,
    C,
    job,
    leased,
    plan,
    run,
    stage,
    types,
    written,
)
from tests.unit.kernel.test_reruns import FAILED, row

OLD = RunId("019a0000-0000-7000-8000-00000000000a")
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


def old(**fields: Any) -> Run:
    return run(**({"id": OLD, "status": RunStatus.FAILED, "finished_at": NOW, "revision": 4} | fields))


def asked(of: Plan = LINE, **fields: Any) -> RerunRun:
    plain: dict[str, Any] = {"run_id": OLD, "plan": of}
    return RerunRun(**(plain | fields))


def decided(
    command: RerunRun,
    records: Sequence[StageRecord] = (),
    over: Run | None = None,
    *,
    there: Run | None = None,
    jobs: Sequence[Job] = (),
) -> Decision[RunCreated]:
    return decide(command, RerunState(there, over or old(), jobs, records, None), FACTS)


def change_of(decision: Decision[RunCreated]) -> Change:
    assert decision.change is not None
    return decision.change


HALF = (row(A), row(B, FAILED))


@pytest.mark.fault(84)
def test_a_new_run_takes_over_the_outputs_before_the_stage_and_the_old_one_is_not_written() -> None:
    decision = decided(asked(), HALF)
    change = change_of(decision)
    assert written(change) == {"create", "run_guard", "graph", "stages", "jobs", "events"}
    assert change.create is not None
    assert (change.create.id, change.create.rerun_of, change.create.rerun_from) == (RUN_ID, OLD, B)
    assert [(one.run_id, one.stage, one.output) for one in change.stages] == [(RUN_ID, A, '"a0"')]
    assert [(one.run_id, one.stage, one.max_attempts) for one in change.jobs] == [(RUN_ID, B, 3)]
    assert decision.result.due == (change.jobs[0].key,)


def test_the_old_run_is_guarded_so_that_it_is_there_as_long_as_it_is_named() -> None:
    assert change_of(decided(asked(), HALF)).run_guard == RunGuard(run_id=OLD, revision=4)


def test_it_is_started_as_the_old_one_was_and_its_time_out_counts_anew() -> None:
    over = old(
        input=Payload("7"),
        config=Payload('{"a":1}'),
        tags=("x",),
        metadata=Payload("{}"),
        priority=3,
        key="k",
        start_at=NOW - 5 * SECOND,
        deadline=NOW + 55 * SECOND,
    )
    began = decided(asked(), HALF, over).result.run
    assert (began.input, began.config, began.tags, began.metadata, began.priority) == ("7", '{"a":1}', ("x",), "{}", 3)
    assert (began.key, began.start_at, began.deadline) == (None, None, NOW + timedelta(minutes=1))
    assert (began.status, began.revision, began.created_at) == (RunStatus.PENDING, 0, NOW)


def test_it_is_traced_as_it_is_asked_for_not_as_the_old_one_was() -> None:
    over = old(config=Payload(f'{{"a":1,"~trace":"{TRACE.replace("0123", "4567")}"}}'))
    assert decided(asked(trace=TRACE), HALF, over).result.run.config == f'{{"a":1,"~trace":"{TRACE}"}}'


def test_its_first_event_tells_what_it_is_a_rerun_of() -> None:
    change = change_of(decided(asked(), HALF))
    assert types(change) == ["run.created"]
    assert f'"rerun_of":"{OLD}"' in change.events[0].data
    assert '"rerun_from":"b"' in change.events[0].data


def test_a_mapped_stage_begins_with_the_elements_it_is_given_no_more_at_once_than_its_bound() -> None:
    rows = (row(A), row(B), row(B, FAILED, 1))
    change = change_of(decided(asked(MAP, elements={B: (Payload("1"), Payload("2"), Payload("3"))}), rows))
    assert [(one.index, one.input, one.phase) for one in change.jobs] == [
        (0, "1", JobPhase.READY),
        (1, "2", JobPhase.READY),
        (2, "3", JobPhase.PARKED),
    ]


def test_a_map_over_a_map_that_is_taken_over_has_its_width() -> None:
    chain = plan(stage("a"), stage("b", "a", mapped=True), stage("c", "b", mapped=True))
    change = change_of(decided(asked(chain), (row(A), row(B), row(B, index=1), row(C, FAILED))))
    assert [(one.stage, one.index, one.input) for one in change.jobs] == [(C, 0, None), (C, 1, None)]


def test_a_rerun_with_nothing_left_to_do_is_complete_at_once() -> None:
    decision = decided(asked(plan(stage("a"), stage("b", "a", mapped=True)), elements={B: ()}), (row(A),))
    assert decision.result.run.status is RunStatus.COMPLETED
    assert types(change_of(decision)) == ["run.created", "run.started", "run.completed"]


def test_the_same_key_answers_the_same_run_and_refuses_another_wish() -> None:
    first = decided(asked(key="again"), HALF).result.run
    other = decide(asked(key="again", new_id=RunId("another")), RerunState(first, old(), (), HALF, None), FACTS)
    assert (other.result.run, other.result.created, other.change) == (first, False, None)
    with pytest.raises(ConflictError, match="use another key"):
        decided(asked(key="again", from_stage=A), HALF, there=first)


def test_a_rerun_that_was_written_though_its_answer_was_lost_is_recognised() -> None:
    first = decided(asked(), HALF).result.run
    assert decided(asked(), HALF, there=first).result.created


@pytest.mark.fault(85)
def test_a_run_that_is_active_is_refused_with_what_it_is_doing() -> None:
    held = leased(LINE, A)
    waiting = job(LINE, B, index=1, available_at=NOW + SECOND)
    with pytest.raises(UnfinishedError, match=r"is running \(a\[0\] is running, b\[1\] is suspended\)"):
        decided(asked(), over=old(status=RunStatus.RUNNING), jobs=(held, waiting))


@pytest.mark.fault(85)
@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.RUNNING, RunStatus.CANCELLING])
def test_every_status_that_is_not_final_is_refused(status: RunStatus) -> None:
    with pytest.raises(UnfinishedError, match="only a run that has ended"):
        decided(asked(), HALF, old(status=status))


def test_a_run_that_was_cancelled_can_be_begun_anew() -> None:
    assert decided(asked(), HALF, old(status=RunStatus.CANCELLED)).result.created
