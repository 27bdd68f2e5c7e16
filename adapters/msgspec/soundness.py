"""Whether a Python value round-trips exactly: the quick verdict, taken on every encoding.

A container whose elements are all of plain types is passed with two calls into C, whatever its length; only the
others are entered. What is wrong, and where, is told by ``refusals``, which is slower. For this package only.
"""

import enum
import math
import operator
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from mainspring.adapters.msgspec.classes import extras, fields_of

_Check = Callable[[Any, int], bool]

#: Types of which every value that msgspec encodes round-trips.
_PLAIN: Final[frozenset[type[Any]]] = frozenset({str, int, bool, type(None), bytes, bytearray, date, timedelta, UUID})
_MOST_CLASSES: Final = 4096  # checks remembered; programs that make classes without end must not fill the memory


class Soundness:
    """Quick verdicts for one limit of depth."""

    def __init__(self, depth: int, *, floats: bool) -> None:
        """``floats``: look at them too; msgspec writes what is not finite as null, so a text without null has none."""
        self._depth = depth
        self._plain: frozenset[type[Any]] = _PLAIN if floats else _PLAIN | {float}
        self._known: dict[type[Any], _Check] = {
            float: lambda value, _: math.isfinite(value),
            Decimal: lambda value, _: value.is_finite(),
            datetime: lambda value, _: is_exact(value),
            time: lambda value, _: is_exact(value),
            dict: self._dict,
            list: self._elements,
            tuple: self._elements,
            set: self._elements,
            frozenset: self._elements,
        }
        self._checks = dict(self._known)

    def __len__(self) -> int:
        return len(self._checks)

    def holds(self, value: object, depth: int = 0) -> bool:
        """Whether it round-trips; False is no proof of the contrary."""
        kind = type(value)
        if kind in self._plain:
            return True
        check = self._checks.get(kind)
        if check is None:
            check = self._remember(kind)
        return check(value, depth)

    def _elements(self, values: Iterable[Any], depth: int) -> bool:
        if depth >= self._depth:
            return False
        plain = self._plain
        if plain.issuperset(map(type, values)):
            return True
        return all(type(value) in plain or self.holds(value, depth + 1) for value in values)

    def _dict(self, value: dict[Any, Any], depth: int) -> bool:
        if not _STR.issuperset(map(type, value)) and not all(isinstance(key, str) for key in value):
            return False
        return self._elements(value.values(), depth)

    def _remember(self, kind: type[Any]) -> _Check:
        if len(self._checks) >= _MOST_CLASSES:
            self._checks = dict(self._known)
        check = self._checks[kind] = self._check_for(kind)
        return check

    def _check_for(self, kind: type[Any]) -> _Check:
        if issubclass(kind, enum.Enum):
            return lambda value, _: type(value.value) in (str, int)
        if kind is msgspec.UnsetType:
            return lambda _value, _depth: True
        for base, check in ((dict, self._dict), (list, self._elements), (tuple, self._elements)):
            if issubclass(kind, base):
                return check
        return self._check_for_fields(kind)

    def _check_for_fields(self, kind: type[Any]) -> _Check:
        fields = fields_of(kind)
        if fields is None or fields.lost:
            return lambda _value, _depth: False
        if not fields.names:
            return lambda value, depth: depth < self._depth and not extras(value, fields)
        read = operator.attrgetter(*fields.names)
        elements = self._elements
        one = len(fields.names) == 1
        if fields.by_attributes and (fields.cached or not hasattr(kind, "__slots__")):
            return lambda value, depth: (
                not extras(value, fields) and elements((read(value),) if one else read(value), depth)
            )
        if one:
            return lambda value, depth: elements((read(value),), depth)
        return lambda value, depth: elements(read(value), depth)


_STR: Final = frozenset({str})
_MINUTE: Final = timedelta(minutes=1)


def is_exact(moment: datetime | time) -> bool:
    """Whether the text keeps it: the offset is known and whole minutes; only a time of day may go without a zone."""
    if moment.tzinfo is None:
        return isinstance(moment, time)
    offset = moment.utcoffset()
    return offset is not None and not offset % _MINUTE
