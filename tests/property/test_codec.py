"""The codec brings back exactly what it took, for every type it accepts, and refuses the rest with a typed error."""

import dataclasses
import enum
import json
import math
import string
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.adapters.msgspec.finding import is_array, is_object
from mainspring.ports.errors import InvalidValueError, Problem
from mainspring.ports.names import Payload

CODEC = MsgspecCodec()


class Colour(enum.StrEnum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Sort(enum.Enum):
    ONE = "one"
    TWO = "two"


class Place(NamedTuple):
    x: int
    y: float


class Options(TypedDict):
    name: str
    size: NotRequired[int]


class Tagged(msgspec.Struct, tag="tagged", rename="camel", frozen=True):
    some_text: str
    some_bytes: bytes = b""


@dataclasses.dataclass
class Line:
    sku: str
    price: Decimal
    due: date | None = None


@attrs.frozen
class Everything:
    text: str
    number: int
    ratio: float
    flag: bool
    nothing: None
    at: datetime
    opening: time
    length: timedelta
    amount: Decimal
    id: UUID
    content: bytes
    colour: Colour
    level: Level
    sort: Sort
    place: Place
    pair: tuple[int, str]
    several: tuple[bool, ...]
    names: set[str]
    lines: list[Line]
    options: Options
    tagged: Tagged
    by_name: dict[str, Line]
    maybe: int | str | None
    anything: Any
    parent: "Everything | None" = None


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
huge = st.sampled_from([sign * (10**digits - 1) for digits in (19, 20, 400, 4299, 4300) for sign in (1, -1)])
integers = st.integers()
floats = st.floats(allow_nan=False, allow_infinity=False)
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(timezones=st.just(UTC) | offsets)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=10,
)
lines = st.builds(Line, texts, decimals, st.none() | st.dates())
options = st.fixed_dictionaries({"name": texts}, optional={"size": integers})
everything = st.builds(
    Everything,
    text=texts,
    number=integers,
    ratio=floats,
    flag=st.booleans(),
    nothing=st.none(),
    at=moments,
    opening=st.times(),
    length=st.timedeltas(),
    amount=decimals,
    id=st.uuids(),
    content=st.binary(max_size=20),
    colour=st.sampled_from(Colour),
    level=st.sampled_from(Level),
    sort=st.sampled_from(Sort),
    place=st.builds(Place, integers, floats),
    pair=st.tuples(integers, texts),
    several=st.lists(st.booleans(), max_size=3).map(tuple),
    names=st.sets(texts, max_size=2),
    lines=st.lists(lines, max_size=2),
    options=options,
    tagged=st.builds(Tagged, texts, st.binary(max_size=5)),
    by_name=st.dictionaries(texts, lines, max_size=2),
    maybe=st.none() | texts | integers,
    anything=plain,
)

KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Any, plain),
    (object, plain),
    (None, st.none()),
    (bool, st.booleans()),
    (int, integers),
    (int, huge),
    (list[Any], st.lists(huge, max_size=2)),
    (Place, st.builds(Place, huge, floats)),
    (float, floats),
    (str, texts),
    (datetime, moments),
    (date, st.dates()),
    (time, st.times() | st.times(timezones=st.just(UTC) | offsets)),
    (timedelta, st.timedeltas()),
    (Decimal, decimals),
    (UUID, st.uuids()),
    (bytes, st.binary()),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Sort, st.sampled_from(Sort)),
    (Line, lines),
    (Options, options),
    (Tagged, st.builds(Tagged, texts, st.binary(max_size=5))),
    (Place, st.builds(Place, integers, floats)),
    (tuple[int, str], st.tuples(integers, texts)),
    (set[int], st.sets(st.integers())),
    (frozenset[str], st.frozensets(texts)),
    (list[dict[str, list[datetime]]], st.lists(st.dictionaries(texts, st.lists(moments, max_size=3), max_size=3))),
    (dict[Colour, int], st.dictionaries(st.sampled_from(Colour), st.integers())),
    (int | str | None, st.integers() | texts | st.none()),
    (Everything, everything),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind)[:40] for kind, _ in KINDS])
