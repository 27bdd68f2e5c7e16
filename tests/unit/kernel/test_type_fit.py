"""Whether types fit: every rule, in its three answers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import GenericAlias
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, TypedDict, TypeVar, Union

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from mainspring.kernel.type_fit import Verdict, every, fits, kind_of, some

T = TypeVar("T")


@attrs.frozen
class Animal:
    name: str


@attrs.frozen
class Dog(Animal):
    breed: str


@dataclass
class Robot:
    name: str


class Shape(msgspec.Struct):
    sides: int


class Point(msgspec.Struct, array_like=True):
    x: int


class Named(TypedDict):
    name: str


class Tagged(TypedDict):
    name: str
    tag: NotRequired[int]


class Counted(TypedDict):
    name: int


class Empty(TypedDict):
    pass


class Colour(StrEnum):
    RED = "red"


@attrs.frozen
class Page(Generic[T]):
    items: list[T]


class Box(Generic[T]):
    pass


class Plain:
    pass


UserName = NewType("UserName", str)
Names = TypeAliasType("Names", list[str])

FITS: list[tuple[Any, Any]] = [
    (str, str),
    (Any, Animal),
    (object, Animal),
    (Animal, Any),
    (Animal, object),
    (None, type(None)),
    (float, int),
    (Animal, Dog),
    (str, Colour),
    (Union[Animal, None], Dog),  # noqa: UP007  the old spelling is another class
    (str | None, None),
    (int | str, str | int),
    (str, UserName),
    (str, Annotated[str, "short"]),
    (Annotated[str, "short"], str),
    (Names, list[str]),
    (list[str], Names),
    (list, list[int]),
    (list[Any], list),
    (list[Animal], list[Dog]),
    (list[float], list[int]),
    (Sequence[Animal], list[Dog]),
    (Collection[int], set[int]),
    (Iterable[str], tuple[str, ...]),
    (tuple[int, ...], tuple[int, int]),
    (tuple[int, float], tuple[int, int]),
    (dict[str, Animal], dict[str, Dog]),
    (Mapping[str, float], dict[str, int]),
    (dict, dict[str, int]),
    (dict[str, Any], Named),
    (Tagged, Named),
    (Mapping[str, str | int], Tagged),
    (Page[int], Page[int]),
    (str, Literal["a"]),
    (str | int, Literal["a", 1]),
    (Literal["a", "b"], Literal["a"]),
    (T, str),
]

NEVER_FITS: list[tuple[Any, Any]] = [
    (str, int),
    (int, float),
    (int, str),
    (str, None),
    (str, Animal),
    (Animal, str),
    (Animal, None),
    (Animal, list[Animal]),
    (list[str], str),
    (list[str], dict[str, str]),
    (list[str], list[int]),
    (list[Dog], list[str]),
    (Animal, Animal | None),
    (int | None, str),
    (int | None, int | str),
    (dict[str, int], dict[str, str]),
    (dict[str, int], Named),
    (dict[int, str], Named),
    (tuple[int, int], tuple[int, int, int]),
    (tuple[int, str], list[Animal]),
    (Tagged, Counted),
    (Named, Empty),
    (Literal["a"], Literal["b"]),
    (Literal[1], Literal[True]),
    (Literal["a"], int),
    (int, Literal["a"]),
    (Shape, str),
    (Shape, list[int]),
]

UNDECIDED: list[tuple[Any, Any]] = [
    (Animal, Robot),
    (Dog, Animal),
    (Animal, dict[str, str]),
    (Named, Animal),
    (Animal, Named),
    (Named, Tagged),
    (dict[str, str], Animal),
    (Colour, str),
    (str, datetime),
    (datetime, str),
    (date, datetime),
    (int, bool),
    (Decimal, float),
    (list[int], tuple[int, ...]),
    (set[str], list[str]),
    (tuple[int, int], list[int]),
    (tuple[int, int], tuple[int, ...]),
    (str, Box[Annotated[int, []]]),
    (Page[int], Page[str]),
    (Plain, str),
    (Point, list[int]),
    (Literal["a"], str),
    (Plain | None, str),
]


@pytest.mark.parametrize(("target", "source"), FITS)
def test_these_fit(target: Any, source: Any) -> None:
    assert fits(target, source) is True


@pytest.mark.parametrize(("target", "source"), NEVER_FITS)
def test_these_provably_do_not_fit(target: Any, source: Any) -> None:
    assert fits(target, source) is False


@pytest.mark.parametrize(("target", "source"), UNDECIDED)
def test_these_are_left_to_the_codec(target: Any, source: Any) -> None:
    assert fits(target, source) is None


def test_a_typed_dict_that_may_lack_what_another_requires_does_not_fit() -> None:
    class Required(TypedDict):
        name: str
        tag: int

    assert fits(Required, Tagged) is False


def test_every_is_as_sure_as_its_worst() -> None:
    assert every([]) is True
    assert every([True, None]) is None
    assert every([True, None, False]) is False


def test_some_is_as_sure_as_its_best() -> None:
    assert some([]) is False
    assert some([False, None]) is None
    assert some([False, None, True]) is True


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        *((kind, "object") for kind in (Animal, Page[int], Shape, Robot, Named, dict)),
        *((kind, "number") for kind in (int, float)),
        *((kind, "array") for kind in (list, tuple[int, ...], Names)),
        *((kind, None) for kind in (Point, Colour, Plain, datetime)),
        (bool, "boolean"),
        (None, "null"),
    ],
)
def test_the_kind_of_json_value_of_a_type(kind: Any, expected: str | None) -> None:
    assert kind_of(kind) == expected


scalars = st.sampled_from([str, int, float, bool, type(None), datetime, Animal, Dog, Robot, Named, Tagged, Colour])
kinds: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: (
        inner.map(lambda kind: GenericAlias(list, kind)) | inner.map(lambda kind: GenericAlias(dict, (str, kind)))
    ),
    max_leaves=4,
)


@given(kinds)
def test_every_type_fits_itself(kind: Any) -> None:
    assert fits(kind, kind) is True


@given(kinds, kinds)
def test_lists_fit_as_their_elements_do(target: Any, source: Any) -> None:
    assert fits(GenericAlias(list, target), GenericAlias(list, source)) is fits(target, source)


@given(kinds, kinds)
def test_what_fits_also_fits_an_optional(target: Any, source: Any) -> None:
    verdict: Verdict = fits(target, source)
    assert fits(target | None, source) is some((verdict, fits(type(None), source)))
