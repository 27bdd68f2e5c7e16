"""The fields of a class as they appear in JSON: attrs classes, dataclasses, TypedDicts, msgspec structs.

Imported by the type checks. It asks for the marks these classes carry, and imports none of their libraries.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, NotRequired, Required, get_args, get_origin, get_type_hints, is_typeddict

import attrs


@attrs.frozen
class Field:
    """One field."""

    type: Any
    required: bool  #: False: it may be missing


def fields_of(kind: Any) -> Mapping[str, Field] | None:
    """Fields by their name in JSON; None for what is no class of fields, or one of a library not known here."""
    if not isinstance(kind, type):
        return None
    marked: Any = kind  # the marks are attributes that no type tells of
    if is_typeddict(marked):
        return _typed(marked, {name: name in marked.__required_keys__ for name in marked.__annotations__})
    if attrs.has(marked):
        return _typed(
            marked, {field.name: field.default is attrs.NOTHING for field in attrs.fields(marked) if field.init}
        )
    if dataclasses.is_dataclass(marked):
        return _typed(marked, {field.name: _is_required(field) for field in dataclasses.fields(marked) if field.init})
    if hasattr(marked, "__struct_encode_fields__") and not marked.__struct_config__.array_like:
        return _struct_fields(marked)
    return None


def _struct_fields(struct: Any) -> Mapping[str, Field]:
    parameters = inspect.signature(struct).parameters
    needed = {name: parameters[name].default is inspect.Parameter.empty for name in struct.__struct_fields__}
    return dict(zip(struct.__struct_encode_fields__, _typed(struct, needed).values(), strict=True))


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _typed(kind: Any, required: Mapping[str, bool]) -> dict[str, Field]:
    try:
        hints = get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001  what cannot be resolved is left to the codec
        hints = {}
    return {name: Field(_bare(hints.get(name, Any)), needed) for name, needed in required.items()}


def _bare(hint: Any) -> Any:
    while get_origin(hint) in (Required, NotRequired):
        (hint,) = get_args(hint)
    return hint
