"""Workflows: what the chain builds, what it refuses, and what can be read off the whole."""

from datetime import timedelta
from typing import Any, get_type_hints

import pytest

from mainspring.kernel.definition import Workflow
from mainspring.kernel.plan import StagePlan
from mainspring.kernel.retry import Retry
from mainspring.ports.errors import DefinitionError, NotFoundError
from tests.unit.kernel.bodies import (
    Document,
    Letter,
    Limits,
    Text,
    announce,
    anything,
    count,
    extract,
    report,
    split,
    taking_and_giving,
    tone,
    total,
)

empty = Workflow("analysis", version="3")
extracted = empty.pipe(extract)
grouped = extracted.parallel(count, tone)


def edges(workflow: Workflow[Any, Any]) -> dict[str, tuple[str, ...]]:
    return {stage.id: tuple(stage.after) for stage in workflow.plan.stages.values()}


# -- the chain -----------------------------------------------------------------------------------------------------


def test_pipe_and_parallel_follow_everything_that_nothing_follows_yet() -> None:
    assert edges(grouped.pipe(report)) == {
        "extract": (),
        "count": ("extract",),
        "tone": ("extract",),
        "report": ("count", "tone"),
    }


def test_a_parallel_group_after_another_gets_the_joined_outputs() -> None:
    assert edges(grouped.parallel(report, anything))["anything"] == ("count", "tone")


def test_a_parallel_group_may_begin_a_workflow() -> None:
    assert edges(empty.parallel(count, tone)) == {"count": (), "tone": ()}


def test_map_marks_its_stage_and_bounds_it() -> None:
    plan = extracted.pipe(split).map(count, max_parallel=1024).pipe(total).plan
    assert plan.stages[count.id] == StagePlan(id=count.id, after=(split.id,), mapped=True, max_parallel=1024)
    assert not plan.stages[total.id].mapped


def test_a_plan_carries_retries_timeouts_queue_and_priority() -> None:
    slow = extract.with_options(retry=Retry(max_attempts=7), timeout=timedelta(minutes=2))
    plan = Workflow("x", version="1", queue="slow", priority=8, timeout=timedelta(hours=1)).pipe(slow).plan
    assert (plan.queue, plan.priority, plan.timeout) == ("slow", 8, timedelta(hours=1))
    assert (plan.stages[slow.id].retry.max_attempts, plan.stages[slow.id].timeout) == (7, timedelta(minutes=2))
    assert plan.route == f"slow/x@1#{plan.fingerprint}"


def test_add_takes_stages_and_ids_one_or_many() -> None:
    workflow = extracted.add(count, after=extract).add(tone, after="extract").add(report, after=[count, "tone"])
    assert edges(workflow) == edges(grouped.pipe(report))


def test_add_without_after_begins_beside_the_others() -> None:
    assert edges(empty.add(count).add(tone)) == {"count": (), "tone": ()}


def test_add_may_name_stages_that_are_added_later() -> None:
    workflow = empty.add(report, after=["count", "tone"]).add(count).add(tone)
    assert list(workflow.plan.stages) == ["count", "tone", "report"]


def test_add_may_map() -> None:
    plan = empty.add(split).add(count, after=split, mapped=True, max_parallel=2).plan
    assert (plan.stages[count.id].mapped, plan.stages[count.id].max_parallel) == (True, 2)


def test_a_workflow_may_be_continued_in_two_ways() -> None:
    one, other = extracted.pipe(count), extracted.pipe(tone)
    assert (list(extracted.stages), list(one.stages), list(other.stages)) == (
        ["extract"],
        ["extract", "count"],
        ["extract", "tone"],
    )


# -- types ---------------------------------------------------------------------------------------------------------


def test_input_and_output_are_those_of_the_first_and_last_stage() -> None:
    assert (extracted.pipe(count).input_type, extracted.pipe(count).output_type) == (Document, int)


def test_a_mapped_stage_takes_and_gives_lists() -> None:
    workflow = empty.map(count)
    assert (workflow.input_type, workflow.output_type) == (list[Text], list[int])


def test_several_last_stages_give_their_outputs_by_id() -> None:
    assert get_type_hints(grouped.output_type) == {"count": int, "tone": str}


def test_a_run_has_no_input_if_no_first_stage_takes_one() -> None:
    assert empty.pipe(announce).input_type is type(None)


def test_a_stage_without_input_may_follow_anything() -> None:
    assert edges(grouped.pipe(announce))["announce"] == ("count", "tone")


def test_first_stages_that_share_the_input_narrow_its_type() -> None:
    sender = taking_and_giving("sender", Letter, str)
    workflow = empty.add(anything).add(extract).add(sender)
    assert workflow.input_type is Letter


def test_first_stages_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"takes (Text|int) but stage .* both receive the run's input"):
        empty.add(count).add(taking_and_giving("double", int, int))


def test_config_types_are_those_of_the_stages_that_take_one() -> None:
    assert grouped.config_types == {"count": Limits}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": ""}, "workflow 'x': version ''"),
        ({"version": 3}, "workflow 'x': version 3"),
        ({"version": "1", "queue": "a/b"}, "workflow 'x': queue 'a/b'"),
        ({"version": "1", "priority": 1.5}, "workflow 'x': priority 1.5"),
        ({"version": "1", "timeout": timedelta(0)}, "workflow 'x': timeout"),
    ],
)
def test_a_wrong_option_is_refused_naming_workflow_and_option(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Workflow("x", **options)


def test_a_malformed_id_is_refused() -> None:
    with pytest.raises(DefinitionError, match="workflow id 'a b' must have"):
        Workflow("a b", version="1")


def test_a_version_must_be_said() -> None:
    begin: Any = Workflow
    with pytest.raises(TypeError, match="version"):
        begin("x")


# -- reading -------------------------------------------------------------------------------------------------------


def test_a_stage_is_found_by_its_id() -> None:
    assert grouped.stage("count") is count


def test_an_unknown_stage_is_not_found_and_the_others_are_named() -> None:
    with pytest.raises(
        NotFoundError, match="workflow 'analysis' has no stage 'cuont'; it has 'extract', 'count', 'tone'"
    ):
        grouped.stage("cuont")


def test_its_text_names_workflow_and_stages() -> None:
    assert repr(grouped) == "<Workflow analysis@3: extract, count, tone>"
    assert repr(empty) == "<Workflow analysis@3: no stages>"
