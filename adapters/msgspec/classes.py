"""What the codec must know of a class with fields: which there are, and which msgspec would lose or add.

msgspec writes attrs instances by their slots and ``__dict__``: a cached property, once computed, would be written
too. Dataclasses and structs are written by their fields. For this package only.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, cast

import attrs

from mainspring.adapters.msgspec.finding import is_array, is_object


@attrs.frozen(kw_only=True)
class Fields:
    """The fields of a class, as its instances are encoded."""

    names: tuple[str, ...]  #: attributes, in the order of definition
    cached: frozenset[str]  #: cached properties of an attrs class: left out when encoding
    lost: dict[str, str]  #: field name -> why its value would not come back
    by_attributes: bool  #: an attrs class: all attributes of an instance are written, not only its fields


def fields_of(cls: Any) -> Fields | None:
    """The fields of an attrs class, dataclass or msgspec struct; None for any other type."""
    cls = getattr(cls, "__origin__", cls)
    if not isinstance(cls, type):
        return None
    if hasattr(cls, "__struct_fields__"):
        return Fields(names=struct_fields(cls), cached=frozenset(), lost={}, by_attributes=False)
    if attrs.has(cls):
        attributes = attrs.fields(cls)
        names = tuple(attribute.name for attribute in attributes)
        lost = {a.name: why for a in attributes if (why := _why_lost(a.name, init=a.init, written=a.name[0] != "_"))}
        return Fields(names=names, cached=_cached(cls, names), lost=lost, by_attributes=True)
    if dataclasses.is_dataclass(cls):
        members = dataclasses.fields(cls)
        names = tuple(member.name for member in members)
        lost = {m.name: why for m in members if (why := _why_lost(m.name, init=m.init, written=True))}
        return Fields(names=names, cached=frozenset(), lost=lost, by_attributes=False)
    return None


def _why_lost(name: str, *, init: bool, written: bool) -> str | None:
    if not init:
        return f"the field `{name}` is not set by __init__ and would be lost; make it a property or an ordinary field"
    if not written:
        return f"the field `{name}` is private and would be lost; name it `{name.lstrip('_')}`"
    return None


def _cached(cls: type, names: tuple[str, ...]) -> frozenset[str]:
    """Cached properties; attrs turns those of a slotted class into slots."""
    found: set[str] = set()
    for base in cls.__mro__:
        found.update(name for name, member in vars(base).items() if isinstance(member, functools.cached_property))
        slots: str | tuple[str, ...] = vars(base).get("__slots__", ())
        found.update((slots,) if isinstance(slots, str) else slots)
    return frozenset(found.difference(names, ("__weakref__", "__dict__")))


def extras(value: Any, fields: Fields) -> list[str]:
    """Attributes of this instance that are no fields, yet would be written."""
    if not fields.by_attributes:
        return []
    own: dict[str, Any] = getattr(value, "__dict__", {})
    found = [name for name in own if name not in fields.names]
    found += [name for name in fields.cached if name not in own and _is_set(value, name)]
    return [name for name in found if not name.startswith("_")]


def _is_set(value: Any, name: str) -> bool:
    try:
        object.__getattribute__(value, name)  # a plain getattr would compute what is not cached yet
    except AttributeError:
        return False
    return True


def struct_fields(cls: Any) -> tuple[str, ...]:
    """The attributes of a msgspec struct."""
    names: tuple[str, ...] = cls.__struct_fields__
    return names


def without_caches(value: object) -> Any:
    """The same value, with each attrs instance as a dict of its fields: so that no cached property is written."""
    if is_object(value):
        return {key: without_caches(member) for key, member in value.items()}
    if is_array(value) or isinstance(value, tuple):
        return [without_caches(element) for element in cast("Sequence[Any]", value)]
    fields = fields_of(type(value))
    if fields is None or not fields.by_attributes:
        return value
    return {name: without_caches(getattr(value, name)) for name in fields.names}
