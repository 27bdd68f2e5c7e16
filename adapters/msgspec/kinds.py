"""What is known of a type: its decoder, its structure, and whether its values can be encoded at all.

For this package only.
"""

import enum
from collections.abc import Iterator
from typing import Any, Final

import attrs
import msgspec
from msgspec import inspect

from mainspring.adapters.msgspec.classes import fields_of
from mainspring.adapters.msgspec.finding import Findings, at_key
from mainspring.ports.errors import DefinitionError

_MOST_KINDS: Final = 1024  # types remembered
_KEYS: Final = (inspect.StrType, inspect.AnyType, inspect.EnumType, inspect.LiteralType)


@attrs.frozen(kw_only=True, eq=False)
class Kind:
    """A type, prepared."""

    type: Any  #: as msgspec is asked for it
    structure: inspect.Type
    decoder: msgspec.json.Decoder[Any]
    #: Whether values may hold what canonical text does not show to be inexact: naive datetimes, Decimal NaN.
    hazardous: bool


class Kinds:
    """Prepared types, remembered."""

    def __init__(self) -> None:
        self._known: dict[Any, Kind] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, kind: Any) -> Kind:
        """The type, prepared.

        Raises:
            DefinitionError: msgspec cannot make sense of it.
        """
        try:
            found = self._known.get(kind)
        except TypeError:  # not hashable, such as an annotation with a dict in it
            return _prepare(kind)
        if found is None:
            if len(self._known) >= _MOST_KINDS:
                self._known.clear()
            found = self._known[kind] = _prepare(kind)
        return found


def _prepare(kind: Any) -> Kind:
    asked = Any if kind is object else kind
    try:
        structure = inspect.type_info(asked)
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(asked)
    except Exception as error:  # annotations are evaluated: whatever is wrong with them comes up here
        raise DefinitionError(f"values of {name_of(kind)} cannot be decoded: {_cure(error)}") from error
    return Kind(type=asked, structure=structure, decoder=decoder, hazardous=_is_hazardous(structure))


def _cure(error: Exception) -> str:
    message = f"{type(error).__name__}: {error}" if not isinstance(error, TypeError) else str(error)
    if "more than one dataclass or attrs" in message:
        return f"{message}; use msgspec structs with tags, or one class with a field that tells the kind"
    if "unions may not contain more than one" in message:
        return f"{message}; both look the same in JSON: use one of them, or a class with a field for each"
    if isinstance(error, NameError):
        return f"{message}; the types of its fields must be importable where the class is defined"
    if isinstance(error, KeyError):
        return f"the field {error} has no annotation; give each field its type"
    return message


def name_of(kind: Any) -> str:
    """The type as messages call it."""
    return kind.__qualname__ if isinstance(kind, type) and not hasattr(kind, "__origin__") else str(kind)


def parts(structure: inspect.Type) -> Iterator[tuple[str, inspect.Type]]:
    """The types directly inside a type, each with the path from the outer one."""
    match structure:
        case inspect.UnionType():
            yield from (("", member) for member in structure.types)
        case inspect.TupleType():
            yield from ((f"[{index}]", item) for index, item in enumerate(structure.item_types))
        case inspect.DictType():
            yield "[…]", structure.value_type
        case inspect.CollectionType():
            yield "[…]", structure.item_type
        case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType() | inspect.NamedTupleType():
            yield from ((at_key("", field.name), field.type) for field in structure.fields)
        case inspect.Metadata():
            yield "", structure.type
        case _:
            pass


def every_part(structure: inspect.Type) -> Iterator[tuple[str, inspect.Type]]:
    """The type and all types in it, each once, with paths; classes may contain themselves."""
    seen: set[int] = set()
    waiting = [("$", structure)]
    while waiting:
        path, present = waiting.pop()
        if id(present) in seen:
            continue
        seen.add(id(present))
        yield path, present
        waiting.extend((path + step, part) for step, part in reversed(list(parts(present))))


def bare(structure: inspect.Type) -> inspect.Type:
    """The type without the titles and examples around it."""
    while isinstance(structure, inspect.Metadata):
        structure = structure.type
    return structure


def _is_hazardous(structure: inspect.Type) -> bool:
    hazards = (inspect.DateTimeType, inspect.DecimalType, inspect.CustomType)
    return any(isinstance(part, hazards) for _, part in every_part(structure))


def check_encodable(kind: Kind) -> None:
    """Check that values of this type have a JSON form that comes back.

    Raises:
        DefinitionError: not so; every reason with its place.
    """
    findings = Findings()
    for path, part in every_part(kind.structure):
        for message in _why_not(part):
            findings.add(path, message)
    if findings.problems:
        reasons = "; ".join(map(str, findings.problems))
        raise DefinitionError(f"values of {name_of(kind.type)} cannot be encoded: {reasons}")


def _why_not(part: inspect.Type) -> Iterator[str]:
    match part:
        case inspect.CustomType():
            if part.cls is not object:
                yield f"`{name_of(part.cls)}` has no JSON form; use plain values, an attrs class or a dataclass"
        case inspect.RawType() | inspect.ExtType():
            yield "raw text is not checked; use Any, or a type"
        case inspect.MemoryViewType():
            yield "a memoryview does not come back as it was; use bytes"
        case inspect.EnumType():
            if issubclass(part.cls, enum.Flag):
                yield f"combinations of the flags of `{part.cls.__qualname__}` do not come back; use an int or a list"
        case inspect.DictType():
            if not isinstance(bare(part.key_type), _KEYS):
                yield "the keys of an object are str; use a list of pairs, or str keys"
        case inspect.DataclassType():
            fields = fields_of(part.cls)
            yield from fields.lost.values() if fields else ()
        case _:
            pass
