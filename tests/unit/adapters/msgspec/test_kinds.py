"""Which types can be encoded at all, and what they look like as JSON Schema."""

import dataclasses
import enum
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypedDict
from uuid import UUID

import attrs
import msgspec
import pytest

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.adapters.msgspec.kinds import Kinds
from mainspring.adapters.msgspec.soundness import Soundness
from mainspring.ports.errors import DefinitionError

CODEC = MsgspecCodec()


class Flags(enum.Flag):
    A = 1
    B = 2


class Odd(enum.Enum):
    HALF = 0.5


class Opaque:
    pass


@attrs.frozen
class Private:
    name: str
    _secret: str = "x"


@dataclasses.dataclass
class Computed:
    name: str
    length: int = dataclasses.field(init=False, default=0)


@attrs.frozen
class Item:
    sku: str
    count: Annotated[int, msgspec.Meta(ge=1)] = 1


@attrs.frozen
class Node:
    item: Item
    children: "list[Node]"


@attrs.frozen
class Holder:
    parts: dict[str, list[Opaque]]


@attrs.frozen
class Unresolved:
    later: "Nowhere"  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


class Joined(TypedDict):
    item: Item


def test_the_schema_holds_fields_constraints_and_definitions() -> None:
    schema = CODEC.schema(Item)
    assert schema["$ref"] == "#/$defs/Item"
    assert schema["$defs"]["Item"]["required"] == ["sku"]
    assert schema["$defs"]["Item"]["properties"]["count"] == {"type": "integer", "minimum": 1, "default": 1}


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (Any, {}),
        (object, {}),
        (None, {"type": "null"}),
        (int, {"type": "integer"}),
        (list[object], {"type": "array", "items": {"description": "any value"}}),
        (UUID, {"type": "string", "format": "uuid"}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    ],
)
def test_simple_schemas(kind: Any, schema: dict[str, Any]) -> None:
    assert CODEC.schema(kind) == schema


@pytest.mark.parametrize("kind", [Node, Joined, list[Node | None], dict[str, tuple[int, ...]]])
def test_nested_and_recursive_types_have_a_schema(kind: Any) -> None:
    assert CODEC.schema(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Opaque, "values of Opaque cannot be encoded: $: `Opaque` has no JSON form; use"),
        (Holder, "$.parts[…][…]: `Opaque` has no JSON form"),
        (complex, "`complex` has no JSON form"),
        (Path, "`Path` has no JSON form"),
        (Callable[[], int], "no JSON form"),
        (dict[int, str], "the keys of an object are str"),
        (list[dict[UUID, str]], "$[…]: the keys of an object are str"),
        (Flags, "combinations of the flags"),
        (Odd, "Enums must contain either all str or all int values"),
        (msgspec.Raw, "raw text is not checked"),
        (memoryview, "use bytes"),
        (Private, "the field `_secret` is private and would be lost; name it `secret`"),
        (Computed, "the field `length` is not set by __init__"),
        (Unresolved, "must be importable where the class is defined"),
        (Item | Node, "use msgspec structs with tags, or one class with a field that tells the kind"),
        (datetime | str, "both look the same in JSON"),
        (attrs.make_class("Untyped", ["x"]), "the field 'x' has no annotation"),
        ("Item", "cannot be decoded"),
    ],
    ids=str,
)
def test_types_whose_values_cannot_come_back_are_refused_with_the_reason(kind: Any, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        CODEC.schema(kind)
    assert message in str(caught.value)


def test_what_is_remembered_of_types_is_bounded() -> None:
    kinds = Kinds()
    for number in range(1100):
        kinds.get(Annotated[int, msgspec.Meta(ge=number)])
    assert 0 < len(kinds) <= 1024


def test_what_is_remembered_of_classes_is_bounded() -> None:
    soundness = Soundness(64, floats=False)
    for number in range(4200):
        assert soundness.holds(type(f"Made{number}", (dict,), {})())
    assert 0 < len(soundness) <= 4096
