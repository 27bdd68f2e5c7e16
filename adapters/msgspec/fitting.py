"""Why plain JSON values do not fit a type: every reason with its path, where msgspec tells only the first.

Entered only when a text did not decode, or decoded into something that does not encode to the same text. Structure is
walked here; single values, and the validators of classes, are judged by msgspec. For this package only.
"""

import difflib
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import attrs
import msgspec
from msgspec import inspect

from mainspring.adapters.msgspec.finding import NAIVE, Findings, at_index, at_key, is_array, is_object
from mainspring.adapters.msgspec.kinds import bare
from mainspring.ports.errors import Problem

Object = inspect.StructType | inspect.DataclassType | inspect.TypedDictType
"""Types whose values are JSON objects with known members."""

_SIMPLE: Final[dict[type[inspect.Type], Any]] = {
    inspect.NoneType: None,
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.StrType: str,
    inspect.BytesType: bytes,
    inspect.ByteArrayType: bytearray,
    inspect.DateTimeType: datetime,
    inspect.TimeType: time,
    inspect.DateType: date,
    inspect.TimeDeltaType: timedelta,
    inspect.UUIDType: UUID,
    inspect.DecimalType: Decimal,
}
_JSON_NAMES: Final[dict[type[object], str]] = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def misfits(value: Any, structure: inspect.Type, *, decoded: bool) -> tuple[Problem, ...]:
    """All problems of the plain value with the type, at most 50; empty if none is found.

    ``decoded``: msgspec took the value, only what it ignores is looked for (unknown fields, naive datetimes).
    """
    fitting = _Fitting(decoded=decoded)
    fitting.fit(value, structure, "$")
    return fitting.findings.problems


class _Fitting:
    def __init__(self, *, decoded: bool) -> None:
        self.findings = Findings()
        self._decoded = decoded

    def fit(self, value: Any, structure: inspect.Type, path: str) -> None:
        """Add the problems of the value with the type."""
        structure = bare(structure)
        if self.findings.full or isinstance(structure, inspect.AnyType):
            return
        match structure:
            case inspect.UnionType():
                self._fit_union(value, structure, path)
            case inspect.StructType(array_like=True):
                self._fit_single(value, structure.cls, path)
            case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
                self._fit_object(value, structure, path)
            case inspect.DictType():
                self._fit_dict(value, structure, path)
            case inspect.CollectionType():
                self._fit_collection(value, structure, path)
            case inspect.TupleType():
                self._fit_tuple(value, structure.item_types, len(structure.item_types), path)
            case inspect.NamedTupleType():
                required = sum(field.required for field in structure.fields)
                self._fit_tuple(value, [field.type for field in structure.fields], required, path)
            case _:
                self._fit_scalar(value, structure, path)

    # -- one of several ------------------------------------------------------------------------------------------

    def _fit_union(self, value: Any, union: inspect.UnionType, path: str) -> None:
        members = [member for member in map(bare, union.types) if _may_be(value, member)]
        if len(members) > 1 and is_object(value):
            members = [member for member in members if _tag_fits(value, member)] or members
        if len(members) == 1:
            self.fit(value, members[0], path)
            return
        if any(not misfits(value, member, decoded=self._decoded) for member in members):
            return
        expected = " or ".join(dict.fromkeys(_called(member) for member in map(bare, union.types)))
        self.findings.add(path, f"expected {expected}, found {_json_name(value)}")

    # -- arrays --------------------------------------------------------------------------------------------------

    def _fit_collection(self, value: Any, kind: inspect.CollectionType, path: str) -> None:
        if not is_array(value):
            self._expected("an array", value, path)
            return
        self._fit_length(value, kind.min_length, kind.max_length, path)
        for index, element in enumerate(value):
            self.fit(element, kind.item_type, at_index(path, index))

    def _fit_tuple(self, value: Any, items: Sequence[inspect.Type], required: int, path: str) -> None:
        if not is_array(value):
            self._expected("an array", value, path)
            return
        self._fit_length(value, required, len(items), path)
        for index, (element, item) in enumerate(zip(value, items, strict=False)):
            self.fit(element, item, at_index(path, index))

    def _fit_length(
        self, value: Sequence[Any] | dict[str, Any], least: int | None, most: int | None, path: str
    ) -> None:
        if least is not None and len(value) < least:
            self.findings.add(path, f"expected at least {least} elements, found {len(value)}")
        if most is not None and len(value) > most:
            self.findings.add(path, f"expected at most {most} elements, found {len(value)}")

    # -- objects -------------------------------------------------------------------------------------------------

    def _fit_dict(self, value: Any, kind: inspect.DictType, path: str) -> None:
        if not is_object(value):
            self._expected("an object", value, path)
            return
        self._fit_length(value, kind.min_length, kind.max_length, path)
        for key, member in value.items():
            self._fit_key(key, kind.key_type, at_key(path, key))
            self.fit(member, kind.value_type, at_key(path, key))

    def _fit_key(self, key: str, kind: inspect.Type, path: str) -> None:
        if not self._decoded and not isinstance(bare(kind), inspect.AnyType):
            self._fit_single(key, _as_type(bare(kind)), path, prefix="in the key: ")

    def _fit_object(self, value: Any, kind: Object, path: str) -> None:
        if not is_object(value):
            self._expected("an object", value, path)
            return
        before = len(self.findings)
        fields = {field.encode_name: field for field in kind.fields}
        for name, field in fields.items():
            if name in value:
                self.fit(value[name], field.type, at_key(path, name))
            elif field.required:
                self.findings.add(at_key(path, name), "the required field is missing")
        self._find_unknown(value, kind, fields, path)
        if not self._decoded and len(self.findings) == before:
            self._fit_single(value, kind.cls, path)  # only its own validators are left to complain

    def _find_unknown(self, members: dict[str, Any], kind: Object, fields: Iterable[str], path: str) -> None:
        unknown = [name for name in members if name not in fields]
        if isinstance(kind, inspect.StructType) and kind.tag_field is not None:
            unknown = [name for name in unknown if name != kind.tag_field]
        if not unknown:
            return
        allowed = _fields_of_subclasses(kind.cls)
        missing = [name for name in fields if name not in members]
        for name in unknown:
            if name not in allowed:
                self.findings.add(at_key(path, name), f"unknown field{_did_you_mean(name, missing, fields)}")

    # -- single values -------------------------------------------------------------------------------------------

    def _fit_scalar(self, value: Any, kind: inspect.Type, path: str) -> None:
        judged = not self._decoded
        if isinstance(kind, inspect.DateTimeType | inspect.DecimalType) or judged:
            self._fit_single(value, _as_type(kind), path)

    def _fit_single(self, value: Any, kind: Any, path: str, prefix: str = "") -> None:
        try:
            made: Any = msgspec.convert(value, kind)
        except Exception as error:  # noqa: BLE001  validators are users' code
            message, place = split_error(str(error) or type(error).__name__)
            self.findings.add(path + place, prefix + message)
            return
        if isinstance(made, datetime) and made.tzinfo is None:
            self.findings.add(path, NAIVE)
        elif isinstance(made, Decimal) and not made.is_finite():
            self.findings.add(path, "the Decimal is not a finite number; use null")

    def _expected(self, what: str, value: Any, path: str) -> None:
        self.findings.add(path, f"expected {what}, found {_json_name(value)}")


