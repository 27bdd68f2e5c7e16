"""Whether values of one type can be values of another: what graphs of stages are checked with.

A verdict of False is a proof by structure; where nothing can be proved the verdict is True, and values are validated
when they come. For this package only.
"""

from collections.abc import Iterator
from typing import Any, is_typeddict

from msgspec import inspect

from mainspring.adapters.msgspec.kinds import bare

_OBJECTS = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)
_NUMBERS = (inspect.IntType, inspect.FloatType)


def fits(target: inspect.Type, source: inspect.Type) -> bool:
    """False if a value of type ``source`` provably does not fit ``target``."""
    return _Comparison().fits(target, source)


class _Comparison:
    def __init__(self) -> None:
        self._assumed: set[tuple[int, int]] = set()  # pairs under comparison: classes may contain themselves

    def fits(self, target: inspect.Type, source: inspect.Type) -> bool:
        target, source = bare(target), bare(source)
        pair = (id(target), id(source))
        if target is source or pair in self._assumed or _is_open(target) or _is_open(source):
            return True
        self._assumed.add(pair)
        if isinstance(source, inspect.UnionType):
            return all(self.fits(target, member) for member in source.types)
        if isinstance(target, inspect.UnionType):
            return any(self.fits(member, source) for member in target.types)
        if _items(source) is not None or _items(target) is not None:
            return self._arrays_fit(target, source)
        if isinstance(source, (*_OBJECTS, inspect.DictType)) or isinstance(target, (*_OBJECTS, inspect.DictType)):
            return self._objects_fit(target, source)
        return _scalars_fit(target, source)

    def _arrays_fit(self, target: inspect.Type, source: inspect.Type) -> bool:
        wanted, given = _items(target), _items(source)
        if wanted is None or given is None:
            return False
        if isinstance(wanted, list) and isinstance(given, list):
            least = _least(target)
            return least <= len(given) <= len(wanted) and all(map(self.fits, wanted, given))
        return all(self.fits(w, g) for w in _each(wanted) for g in _each(given))

    def _objects_fit(self, target: inspect.Type, source: inspect.Type) -> bool:
        if isinstance(target, inspect.DictType):
            if isinstance(source, inspect.DictType):
                return self.fits(target.key_type, source.key_type) and self.fits(target.value_type, source.value_type)
            if isinstance(source, _OBJECTS):
                return all(self.fits(target.value_type, field.type) for field in source.fields)
            return False
        if not isinstance(target, _OBJECTS):
            return False
        if isinstance(source, inspect.DictType):
            return all(self.fits(field.type, source.value_type) for field in target.fields if field.required)
        return isinstance(source, _OBJECTS) and self._classes_fit(target, source)

    def _classes_fit(self, target: Any, source: Any) -> bool:
        if _is_subclass(source.cls, target.cls):
            return True
        if getattr(target, "tag", None) != getattr(source, "tag", None):
            return False
        wanted = {field.encode_name: field for field in target.fields}
        given = {field.encode_name: field for field in source.fields}
        if any(field.required and name not in given for name, field in wanted.items()):
            return False
        return all(name in wanted and self.fits(wanted[name].type, field.type) for name, field in given.items())


def _is_open(kind: inspect.Type) -> bool:
    """Whether nothing can be proved about the type's values."""
    if isinstance(kind, inspect.StructType):
        return kind.array_like
    return isinstance(kind, inspect.AnyType | inspect.CustomType | inspect.RawType | inspect.ExtType)


def _items(kind: inspect.Type) -> list[inspect.Type] | inspect.Type | None:
    """The types of an array's elements: one for each, or one for all; None if values are no arrays."""
    match kind:
        case inspect.TupleType():
            return list(kind.item_types)
        case inspect.NamedTupleType():
            return [field.type for field in kind.fields]
        case inspect.CollectionType():
            return kind.item_type
        case _:
            return None


def _each(items: list[inspect.Type] | inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(items, list):
        yield from items
    else:
        yield items


def _least(kind: inspect.Type) -> int:
    if isinstance(kind, inspect.NamedTupleType):
        return sum(field.required for field in kind.fields)
    return len(kind.item_types) if isinstance(kind, inspect.TupleType) else 0


def _is_subclass(cls: Any, base: Any) -> bool:
    if cls == base:
        return True
    if not isinstance(cls, type) or not isinstance(base, type) or is_typeddict(base):
        return False
    return issubclass(cls, base)


def _scalars_fit(target: inspect.Type, source: inspect.Type) -> bool:
    given, wanted = _values(source), _values(target)
    if given is not None and wanted is not None:
        return _enums_fit(target, source) and bool(given & wanted)
    if given is not None:
        return any(_is_of(value, target) for value in given)
    if wanted is not None:
        return any(_is_of(value, source) for value in wanted)
    return type(target) is type(source) or (
        isinstance(target, inspect.FloatType | inspect.DecimalType) and isinstance(source, _NUMBERS)
    )


def _values(kind: inspect.Type) -> set[Any] | None:
    """All values of an enum or literal, as JSON has them."""
    if isinstance(kind, inspect.EnumType):
        return {member.value for member in kind.cls}
    return set(kind.values) if isinstance(kind, inspect.LiteralType) else None


def _enums_fit(target: inspect.Type, source: inspect.Type) -> bool:
    if isinstance(target, inspect.EnumType) and isinstance(source, inspect.EnumType):
        return _is_subclass(source.cls, target.cls)
    return True


def _is_of(value: Any, kind: inspect.Type) -> bool:
    """Whether a str, int or None can be a value of the type."""
    match kind:
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.IntType() | inspect.FloatType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.NoneType():
            return value is None
        case _:
            return False
