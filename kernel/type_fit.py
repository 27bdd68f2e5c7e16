"""Whether a value of one type can be taken for another: what is certain from the types alone.

Imported by ``kernel.graph_checks``. Three answers: True (it fits), False (some value of ``source`` provably does not
fit) and None (undecided: the codec's ``accepts`` knows more, and in the end the value itself is validated).
"""

import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
    is_typeddict,
)

from mainspring.kernel.fields import fields_of

Verdict = bool | None

#: Kinds of JSON value that certain classes become, whoever encodes them. Other scalars (dates, decimals …) are strings
#: or numbers as the codec likes: undecided.
_SCALARS: Mapping[Any, str] = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}

#: Subclasses whose values do not survive the way through JSON as their superclass: the codec decides.
_FALSE_SUBCLASSES = {("int", "bool"), ("date", "datetime")}

_ARRAYS = (list, tuple, set, frozenset, Sequence, AbstractSet, Collection, Iterable)
_MAPPINGS = (dict, Mapping)


def fits(target: Any, source: Any) -> Verdict:
    """Whether what is declared as ``source`` can be handed to what takes ``target``.

    Identical types, Any, subclasses, members of a union, int for float; arrays and mappings by their elements; a
    TypedDict by its fields. A union fits if all its members do.
    """
    target, source = plain(target), plain(source)
    if target is Any or source is Any or target == source:
        return True
    if _is_union(source):
        return every(fits(target, member) for member in get_args(source))
    if get_origin(source) is Literal:
        return _literal_fits(target, get_args(source))
    if _is_union(target):
        return some(fits(member, source) for member in get_args(target))
    if get_origin(target) is Literal:
        return some(kinds_meet(type(value), source) for value in get_args(target))
    if _is_array(target) and _is_array(source):
        return _array_fits(target, source)
    if _is_mapping(target):
        return _mapping_fits(target, source)
    if is_typeddict(target) and is_typeddict(source):
        return _fields_fit(target, source)
    return _class_fits(target, source)


def plain(kind: Any) -> Any:
    """The type without the wrappings that do not change what fits: Annotated, NewType, aliases, bare generics."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif isinstance(kind, NewType):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        elif kind is None:
            return type(None)
        elif kind is object or isinstance(kind, TypeVar):
            return Any
        else:
            return kind


def every(verdicts: Iterable[Verdict]) -> Verdict:
    """False if any is; else None if any is; else True."""
    found = set(verdicts)
    return False if False in found else None if None in found else True


def some(verdicts: Iterable[Verdict]) -> Verdict:
    """True if any is; else None if any is; else False."""
    found = set(verdicts)
    return True if True in found else None if None in found else False


def kind_of(kind: Any) -> str | None:
    """What JSON kind values of a type become: string, number, boolean, null, array or object; None: not known."""
    kind = plain(kind)
    if _is_array(kind):
        return "array"
    if _is_mapping(kind) or fields_of(_class(kind)) is not None or _is_model(kind):
        return "object"
    return _SCALARS.get(kind) if isinstance(kind, type) else None


def kinds_meet(target: Any, source: Any) -> Verdict:
    """False if the two become different kinds of JSON value; else undecided."""
    one, other = kind_of(target), kind_of(source)
    return False if one and other and one != other else None


def _class_fits(target: Any, source: Any) -> Verdict:
    if isinstance(target, type) and isinstance(source, type):
        if (target.__name__, source.__name__) in _FALSE_SUBCLASSES:
            return None
        if not is_typeddict(target) and not is_typeddict(source) and _is_subclass(source, target):
            return True
        if {target, source} == {int, float}:
            return target is float
    return kinds_meet(target, source)


def _is_subclass(source: type, target: type) -> bool:
    try:
        return issubclass(source, target)
    except TypeError:  # a protocol that cannot be asked
        return False


def _literal_fits(target: Any, values: tuple[Any, ...]) -> Verdict:
    allowed = get_args(target) if get_origin(target) is Literal else None
    if allowed is not None:
        return all(any(value == one and type(value) is type(one) for one in allowed) for value in values)
    return every(fits(target, type(value)) for value in values)


def _array_fits(target: Any, source: Any) -> Verdict:
    wanted, given = _elements(target), _elements(source)
    if _is_fixed(target) and _is_fixed(source):
        if len(wanted) != len(given):
            return False
        verdict = every(map(fits, wanted, given))
    elif _is_fixed(target):
        return every((None, *(fits(one, other) for one in wanted for other in given)))
    else:
        verdict = every(fits(one, other) for one in wanted[:1] for other in given)
    same = _is_subclass(_class(source), _class(target))
    return verdict if same or verdict is False else None


def _mapping_fits(target: Any, source: Any) -> Verdict:
    key, value = get_args(target) or (Any, Any)
    if _is_mapping(source):
        given_key, given_value = get_args(source) or (Any, Any)
        return every((fits(key, given_key), fits(value, given_value)))
    if is_typeddict(source):
        fields = fields_of(source) or {}
        return every((fits(key, str), *(fits(value, field.type) for field in fields.values())))
    return kinds_meet(target, source)


def _fields_fit(target: Any, source: Any) -> Verdict:
    wanted, given = fields_of(target) or {}, fields_of(source) or {}
    missing = [name for name, field in wanted.items() if field.required and name not in given]
    optional = [name for name in wanted if name in given and wanted[name].required and not given[name].required]
    if missing or optional:
        return False
    unknown = None if given.keys() - wanted.keys() else True  # a codec may refuse fields that are not declared
    return every((unknown, *(fits(field.type, given[name].type) for name, field in wanted.items() if name in given)))


def _elements(array: Any) -> tuple[Any, ...]:
    """Element types: of a fixed tuple each, else the one."""
    arguments = get_args(array)
    if _is_fixed(array):
        return arguments
    return arguments[:1] or (Any,)


def _is_fixed(array: Any) -> bool:
    arguments = get_args(array)
    return get_origin(array) is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis)


def _is_model(kind: Any) -> bool:
    """Whether it is a pydantic model, whose names in JSON only pydantic knows."""
    return hasattr(kind, "model_fields") and not getattr(kind, "__pydantic_root_model__", False)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_array(kind: Any) -> bool:
    return _class(kind) in _ARRAYS


def _is_mapping(kind: Any) -> bool:
    return _class(kind) in _MAPPINGS


def _class(kind: Any) -> Any:
    return get_origin(kind) or kind
