"""What cannot be encoded, and what the user is told about it."""

import asyncio
import dataclasses
import enum
import functools
import sys
from collections import OrderedDict, defaultdict, deque
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.ports.errors import InvalidValueError

CODEC = MsgspecCodec()


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Ratio(float):
    pass


class Odd(enum.Enum):
    HALF = 0.5


@attrs.frozen
class Private:
    name: str
    _secret: str = "x"


@attrs.frozen
class Computed:
    name: str
    length: int = attrs.field(init=False, default=0)


@dataclasses.dataclass
class Counted:
    name: str
    length: int = dataclasses.field(init=False, default=0)


@attrs.define(slots=False)
class Open:
    name: str


@attrs.frozen
class Box:
    content: Any


NAIVE = datetime(2020, 1, 1)  # noqa: DTZ001
ITSELF: list[Any] = []
ITSELF.append([ITSELF])


def _alone(value: Any) -> Any:
    return value


def _within(value: Any) -> Any:
    return {"x": [1, value]}


async def _late() -> int:
    return 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (NAIVE, "naive datetime … give it a time zone"),
        (datetime(2020, 1, 1, tzinfo=timezone(timedelta(seconds=30))), "no whole number of minutes"),
        (datetime(1800, 1, 1, tzinfo=ZoneInfo("Europe/Paris")), "convert it to UTC"),
        (time(9, tzinfo=ZoneInfo("Europe/Paris")), "unknown without a date"),
        (float("nan"), "the float is nan"),
        (float("-inf"), "the float is -inf"),
        (Decimal("NaN"), "the Decimal is NaN"),
        (Decimal("sNaN"), "the Decimal is sNaN"),
        ("a\0b", "NUL"),
        ("\udc80", "lone surrogate"),
        (10**4300, "more than 4,300 digits"),
        (-(10**5000), "more than 4,300 digits"),
        (Text("x"), "`test_refusals.Text` is a subclass of str"),
        (Number(1), "subclass of int"),
        (Ratio(1.0), "subclass of float"),
        (Odd.HALF, "neither a str nor an int"),
        (1 + 2j, "`complex` cannot be encoded"),
        (object(), "`object` cannot be encoded"),
        (Path("/tmp"), "pass str(path)"),
        (ValueError("x"), "pass str(error)"),
        (memoryview(b"x"), "pass bytes(…)"),
        (range(3), "pass list(…)"),
        (deque([1]), "pass list(…)"),
        (int, "pass its name"),
        (print, "cannot be encoded"),
        (msgspec.Raw(b"{"), "cannot be encoded"),
        ({1, "a"}, "no canonical form"),
        ({1: 2}, "a key is of type `int`"),
        ({"a\0": 1}, "in the key: it contains a NUL"),
        ({"\ud800": 1}, "in the key: it contains a lone surrogate"),
        (ITSELF, "the value contains itself"),
        (Private("x"), "the field `_secret` is private and would be lost; name it `secret`"),
        (Computed("x"), "the field `length` is not set by __init__"),
        (Counted("x"), "the field `length` is not set by __init__"),
    ],
    ids=lambda part: type(part).__name__ if not isinstance(part, str) else None,
)
@pytest.mark.parametrize("wrap", [_alone, _within, Box])
def test_it_is_refused_wherever_it_stands(value: Any, message: str, wrap: Any) -> None:
    with pytest.raises(InvalidValueError) as caught:
        CODEC.encode(wrap(value))
    assert message.replace("test_refusals", __name__) in str(caught.value)


def test_the_path_leads_to_the_part() -> None:
    value = {"items": [1, 2, 3, {"when": NAIVE}], "odd key": (Box(NAIVE), {"a.b": NAIVE})}
    with pytest.raises(InvalidValueError) as caught:
        CODEC.encode(value, "input")
    assert str(caught.value) == (
        "invalid input: $.items[3].when: naive datetime … give it a time zone; "
        '$["odd key"][0].content: naive datetime … give it a time zone; '
        '$["odd key"][1]["a.b"]: naive datetime … give it a time zone'
    )


def test_a_forgotten_await_is_named() -> None:
    coroutine = _late()
    with pytest.raises(InvalidValueError, match="it is a coroutine; await it"):
        CODEC.encode({"result": coroutine})
    asyncio.run(coroutine)


def test_at_most_fifty_problems_are_told() -> None:
    with pytest.raises(InvalidValueError) as caught:
        CODEC.encode([object() for _ in range(1000)])
    assert len(caught.value.problems) == 50


def test_a_text_that_looks_like_a_naive_datetime_or_an_escape_is_only_a_text() -> None:
    for text in ("2020-01-01T00:00:00", "NaN", "Infinity", "\\u0000", "null"):
        assert CODEC.decode(CODEC.encode([text, 1.5]), list[str | float]) == [text, 1.5]


def test_dict_and_list_subclasses_come_back_as_plain_ones() -> None:
    counts: dict[str, int] = defaultdict(int, a=1)
    assert CODEC.encode([OrderedDict(b=1, a=2), counts]) == '[{"a":2,"b":1},{"a":1}]'
    assert CODEC.encode([OrderedDict(b=1, a=2), datetime(2020, 1, 1, tzinfo=UTC)]).startswith('[{"a":2,"b":1}')


def test_an_attribute_that_is_no_field_is_refused() -> None:
    value: Any = Open("x")
    value.later = 5
    with pytest.raises(InvalidValueError, match="the attribute `later` is no field"):
        CODEC.encode([value])


@attrs.define
class Word:
    text: str

    @functools.cached_property
    def length(self) -> int:
        return len(self.text)


@attrs.define(slots=False)
class OpenWord:
    text: str

    @functools.cached_property
    def length(self) -> int:
        return len(self.text)


@pytest.mark.parametrize("kind", [Word, OpenWord])
def test_a_cached_property_is_left_out(kind: type[Word] | type[OpenWord]) -> None:
    word = kind("abc")
    before = CODEC.encode({"words": [word]})
    assert word.length == 3
    assert CODEC.encode({"words": [word]}) == before
    assert CODEC.decode(CODEC.encode(word), kind) == word


def test_a_class_without_fields_is_an_empty_object() -> None:
    @attrs.frozen
    class Nothing:
        pass

    assert CODEC.encode(Nothing()) == "{}"
    assert CODEC.decode(CODEC.encode(Nothing()), Nothing) == Nothing()


def test_int_digits_are_limited_even_if_python_is_told_not_to() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(InvalidValueError, match="more than 4,300 digits"):
            CODEC.encode(10**5000)
        assert CODEC.encode("9" * 5000) == f'"{"9" * 5000}"'
    finally:
        sys.set_int_max_str_digits(before)


def test_deep_values_of_classes_are_refused_at_the_limit() -> None:
    value: Any = 1
    for _ in range(64):
        value = Box(value)
    assert CODEC.encode(value).count("{") == 64
    with pytest.raises(InvalidValueError, match="nested deeper than 64"):
        CODEC.encode(Box(value))
