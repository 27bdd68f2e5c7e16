"""The fields of classes, by their names in JSON."""

import dataclasses
from typing import Any, Generic, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
import pytest

from mainspring.kernel.fields import Field, fields_of

T = TypeVar("T")

EXPECTED = {"title": Field(str, True), "pages": Field(int, False)}


@attrs.frozen
class AttrsBook:
    title: str
    pages: int = 0
    seen: bool = attrs.field(init=False, default=False)


@dataclasses.dataclass
class DataBook:
    title: str
    pages: int = 0


@dataclasses.dataclass
class FactoryBook:
    title: str
    pages: int = dataclasses.field(default_factory=int)


@attrs.frozen
class Page(Generic[T]):
    books: list[T]


class DictBook(TypedDict):
    title: str
    pages: NotRequired[int]


class StructBook(msgspec.Struct):
    title: str
    pages: int = 0


class KeywordStructBook(msgspec.Struct, kw_only=True):
    pages: int = 0
    title: str


class RenamedBook(msgspec.Struct, rename={"name": "title", "count": "pages"}):
    name: str
    count: int = 0


@pytest.mark.parametrize(
    "kind", [AttrsBook, DataBook, FactoryBook, DictBook, StructBook, KeywordStructBook, RenamedBook]
)
def test_fields_have_their_json_names_types_and_whether_they_are_required(kind: Any) -> None:
    assert fields_of(kind) == EXPECTED


@pytest.mark.parametrize("kind", [str, int, list, list[int], dict[str, int], None, Any, object, int | None, Page[int]])
def test_what_is_no_class_of_fields_has_none(kind: Any) -> None:
    assert fields_of(kind) is None


def test_a_field_whose_type_cannot_be_resolved_is_any() -> None:
    @attrs.frozen
    class Shelf:
        book: Any

    Shelf.__annotations__["book"] = "Missing"
    assert fields_of(Shelf) == {"book": Field(Any, True)}
