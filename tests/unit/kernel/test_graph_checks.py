"""What a graph is refused for, at the line that makes the mistake, and which joins are taken."""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Union

import attrs
import pytest

from mainspring.kernel.definition import Workflow
from mainspring.kernel.graph_checks import shown
from mainspring.ports.errors import DefinitionError
from tests.unit.kernel.bodies import Text, announce, anything, count, extract, split, taking_and_giving, tone

empty = Workflow("analysis", version="3")
extracted = empty.pipe(extract)
grouped = extracted.parallel(count, tone)


class Loose(TypedDict, total=False):
    count: float
    tone: str
    author: str


@attrs.frozen
class Joined:
    count: int
    tone: str | None
    author: str = ""


@pytest.mark.parametrize("taken", [Any, object, dict, dict[str, Any], dict[str, int | str], Loose, Joined])
def test_a_join_may_be_a_mapping_or_a_class_with_the_stages_as_fields(taken: Any) -> None:
    assert grouped.pipe(taking_and_giving("join", taken, str)).plan.outputs == ("join",)


@attrs.frozen
class Misspelt:
    cuont: int
    tone: str


@attrs.frozen
class TooSmall:
    count: int


@attrs.frozen
class WrongType:
    count: str
    tone: str


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        (Misspelt, r"stage 'join': Misspelt requires 'cuont', but receives the outputs of 'count', 'tone'; rename"),
        (TooSmall, r"stage 'join': TooSmall has no field for the output of 'tone'; add one"),
        (WrongType, r"stage 'join': WrongType.count takes str but 'count' gives int; change one"),
        (dict[str, int], r"takes dict\[str, int\] but receives a mapping .* 'count', 'tone'"),
        (str, r"takes str but receives a mapping"),
    ],
)
def test_a_join_that_cannot_take_the_outputs_is_refused(taken: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        grouped.pipe(taking_and_giving("join", taken, str))


def test_a_stage_that_cannot_take_what_comes_before_is_refused() -> None:
    takes_text = taking_and_giving("report", str, str)
    with pytest.raises(
        DefinitionError, match=r"workflow 'analysis' stage 'report': takes str but 'extract' gives Text; change one"
    ):
        extracted.pipe(takes_text)


def test_a_stage_before_one_that_was_added_already_is_checked_too() -> None:
    workflow = empty.add(taking_and_giving("report", str, str), after="extract").add(extract)
    with pytest.raises(DefinitionError, match=r"stage 'report': takes str but 'extract' gives Text"):
        _ = workflow.plan


def test_a_mapped_stage_after_what_is_no_list_is_refused() -> None:
    with pytest.raises(
        DefinitionError, match=r"'count': is mapped over list\[Text\] but 'extract' gives Text; let that"
    ):
        extracted.add(count, after=extract, mapped=True)


def test_a_mapped_stage_that_cannot_take_the_elements_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"'double': is mapped over list\[int\] but 'split' gives list\[Text\]"):
        empty.pipe(split).map(taking_and_giving("double", int, int))


def test_a_mapped_stage_after_a_parallel_group_is_refused() -> None:
    with pytest.raises(DefinitionError, match="is mapped over the outputs of 'count', 'tone', which are no list"):
        grouped.add(anything, after=[count, tone], mapped=True)


@pytest.mark.fault(86)
def test_one_id_twice_is_refused_and_named_is_the_cure() -> None:
    with pytest.raises(DefinitionError, match=r"'tone': the id is used twice; .*stage.named\(…\)"):
        grouped.add(tone, after=extract)
    assert "tone-again" in grouped.add(tone.named("tone-again"), after=extract).plan.stages


def test_one_stage_twice_in_a_group_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'count': the id is used twice"):
        extracted.parallel(count, count)


def test_an_unknown_upstream_is_refused_with_both_ids_and_those_there_are() -> None:
    with pytest.raises(
        DefinitionError, match=r"stage 'count': `after` names 'extrakt', no stage of this workflow; there are 'extract'"
    ):
        _ = extracted.add(count, after="extrakt").plan


def test_a_stage_after_itself_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'count' comes after itself"):
        empty.add(count, after="count")


def test_an_upstream_named_twice_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'count': `after` names 'extract' twice"):
        extracted.add(count, after=[extract, "extract"])


def test_a_circle_is_refused_with_its_stages() -> None:
    circle = empty.add(anything.named("a"), after="b").add(anything.named("b"), after="a")
    with pytest.raises(DefinitionError, match=r"in a circle: '(a|b)' -> '(a|b)' -> '(a|b)'; take one"):
        _ = circle.plan
    with pytest.raises(DefinitionError, match="go in a circle"):
        circle.pipe(announce)


def test_a_workflow_without_stages_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"workflow 'analysis' has no stages: begin with .pipe"):
        _ = empty.plan


def test_a_group_of_one_is_refused() -> None:
    group: Any = extracted.parallel
    with pytest.raises(DefinitionError, match=r"parallel\(…\) takes two stages or more"):
        group(count)


def test_500_stages_are_accepted_and_501_are_not() -> None:
    names = [anything.named(f"s{number}") for number in range(501)]
    workflow = empty.parallel(names[0], *names[1:500])
    assert len(workflow.plan.stages) == 500
    with pytest.raises(DefinitionError, match="has 501 stages: at most 500"):
        workflow.pipe(names[500])


@pytest.mark.parametrize("bound", [0, -1, 1025, 1.5, True, "4"])
def test_max_parallel_is_an_int_from_1_to_1024(bound: Any) -> None:
    with pytest.raises(DefinitionError, match=r"max_parallel=.* must be an int from 1 to 1024"):
        empty.pipe(split).map(count, max_parallel=bound)


def test_max_parallel_belongs_to_mapped_stages() -> None:
    with pytest.raises(DefinitionError, match="max_parallel bounds a mapped stage's instances"):
        empty.add(count, max_parallel=2)


def test_a_function_that_is_no_stage_is_refused() -> None:
    function: Any = count.body
    with pytest.raises(DefinitionError, match="is no stage: decorate the function with @stage"):
        empty.pipe(function)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Text, "Text"),
        (None.__class__, "None"),
        (Text | None, "Text | None"),
        (Union[Text, None], "Text | None"),  # noqa: UP007  the old spelling is another class
        (list[Text | None], "list[Text | None]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Sequence[dict[str, Any]], "Sequence[dict[str, Any]]"),
        (Literal["a"], "Literal['a']"),
        (Any, "Any"),
        (list, "list"),
    ],
)
def test_messages_call_types_as_they_are_written(kind: Any, expected: str) -> None:
    assert shown(kind) == expected