@given(data=st.data())
@settings(max_examples=50)
def test_a_value_comes_back_exactly(kind: Any, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    value = data.draw(values)
    text = CODEC.encode(value)
    assert _same(CODEC.decode(text, kind), value)


@given(plain)
def test_plain_values_come_back_with_the_same_types_and_signs(value: Any) -> None:
    assert repr(CODEC.decode(CODEC.encode(value), Any)) == repr(_sorted(value))


@given(everything)
@settings(max_examples=50)
def test_encoding_what_was_decoded_gives_the_same_text(value: Everything) -> None:
    text = CODEC.encode(value)
    assert CODEC.encode(CODEC.decode(text, Everything)) == text


@given(st.dictionaries(texts, plain), st.randoms(use_true_random=False))
def test_equal_values_give_equal_text_whatever_their_order(value: dict[str, Any], dice: Any) -> None:
    keys = list(value)
    dice.shuffle(keys)
    assert CODEC.encode({key: value[key] for key in keys}) == CODEC.encode(value)


@given(lines)
def test_a_class_and_the_mapping_of_its_fields_give_the_same_text(line: Line) -> None:
    mapping = {"due": line.due, "price": line.price, "sku": line.sku}
    assert CODEC.encode(line) == CODEC.encode(mapping)


@given(plain)
def test_the_text_has_no_white_space_outside_strings_and_sorted_keys(value: Any) -> None:
    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key.encode() for key, _ in pairs]
        assert keys == sorted(keys)
        return dict(pairs)

    text = CODEC.encode(value)
    json.loads(text, object_pairs_hook=checked)
    assert msgspec.json.format(text, indent=-1) == text


@given(st.text(max_size=200) | st.text(string.digits + '[]{}",:.eE+- \\untrfalsNIi', max_size=60))
def test_any_text_decodes_or_is_refused_with_a_typed_error(text: str) -> None:
    for kind in (Any, int, Line, list[Line], datetime | int, dict[str, Decimal]):
        problems: tuple[Problem, ...] = ()
        try:
            value = CODEC.decode(Payload(text), kind)
        except InvalidValueError as error:
            problems = error.problems
            assert problems
        else:
            assert _same(CODEC.decode(CODEC.encode(value), kind), value)
        assert all(problem.path.startswith("$") and problem.message for problem in problems)


broken = st.sampled_from(
    [math.nan, math.inf, -math.inf, "a\0b", "\ud800", datetime(2020, 1, 1), Decimal("NaN"), Decimal("-Infinity")]  # noqa: DTZ001
) | st.builds(object)


@given(st.lists(st.tuples(plain, st.none() | broken), min_size=1, max_size=10))
def test_every_unsound_part_is_refused_with_its_path(parts: list[tuple[Any, Any]]) -> None:
    value = {"items": [{"good": good, "bad": bad} for good, bad in parts]}
    expected = [f"$.items[{index}].bad" for index, (_, bad) in enumerate(parts) if bad is not None]
    if not expected:
        CODEC.encode(value)
        return
    with pytest.raises(InvalidValueError) as caught:
        CODEC.encode(value, "output")
    assert [problem.path for problem in caught.value.problems] == expected
    assert caught.value.subject == "output"


@given(st.lists(plain, min_size=1, max_size=3), st.lists(st.sampled_from(["list", "dict"]), max_size=70))
@settings(max_examples=50)
def test_the_limit_of_depth_is_the_same_in_both_directions(inner: list[Any], shells: list[str]) -> None:
    value: Any = 1
    for shell in shells:
        value = [value] if shell == "list" else {"a": value}
    text = Payload(msgspec.json.encode(value).decode())
    if len(shells) <= 64:
        assert CODEC.decode(CODEC.encode(value), Any) == value
        return
    for refused in (lambda: CODEC.encode(value), lambda: CODEC.decode(text, Any)):
        with pytest.raises(InvalidValueError, match="nested deeper than 64"):
            refused()


def _same(one: Any, other: Any) -> bool:
    """Equal, of the same type, and, as the text shows, with the same signs, scales and offsets."""
    return type(one) is type(other) and bool(one == other) and CODEC.encode(one) == CODEC.encode(other)


def _sorted(value: Any) -> Any:
    if is_object(value):
        return {key: _sorted(value[key]) for key in sorted(value, key=str.encode)}
    if is_array(value):
        return [_sorted(element) for element in value]
    return value
