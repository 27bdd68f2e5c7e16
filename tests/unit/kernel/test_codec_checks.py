"""What is asked of the codec when a workflow is registered."""

from typing import Any

import attrs
import pytest

from mainspring.kernel.definition import Workflow
from mainspring.ports.errors import DefinitionError
from mainspring.ports.names import Payload
from tests.unit.kernel.bodies import Document, Limits, Text, anything, count, extract, taking_and_giving


class Opaque:
    pass


@attrs.define
class Judge:
    """A codec that only judges types: it knows no ``Opaque``, and takes one class for another as told."""

    takes: bool
    asked: list[tuple[Any, Any]] = attrs.field(factory=list[tuple[Any, Any]])
    described: list[Any] = attrs.field(factory=list[Any])

    def encode(self, value: Any, subject: str = "value") -> Payload:
        raise AssertionError

    def decode(self, text: Payload, kind: Any, subject: str = "value") -> Any:
        raise AssertionError

    def schema(self, kind: Any) -> dict[str, Any]:
        self.described.append(kind)
        if kind is Opaque:
            raise DefinitionError("Opaque cannot be encoded; use an attrs class")
        return {}

    def accepts(self, target: Any, source: Any) -> bool:
        self.asked.append((target, source))
        return self.takes


def test_every_input_output_and_config_type_must_have_a_schema() -> None:
    judge = Judge(takes=True)
    Workflow("x", version="1").pipe(extract).pipe(count).check(judge)
    assert judge.described == [Document, Text, Text, int, Limits]


def test_only_undecided_pairs_are_asked_about() -> None:
    judge = Judge(takes=True)
    Workflow("x", version="1").pipe(extract).pipe(count).check(judge)
    assert judge.asked == []
    Workflow("x", version="1").pipe(extract).pipe(taking_and_giving("read", Document, str)).check(judge)
    assert judge.asked == [(Document, Text)]


def test_every_problem_is_told_one_per_line() -> None:
    workflow = (
        Workflow("x", version="1")
        .pipe(extract)
        .pipe(taking_and_giving("read", Document, Opaque))
        .pipe(taking_and_giving("write", Opaque, str))
    )
    with pytest.raises(DefinitionError) as caught:
        workflow.check(Judge(takes=False))
    output, input_, pair = str(caught.value).splitlines()
    assert output == "workflow 'x' stage 'read': output: Opaque cannot be encoded; use an attrs class"
    assert input_ == "workflow 'x' stage 'write': input: Opaque cannot be encoded; use an attrs class"
    assert pair.startswith("workflow 'x' stage 'read': takes Document but 'extract' gives Text; change one")


def test_a_circle_is_found_before_the_codec_is_asked() -> None:
    circle = Workflow("x", version="1").add(anything.named("a"), after="b").add(anything.named("b"), after="a")
    with pytest.raises(DefinitionError, match="circle"):
        circle.check(Judge(takes=True))


def test_an_undecided_join_is_asked_about_field_by_field() -> None:
    judge = Judge(takes=True)
    join = taking_and_giving("join", Pair, str)
    Workflow("x", version="1").parallel(extract, extract.named("other")).pipe(join).check(judge)
    assert judge.asked == [(Document, Text)]


@attrs.frozen
class Pair:
    extract: Text
    other: Document
