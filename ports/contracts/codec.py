"""The suite of Codec: exact or refused, with the path; the same text for the same value."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, TypedDict

import attrs

from mainspring.ports.codec import Codec, Limits
from mainspring.ports.errors import DefinitionError, InvalidValueError
from mainspring.ports.names import Payload


class Colour(Enum):
    """Enums travel by value."""

    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Item:
    """An attrs class."""

    name: str
    price: Decimal = Decimal(0)


@attrs.frozen
class Order:
    """A nested attrs class."""

    id: int
    items: list[Item] = attrs.field(factory=list[Item])
    colour: Colour | None = None


@dataclass(frozen=True)
class Point:
    """A dataclass."""

    x: float
    y: float = 0.0


class Person(TypedDict):
    """A typed mapping."""

    name: str
    age: int


@attrs.define
class Secretive:
    """Its private field would be lost or renamed."""

    _hidden: int = 0


@attrs.define
class Derived:
    """Its second field cannot be given back to the constructor."""

    a: int
    b: int = attrs.field(init=False, default=0)


class Opaque:
    """Nothing that a codec knows."""


ROUND_TRIPS: tuple[tuple[Any, Any], ...] = (
    (None, None),
    (True, bool),
    (0, int),
    (-(10**4299), int),
    (2**63, int),
    (0.1, float),
    (-0.0, float),
    (5e-324, float),
    (1.7976931348623157e308, float),
    ("", str),
    ('\u2028 \U0001f680 e\u0301 \x01 \x7f \ufffe "\\/', str),
    (datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), datetime),
    (datetime(1, 1, 2, tzinfo=UTC), datetime),
    (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=5, minutes=30))), datetime),
    (timedelta(days=-3, microseconds=1), timedelta),
    (timedelta(days=40_000, seconds=86_399, microseconds=999_999), timedelta),
    (Decimal("1.10"), Decimal),
    (Decimal("-123456789012345678901234567890.000000000000000000001"), Decimal),
    (b"", bytes),
    (bytes(range(256)), bytes),
    (Colour.BLUE, Colour),
    ([1, 2, 3], list[int]),
    ({"b": [None, 1.5], "a": {}}, dict[str, Any]),
    (Item(name="tea", price=Decimal("2.50")), Item),
    (Order(id=1, items=[Item("a"), Item("b", Decimal(1))], colour=Colour.RED), Order),
    (Point(1.5, -2.0), Point),
    ({"name": "Ada", "age": 36}, Person),
    ([Order(id=1)], list[Order]),
    ({"k": Item("a")}, dict[str, Item]),
)
"""Values with the types they are read as."""

UNENCODABLE: tuple[tuple[Any, str], ...] = (
    (math.nan, "$"),
    ({"a": [1.0, math.inf]}, "$.a[1]"),
    ([{"a": "\x00"}], "$[0].a"),
    (["\ud800"], "$[0]"),
    ({"a": datetime(2026, 1, 1)}, "$.a"),  # noqa: DTZ001  naive on purpose
    ({"a": Opaque()}, "$.a"),
    (Secretive(), "$"),
    (Derived(1), "$"),
    ({1: 2}, "$"),
    ([10**4300], "$[0]"),
)
"""Values that cannot round-trip, with where."""

UNREADABLE: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("", int, ("$",)),
    ("{", Order, ("$",)),
    ("1 2", int, ("$",)),
    ('"1"', int, ("$",)),
    ("true", int, ("$",)),
    ("NaN", float, ("$",)),
    ("[" * 100_000, Any, ("$",)),
    ("9" * 5_000, int, ("$",)),
    ('{"a":1,"a":2}', dict[str, int], ("$",)),
    ('{"id":"x","items":[{"name":1},{"price":"y"}],"colour":"green"}', Order, ("$.id", "$.items[0].name")),
    ('[1,"a",2,"b"]', list[int], ("$[1]", "$[3]")),
)
"""Texts that are not a value of the type, with (some of) the paths that must be named."""


def _refused(call: Callable[[], object]) -> InvalidValueError:
    try:
        answer = call()
    except InvalidValueError as error:
        return error
    raise AssertionError(f"was accepted: {str(answer)[:200]}")


class CodecContract:
    """What everybody who stores a value may rely on."""

    def open(self, limits: Limits) -> Codec:
        """A codec with these limits."""
        raise NotImplementedError

    def test_what_is_accepted_comes_back_exactly(self) -> None:
        codec = self.open(Limits())
        for value, kind in ROUND_TRIPS:
            back = codec.decode(codec.encode(value), kind)
            assert back == value
            assert type(back) is type(value)
            if isinstance(value, float | Decimal):  # equal numbers may still differ: -0.0, 1.10
                assert repr(back) == repr(value)

    def test_equal_values_give_equal_text(self) -> None:
        codec = self.open(Limits())
        assert codec.encode({"b": 1, "a": [True, None]}) == '{"a":[true,null],"b":1}'
        assert codec.encode({"b": 1, "a": 2}) == codec.encode({"a": 2, "b": 1})
        for value, kind in ROUND_TRIPS:
            text = codec.encode(value)
            assert codec.encode(codec.decode(text, kind)) == text
            text.encode()

    def test_what_cannot_round_trip_is_refused_with_its_path(self) -> None:
        codec = self.open(Limits())
        for value, path in UNENCODABLE:
            error = _refused(partial(codec.encode, value, "output"))
            assert error.subject == "output"
            assert error.problems[0].path.startswith(path), f"{value!r}: {error}"

    def test_what_does_not_fit_the_type_is_refused_with_every_path(self) -> None:
        codec = self.open(Limits())
        for text, kind, paths in UNREADABLE:
            error = _refused(partial(codec.decode, Payload(text), kind, "input"))
            assert error.subject == "input"
            found = {problem.path for problem in error.problems}
            assert set(paths) <= found or paths == ("$",), f"{text[:80]!r}: {error}"

    def test_no_more_than_fifty_problems_are_listed(self) -> None:
        codec = self.open(Limits())
        text = Payload("[" + ",".join(['"x"'] * 500) + "]")
        assert len(_refused(lambda: codec.decode(text, list[int])).problems) == 50

    def test_a_value_over_a_limit_is_refused_both_ways(self) -> None:
        wide, tight = self.open(Limits()), self.open(Limits(size=100, depth=3))
        over: list[Any] = ["x" * 100, [[[[]]]], {"a": {"a": {"a": {}}}}]
        within: list[Any] = ["x" * 98, [[[]]]]
        for value in over:
            text = wide.encode(value)
            _refused(partial(tight.encode, value))
            _refused(partial(tight.decode, text, Any))
        for value in within:
            assert tight.decode(tight.encode(value), Any) == value

    def test_a_size_is_counted_in_bytes_and_not_in_characters(self) -> None:
        tight = self.open(Limits(size=10))
        assert tight.encode("\u00e9" * 4)
        _refused(lambda: tight.encode("\u00e9" * 5))

    def test_a_schema_is_told_of_types_that_can_be_encoded(self) -> None:
        codec = self.open(Limits())
        for kind in (int, Order, list[Point], dict[str, Item], Person):
            assert codec.schema(kind)
        try:
            schema = codec.schema(Opaque)
        except DefinitionError:
            return
        raise AssertionError(f"a schema of what cannot be encoded: {schema}")

    def test_types_that_provably_do_not_fit_are_told(self) -> None:
        codec = self.open(Limits())
        for target, source in ((int, str), (list[int], list[str]), (Order, int), (list[int], int)):
            assert not codec.accepts(target, source)

    def test_types_that_fit_or_may_fit_are_accepted(self) -> None:
        codec = self.open(Limits())
        for target, source in (
            (int, int),
            (Any, Order),
            (Order, Any),
            (int | None, int),
            (list[int | str], list[int]),
            (dict[str, Item | None], dict[str, Item]),
            (Order, Order),
        ):
            assert codec.accepts(target, source)
