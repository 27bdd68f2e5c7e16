"""Whether one type can be handed to another: what graphs are checked with."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import attrs
import msgspec
import pytest

from mainspring.adapters.msgspec import MsgspecCodec

CODEC = MsgspecCodec()


class Colour(StrEnum):
    RED = "red"


class Warm(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


@attrs.frozen
class Animal:
    name: str


@attrs.frozen
class Dog(Animal):
    breed: str


@dataclasses.dataclass
class Robot:
    name: str


@attrs.frozen
class Numbered:
    name: int


@attrs.frozen
class Optional:
    name: str
    tag: str | None = None


@attrs.frozen
class Node:
    name: str
    next: "Node | None" = None


@attrs.frozen
class Link:
    name: str
    next: "Link | None" = None


class Named(TypedDict):
    name: str


class Tagged(TypedDict):
    name: str
    tag: NotRequired[str]


class Place(NamedTuple):
    x: int
    y: int = 0


class Cat(msgspec.Struct, tag="cat"):
    name: str


class Cow(msgspec.Struct, tag="cow"):
    name: str


class Opaque:
    pass


@pytest.mark.parametrize(
    ("target", "source"),
    [
        (Animal, Animal),
        (Any, Animal),
        (Animal, Any),
        (object, int),
        (Animal, Dog),
        (Animal, Robot),
        (Robot, Animal),
        (Named, Animal),
        (Animal, Named),
        (Optional, Animal),
        (Tagged, Named),
        (Node, Link),
        (float, int),
        (Decimal, int),
        (str | None, str),
        (str | None, None),
        (int | str | None, str | int),
        (list[Animal], list[Dog]),
        (list[float], list[int]),
        (Sequence[int], list[int]),
        (set[str], list[str]),
        (tuple[int, ...], list[int]),
        (tuple[int, int], list[int]),
        (list[int], tuple[int, int]),
        (Place, tuple[int]),
        (tuple[int, int], Place),
        (dict[str, Any], Animal),
        (dict[str, str], Animal),
        (Animal, dict[str, str]),
        (Mapping[str, float], dict[str, int]),
        (list, list[int]),
        (list[int], list),
        (str, Colour),
        (Colour, str),
        (int, Level),
        (str, Literal["a"]),
        (Literal["a", "b"], Literal["b"]),
        (Colour, Literal["red"]),
        (Annotated[int, msgspec.Meta(ge=1)], int),
        (int, Annotated[int, msgspec.Meta(ge=1)]),
        (Opaque, Animal),
        (Animal, Opaque),
        ("Nowhere", int),
    ],
)
def test_it_may_fit(target: Any, source: Any) -> None:
    assert CODEC.accepts(target, source)


@pytest.mark.parametrize(
    ("target", "source"),
    [
        (str, int),
        (int, str),
        (int, float),
        (int, bool),
        (str, datetime),
        (datetime, str),
        (datetime, date),
        (str, str | None),
        (int | str, int | None),
        (None, int),
        (Animal, Numbered),
        (Animal, str),
        (str, Animal),
        (Dog, Animal),
        (Animal, Optional),
        (Animal, dict[str, int]),
        (dict[str, int], Animal),
        (list[int], int),
        (list[int], list[str]),
        (list[int], dict[str, int]),
        (dict[str, int], dict[str, str]),
        (dict[str, int], list[int]),
        (tuple[int, int], tuple[int, int, int]),
        (tuple[int, int], list[str]),
        (Place, tuple[str]),
        (Colour, Warm),
        (Literal["a"], Literal["b"]),
        (Colour, Literal["blue"]),
        (Literal["a"], int),
        (int, Literal["a"]),
        (Cat, Cow),
        (list[Animal], list[Numbered]),
    ],
)
def test_it_provably_does_not_fit(target: Any, source: Any) -> None:
    assert not CODEC.accepts(target, source)