def split_error(message: str) -> tuple[str, str]:
    """What msgspec says, and where (a path without its ``$``)."""
    text, _, place = message.partition(" - at `")
    return text, place.removesuffix("`").removeprefix("$")


def _may_be(value: Any, kind: inspect.Type) -> bool:
    """Whether a value of this JSON type can be of the type."""
    if isinstance(kind, inspect.AnyType | inspect.CustomType):
        return True
    if isinstance(value, dict):
        array_like = isinstance(kind, inspect.StructType) and kind.array_like
        return isinstance(kind, Object | inspect.DictType) and not array_like
    if isinstance(value, list):
        array_like = isinstance(kind, inspect.StructType) and kind.array_like
        return array_like or isinstance(kind, inspect.CollectionType | inspect.TupleType | inspect.NamedTupleType)
    if value is None:
        return isinstance(kind, inspect.NoneType)
    if isinstance(value, bool):
        return isinstance(kind, inspect.BoolType)
    numbers = inspect.IntType | inspect.FloatType | inspect.DecimalType
    if isinstance(kind, inspect.LiteralType | inspect.EnumType | inspect.DecimalType):
        return True
    if isinstance(value, str):
        return not isinstance(kind, numbers | inspect.NoneType | inspect.BoolType) and type(kind) in _SIMPLE
    return isinstance(kind, numbers)


def _tag_fits(value: dict[str, Any], kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.StructType) and kind.tag_field is not None and value.get(kind.tag_field) == kind.tag


def _as_type(kind: inspect.Type) -> Any:
    """The Python type of a single value, with its constraints."""
    if isinstance(kind, inspect.EnumType | inspect.CustomType):
        return kind.cls
    if isinstance(kind, inspect.LiteralType):
        return _literal(kind.values)
    base = _SIMPLE.get(type(kind), Any)
    limits = {name: limit for name, limit in msgspec.structs.asdict(kind).items() if limit is not None}
    return Annotated[base, msgspec.Meta(**limits)] if limits else base


def _literal(values: Iterable[Any]) -> Any:
    from typing import Literal

    return Literal[tuple(values)]


def _fields_of_subclasses(cls: Any) -> set[str]:
    """Fields a subclass adds: its instances are instances of the class, so their texts are welcome."""
    found: set[str] = set()
    waiting: list[Any] = [getattr(cls, "__origin__", cls)]
    while waiting:
        present = waiting.pop()
        if attrs.has(present):
            found.update(attribute.name for attribute in attrs.fields(present))
        found.update(getattr(present, "__dataclass_fields__", ()), getattr(present, "__struct_encode_fields__", ()))
        waiting.extend(type.__subclasses__(present) if isinstance(present, type) else ())
    return found


def _did_you_mean(name: str, missing: Iterable[str], fields: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:100], list(missing), n=1) or difflib.get_close_matches(
        name[:100], list(fields), n=1
    )
    return (
        f"; did you mean `{close[0]}`?"
        if close
        else "; the type has " + (", ".join(f"`{field}`" for field in list(fields)[:10]) or "no fields")
    )


def _called(kind: inspect.Type) -> str:
    cls: Any = getattr(kind, "cls", None)
    if cls is not None:
        return f"`{getattr(cls, '__name__', cls)}`"
    return f"`{type(kind).__name__.removesuffix('Type').lower()}`"


def _json_name(value: object) -> str:
    if is_object(value):
        return "an object"
    return _JSON_NAMES.get(type(value), "a number")
