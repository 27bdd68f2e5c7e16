"""run.create: a new run with its first jobs, or the one that is there."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from mainspring.kernel.commands.run_create import Taker, decide, request_hash
from mainspring.ports.errors import ConflictError
from mainspring.ports.names import LeaseId, Payload, RunId, WorkerId
from mainspring.ports.records import Lease, RunStatus
from tests.kernel_records import FACTS, NOW, RUN_ID, SECOND, create, plan, run, stage, types, written

OTHER_RUN = RunId("019a0000-0000-7000-8000-00000000ffff")


def test_a_new_run_is_pending_with_its_jobs_its_graph_and_one_event() -> None:
    decision = decide(create(), None, FACTS)
    change = decision.change
    assert change is not None
    assert change.create is not None
    assert (change.create.id, change.create.status, change.create.revision) == (RUN_ID, RunStatus.PENDING, 0)
    assert [job.stage for job in change.jobs] == ["a"]
    assert change.graph is not None
    assert types(change) == ["run.created"]
    assert decision.result.created
    assert decision.change is not None
    assert [key.stage for key in decision.result.due] == [job.stage for job in decision.change.jobs]
    assert written(change) == {"create", "graph", "jobs", "events"}


def test_a_run_keeps_what_it_was_started_with() -> None:
    command = create(
        plan(stage("a"), priority=3, timeout=60 * SECOND), tags=("x",), metadata=Payload("{}"), config=Payload("{}")
    )
    started = decide(command, None, FACTS).result.run
    assert (started.priority, started.deadline, started.tags) == (3, NOW + 60 * SECOND, ("x",))
    assert (started.metadata, started.config, started.input) == ("{}", "{}", "1")
    said = decide(attrs.evolve(command, priority=0, timeout=SECOND), None, FACTS).result.run
    assert (said.priority, said.deadline) == (0, NOW + SECOND)


def test_a_delayed_start_is_not_due_and_its_time_out_counts_from_it() -> None:
    later = NOW + 60 * SECOND
    decision = decide(create(start_at=later, timeout=SECOND), None, FACTS)
    assert decision.result.due_at == later
    assert decision.result.run.deadline == later + SECOND
    assert decision.change is not None
    assert decision.change.jobs[0].available_at == later


def test_a_run_whose_every_stage_is_mapped_over_nothing_is_complete_at_once() -> None:
    empty = plan(stage("a", mapped=True), stage("b", "a", mapped=True))
    decision = decide(create(empty, elements=()), None, FACTS)
    assert decision.result.run.status is RunStatus.COMPLETED
    assert decision.result.run.finished_at == NOW
    assert not decision.result.due
    assert decision.change is not None
    assert [row.stage for row in decision.change.stages] == ["a", "b"]
    assert types(decision.change) == ["run.created", "run.started", "run.completed"]


@pytest.mark.fault(14)
def test_the_same_start_again_answers_the_run_that_is_there() -> None:
    there = run(id=OTHER_RUN, key="k", request_hash=request_hash(create(key="k")))
    decision = decide(create(key="k"), there, FACTS)
    assert decision.change is None
    assert (decision.result.run, decision.result.created, decision.result.due) == (there, False, ())


@pytest.mark.fault(5)
def test_a_start_that_meets_its_own_row_created_it() -> None:
    there = run(request_hash=request_hash(create()))
    decision = decide(create(), there, FACTS)
    assert (decision.change, decision.result.created) == (None, True)


TAKER = Taker(worker=WorkerId("here"), lease_id=LeaseId("00000000-0000-4000-8000-000000000001"), length=30 * SECOND)


def test_a_run_started_beside_a_free_worker_has_its_first_job_leased_to_it_and_tells_nobody_of_it() -> None:
    decision = decide(create(taker=TAKER), None, FACTS)
    assert decision.change is not None
    (job,) = decision.change.jobs
    assert decision.result.lease == Lease(job=job, run=decision.result.run)
    assert decision.result.due == ()
    assert (job.lease_id, job.worker, job.lease_until) == (TAKER.lease_id, TAKER.worker, NOW + TAKER.length)
    assert (job.attempt, job.token, job.claimed_at) == (1, 1, NOW)
    assert written(decision.change) == {"create", "graph", "jobs", "events"}


@pytest.mark.fault(5)
def test_a_start_that_meets_its_own_row_finds_the_lease_it_made_unless_the_run_has_moved_on() -> None:
    made = decide(create(taker=TAKER), None, FACTS).result
    assert decide(create(taker=TAKER), made.run, FACTS).result == made
    moved = attrs.evolve(made.run, revision=1)
    assert decide(create(taker=TAKER), moved, FACTS).result.lease is None


def test_nobody_takes_what_begins_later_begins_with_several_jobs_or_was_started_by_others() -> None:
    later = create(start_at=NOW, taker=TAKER)
    many = create(plan(stage("a"), stage("b")), taker=TAKER)
    for command in (later, many):
        decision = decide(command, None, FACTS)
        assert decision.result.lease is None
        assert len(decision.result.due) == len(decision.change.jobs if decision.change else ())
        assert all(job.lease_id is None for job in (decision.change.jobs if decision.change else ()))
    theirs = run(id=OTHER_RUN, key="k", request_hash=request_hash(create(key="k")))
    assert decide(create(key="k", taker=TAKER), theirs, FACTS).result.lease is None


@pytest.mark.fault(93)
def test_other_content_under_the_same_key_is_a_conflict_that_names_both() -> None:
    there = run(id=OTHER_RUN, key="k", request_hash="of-the-first")
    with pytest.raises(ConflictError) as error:
        decide(create(key="k", input=Payload("2")), there, FACTS)
    said = str(error.value)
    assert OTHER_RUN in said
    assert "of-the-first" in said
    assert request_hash(create(key="k", input=Payload("2"))) in said


@pytest.mark.parametrize(
    "other",
    [
        {"input": Payload("2")},
        {"config": Payload("{}")},
        {"metadata": Payload("{}")},
        {"tags": ("a",)},
        {"tags": ("a", "b")},
        {"priority": 0},
        {"start_at": NOW},
        {"timeout": SECOND},
        {"of": plan(stage("a"), workflow="other")},
    ],
)
def test_everything_a_start_asks_for_is_in_its_hash(other: dict[str, Any]) -> None:
    assert request_hash(create(**other)) != request_hash(create())


def test_a_new_version_of_the_workflow_answers_the_same_request() -> None:
    assert request_hash(create(of=plan(stage("a"), version="2"))) == request_hash(create())


def test_a_key_an_id_and_where_the_input_lies_are_not_in_the_hash() -> None:
    spilled = create(input=Payload("@blob"), content_hash="abc", key="k", run_id=OTHER_RUN)
    assert request_hash(spilled) == request_hash(create(input=Payload("7"), content_hash="abc"))


def test_the_same_moment_told_in_two_zones_is_the_same_start() -> None:
    moment = datetime(2026, 5, 1, 12, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=5)))
    assert request_hash(create(start_at=moment)) == request_hash(create(start_at=elsewhere))


def test_a_first_stage_that_is_mapped_needs_its_elements() -> None:
    with pytest.raises(AssertionError, match="not taken apart"):
        decide(create(plan(stage("a", mapped=True))), None, FACTS)
