"""What does not fit its type: every problem with its path."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pytest

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.ports.errors import DefinitionError, InvalidValueError
from mainspring.ports.names import Payload

CODEC = MsgspecCodec()
T = TypeVar("T")
Positive = Annotated[int, msgspec.Meta(ge=1)]


class Colour(StrEnum):
    RED = "red"


@attrs.frozen
class Item:
    sku: str
    count: Positive = attrs.field(validator=attrs.validators.lt(1000))
    colour: Colour = Colour.RED


@attrs.frozen
class Order:
    id: str
    items: list[Item]
    note: str | None = None
    at: datetime | None = None
    extra: dict[str, Decimal] = attrs.field(factory=dict[str, Decimal])


@attrs.frozen
class Special(Order):
    discount: float = 0.0


@attrs.frozen
class Range:
    low: int
    high: int

    def __attrs_post_init__(self) -> None:
        if self.high < self.low:
            raise ValueError("high must not be below low")


@attrs.frozen
class Fragile:
    name: str

    def __attrs_post_init__(self) -> None:
        if self.name == "unknown":
            raise KeyError(self.name)


@dataclasses.dataclass
class Line:
    text: str


class Options(TypedDict):
    depth: int


class Place(NamedTuple):
    x: int
    y: int = 0


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    breed: str


class Point(msgspec.Struct, array_like=True):
    x: int
    y: int


@attrs.frozen
class Node:
    value: int
    children: "tuple[Node, ...]" = ()


@attrs.frozen
class Page(Generic[T]):
    items: list[T]


def problems(text: str, kind: Any) -> list[str]:
    with pytest.raises(InvalidValueError) as caught:
        CODEC.decode(Payload(text), kind, "input")
    assert caught.value.subject == "input"
    return [str(problem) for problem in caught.value.problems]


def test_every_problem_is_told_at_once() -> None:
    text = """{"id": 1, "items": [{"sku": "a", "count": 0}, {"count": "x", "colour": "blue"}, 5],
               "at": "2020-01-01T00:00:00", "extra": {"a": "NaN", "b": true}, "nte": "hello"}"""
    assert problems(text, Order) == [
        "$.id: Expected `str`, got `int`",
        "$.items[0].count: Expected `int` >= 1",
        "$.items[1].sku: the required field is missing",
        "$.items[1].count: Expected `int`, got `str`",
        "$.items[1].colour: Invalid enum value 'blue'",
        "$.items[2]: expected an object, found a number",
        "$.at: naive datetime … give it a time zone",
        "$.extra.a: the Decimal is not a finite number; use null",
        "$.extra.b: Expected `decimal`, got `bool`",
        "$.nte: unknown field; did you mean `note`?",
    ]


def test_at_most_fifty_problems_are_told() -> None:
    assert len(problems("[" + ",".join(["true"] * 1000) + "]", list[int])) == 50


@pytest.mark.parametrize("kind", [Item, Line, Options, Cat])
def test_unknown_fields_are_refused_whatever_the_class(kind: Any) -> None:
    full = {Item: '"sku":"a","count":1', Line: '"text":"a"', Options: '"depth":1', Cat: '"type":"cat","lives":9'}[kind]
    CODEC.decode(Payload("{" + full + "}"), kind)
    assert problems('{"zzz":1,' + full + "}", kind)[0].startswith("$.zzz: unknown field; the type has `")


def test_a_field_that_a_subclass_adds_is_no_mistake() -> None:
    text = CODEC.encode(Special("a", [], discount=0.5))
    assert CODEC.decode(text, Order) == Order("a", [])
    assert CODEC.decode(text, Special).discount == 0.5


def test_keys_that_stand_twice_are_refused() -> None:
    text = '{"id":"a","items":[{"sku":"a","count":1,"sku":"b"}],"id":"b"}'
    assert problems(text, Order) == [
        "$.id: the key stands twice in this object",
        "$.items[0].sku: the key stands twice in this object",
    ]
    assert problems('{"a":1,"\\u0061":2}', Any) == ["$.a: the key stands twice in this object"]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ('[{"sku":"a","count":1000}]', list[Item], ["$[0]: 'count' must be < 1000: 1000"]),
        ('{"low":5,"high":1}', Range, ["$: high must not be below low"]),
        ('[{"low":1,"high":5},{"low":5,"high":1}]', list[Range], ["$[1]: high must not be below low"]),
        (
            '{"value":1,"children":[{"value":2,"children":[{"value":"x"}]}]}',
            Node,
            ["$.children[0].children[0].value: Expected `int`, got `str`"],
        ),
        ('{"items":[1,"x"]}', Page[int], ["$.items[1]: Expected `int`, got `str`"]),
        ("[1]", tuple[int, str], ["$: expected at least 2 elements, found 1"]),
        ('[1,2,"x"]', tuple[int, str], ["$: expected at most 2 elements, found 3", "$[1]: Expected `str`, got `int`"]),
        ('["x"]', Place, ["$[0]: Expected `int`, got `str`"]),
        ("[]", Place, ["$: expected at least 1 elements, found 0"]),
        ('{"x":1}', Place, ["$: expected an array, found an object"]),
        ('[1,"x"]', set[int], ["$[1]: Expected `int`, got `str`"]),
        ("5", list[int], ["$: expected an array, found a number"]),
        ("null", dict[str, int], ["$: expected an object, found null"]),
        ('{"a":"x"}', Mapping[str, int], ["$.a: Expected `int`, got `str`"]),
        ('{"blue":1}', dict[Colour, int], ["$.blue: in the key: Invalid enum value 'blue'"]),
        ("[]", Annotated[list[int], msgspec.Meta(min_length=1)], ["$: expected at least 1 elements, found 0"]),
        ('"x"', Literal["a", "b"], ["$: Invalid enum value 'x'"]),
        ('["x"]', list[int | None], ["$[0]: expected `int` or `none`, found a string"]),
        ('{"a":1}', int | str, ["$: expected `int` or `str`, found an object"]),
        ('[{"sku":1,"count":1}]', list[Item | None], ["$[0].sku: Expected `str`, got `int`"]),
        ('[{"type":"cat","lives":"x"}]', list[Cat | Dog], ["$[0].lives: Expected `int`, got `str`"]),
        ('[{"type":"cow"}]', list[Cat | Dog], ["$[0]: expected `Cat` or `Dog`, found an object"]),
        ('[["x",1]]', list[Point], ["$[0][0]: Expected `int`, got `str`"]),
        ("1", None, ["$: Expected `null`, got `int`"]),
        ("true", int, ["$: Expected `int`, got `bool`"]),
        ("1.5", int, ["$: Expected `int`, got `float`"]),
        ('"AAA"', bytes, ["$: Invalid base64 encoded string"]),
        ('{"sku":"a","count":1}', Any | None, None),
        ("[1,{}]", list[object], None),
    ],
)
def test_problems_name_their_place(text: str, kind: Any, expected: list[str] | None) -> None:
    if expected is None:
        CODEC.decode(Payload(text), kind)
    else:
        assert problems(text, kind) == expected


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('"2020-01-01T00:00:00"', datetime, "naive datetime"),
        ('"2020-01-01T00:00:00.123456"', datetime | None, "naive datetime"),
        ('["2020-01-01T00:00:00Z","2020-01-01T00:00:00"]', list[datetime], "$[1]: naive datetime"),
        ('{"x":"NaN"}', dict[str, Decimal], "$.x: the Decimal is not a finite number"),
        ('"-Infinity"', Decimal, "not a finite number"),
        ('"sNaN12"', Decimal, "not a finite number"),
    ],
)
def test_canonical_text_of_what_is_never_encoded_is_refused_too(text: str, kind: Any, message: str) -> None:
    (problem,) = problems(text, kind)
    assert message in problem


def test_an_error_of_user_code_while_decoding_is_a_problem_too() -> None:
    assert problems('[{"name":"unknown"}]', list[Fragile]) == ["$[0]: 'unknown'"]


@pytest.mark.parametrize(
    "text", ["", " ", "{", "[1,]", "nul", "'a'", "{a:1}", "[1] x", "\ufeff1", "01", '"\x01"', "@run/input/0"]
)
def test_what_is_no_json_is_said_to_be_none(text: str) -> None:
    (problem,) = problems(text, Any)
    assert problem.startswith("$: not JSON: ")


def test_white_space_order_and_short_forms_of_hand_written_text_are_welcome() -> None:
    text = Payload('{ "items": [ {"count": 1, "sku": "a"} ],\n "id": "x", "at": "2020-01-01T00:00:00+00:00" }')
    order = CODEC.decode(text, Order)
    assert (order.id, order.items, order.at.tzinfo is not None) == ("x", [Item("a", 1)], True)
    assert repr(CODEC.decode(Payload(" [1, 2.50] "), list[float])) == "[1.0, 2.5]"


def test_a_type_that_msgspec_cannot_take_is_a_definition_error() -> None:
    with pytest.raises(DefinitionError, match="tags"):
        CODEC.decode(Payload("1"), Item | Line)


def test_types_that_cannot_be_hashed_decode_too() -> None:
    kind = Annotated[int, msgspec.Meta(extra={"unit": "s"}), {"not": "hashable"}]
    assert CODEC.decode(Payload("1"), kind) == 1
