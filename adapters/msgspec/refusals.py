"""Why a Python value cannot be encoded: every reason with its path.

Entered only when an encoding failed or ``soundness`` did not hold. For this package only.
"""

import enum
import inspect
import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from mainspring.adapters.msgspec.classes import extras, fields_of
from mainspring.adapters.msgspec.finding import MOST_DIGITS, NAIVE, Findings, at_index, at_key, is_object, text_problem
from mainspring.adapters.msgspec.soundness import is_exact
from mainspring.ports.errors import Problem

_HARMLESS: Final = (bool, type(None), bytes, bytearray, date, timedelta, UUID, msgspec.UnsetType)
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_BITS: Final = 14_285  # an int of more bits has more than 4,300 digits


def refusals(value: Any, depth: int) -> tuple[Problem, ...]:
    """All that is wrong with the value, at most 50; empty if nothing is found."""
    search = _Search(depth)
    search.look(value, "$")
    return search.findings.problems


class _Search:
    def __init__(self, depth: int) -> None:
        self.findings = Findings()
        self._depth = depth
        self._inside: list[Any] = []  # the containers around the present place

    def look(self, value: object, path: str) -> None:
        """Add the problems of the value and of all that is in it."""
        if self.findings.full:
            return
        kind = type(value)
        if kind in _HARMLESS:
            return
        if isinstance(value, _CONTAINERS) or fields_of(kind) is not None:
            self._look_inside(value, path)
        elif (message := _scalar(value)) is not None:
            self.findings.add(path, message)

    def _look_inside(self, value: Any, path: str) -> None:
        if any(value is outer for outer in self._inside):
            self.findings.add(path, "the value contains itself; JSON has no references")
        elif len(self._inside) >= self._depth:
            self.findings.add(path, f"nested deeper than {self._depth} lists and objects; flatten it")
        else:
            self._inside.append(value)
            self._look_at_parts(value, path)
            self._inside.pop()

    def _look_at_parts(self, value: Any, path: str) -> None:
        if is_object(value):
            self._look_at_dict(value, path)
        elif isinstance(value, list | tuple):
            self._look_at_elements(cast("Sequence[Any]", value), path)
        elif isinstance(value, set | frozenset):
            self._look_at_set(cast("AbstractSet[Any]", value), path)
        else:
            self._look_at_fields(value, path)

    def _look_at_dict(self, value: dict[Any, Any], path: str) -> None:
        for key, member in value.items():
            if not isinstance(key, str):
                self.findings.add(
                    path, f"a key is of type `{_name(key.__class__)}`; only str keys come back as they were"
                )
                continue
            if (message := text_problem(key)) is not None:
                self.findings.add(at_key(path, key), f"in the key: {message}")
            self.look(member, at_key(path, key))

    def _look_at_elements(self, values: Sequence[Any], path: str) -> None:
        for index, element in enumerate(values):
            self.look(element, at_index(path, index))

    def _look_at_set(self, values: AbstractSet[Any], path: str) -> None:
        try:
            ordered = sorted(values)
        except TypeError:
            self.findings.add(path, "a set whose elements have no order has no canonical form; use a list")
        else:
            self._look_at_elements(ordered, path)

    def _look_at_fields(self, value: object, path: str) -> None:
        kind = type(value)
        fields = fields_of(kind)
        if fields is None:  # look() came here because there are fields
            return
        for message in fields.lost.values():
            self.findings.add(path, message)
        for name in extras(value, fields):
            if name not in fields.cached:
                self.findings.add(path, f"the attribute `{name}` is no field of `{_name(kind)}` and would be lost")
        for name in fields.names:
            if name in fields.lost:
                continue
            try:
                member = getattr(value, name)
            except AttributeError:
                self.findings.add(at_key(path, name), "the field has no value")
            else:
                self.look(member, at_key(path, name))


def _scalar(value: Any) -> str | None:
    """What is wrong with a value that contains no other."""
    if isinstance(value, enum.Enum):
        member: Any = value.value
        if type(member) is str:
            return text_problem(member)
        return None if type(member) is int else f"`{value!r}` has neither a str nor an int as its value"
    match value:
        case str():
            return text_problem(value) if type(value) is str else _subclass(value, str)
        case int():
            return _integer(value) if type(value) is int else _subclass(value, int)
        case float():
            return _float(value) if type(value) is float else _subclass(value, float)
        case Decimal():
            return None if value.is_finite() else f"the Decimal is {value}; JSON has no such number, use None"
        case datetime() | time():
            return _moment(value)
        case _:
            return _unknown(value)


def _integer(value: int) -> str | None:
    if value.bit_length() < _BITS - 5:
        return None
    if value.bit_length() > _BITS or abs(value) >= 10**MOST_DIGITS:
        return f"the int has more than {MOST_DIGITS:,} digits; pass it as bytes"
    try:
        str(value)
    except ValueError as error:
        return str(error)
    return None


def _float(value: float) -> str | None:
    return None if math.isfinite(value) else f"the float is {value}; JSON has no such number, use None"


def _moment(value: datetime | time) -> str | None:
    if is_exact(value):
        return None
    if isinstance(value, datetime) and value.tzinfo is None:
        return NAIVE
    if value.utcoffset() is None:
        return "the offset of this time of day is unknown without a date; use a datetime"
    return f"its offset {value.utcoffset()} is no whole number of minutes and cannot be kept; convert it to UTC"


def _subclass(value: object, base: type) -> str:
    name = _name(type(value))
    return f"`{name}` is a subclass of {base.__name__} and would come back as {base.__name__}; pass {base.__name__}(…)"


def _unknown(value: object) -> str | None:
    """Advice for a type without a JSON form; None if this package has nothing against it."""
    kind = type(value)
    if inspect.iscoroutine(value):
        return "it is a coroutine; await it"
    advice = "use plain values, an attrs class or a dataclass"
    if isinstance(value, PurePath):
        advice = "pass str(path)"
    elif isinstance(value, BaseException):
        advice = "raise it, or pass str(error)"
    elif isinstance(value, memoryview):
        advice = "pass bytes(…)"
    elif isinstance(value, type):
        advice = "pass its name"
    elif hasattr(kind, "model_dump"):
        advice = "pass model.model_dump(), or use an attrs class or a dataclass"
    elif hasattr(kind, "__iter__"):
        advice = "pass list(…)"
    return f"values of type `{_name(kind)}` cannot be encoded; {advice}"


def _name(kind: type[Any]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
