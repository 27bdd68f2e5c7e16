"""Looking at JSON text before and beside msgspec: its size and depth, doubled keys, what no value may hold.

msgspec takes the last of two equal keys without a word, and names neither place nor cause for surrogates, NaN and
overlong numbers; the standard library's parser, which is slower, sees them. For this package only.
"""

import json
import math
import re
from collections import Counter
from typing import Any, Final

import attrs

from mainspring.adapters.msgspec.finding import (
    MOST_DIGITS,
    Findings,
    at_index,
    at_key,
    is_array,
    is_object,
    text_problem,
)
from mainspring.ports.errors import Problem

#: All that is no bracket: strings (also one that does not end: the scan must stay linear) and the rest.
_NO_BRACKETS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^\[\]{}"]++', re.DOTALL)
_PAIRS: Final = re.compile(r"\[\]|\{\}")

HAZARDS: Final = re.compile(r'"(?:\d{4}-\d\d-\d\dT[\d:.]+|-?s?NaN\d*|-?Infinity)"')
"""Canonical text of a naive datetime or of a Decimal that is no number (or of a string that looks like one)."""

OVERLONG: Final = re.compile(rf"(?<!\d)\d{{{MOST_DIGITS + 1}}}")
"""An integer of too many digits (or a string of them)."""


def is_deeper(text: str, limit: int) -> bool:
    """Whether lists and objects are nested deeper than the limit; text that is not JSON may pass.

    Takes innermost pairs away, a level at a time; never recurses.
    """
    if text.count("[") + text.count("{") <= limit:
        return False
    rest = _NO_BRACKETS.sub("", text)
    for _ in range(limit):
        shorter = _PAIRS.sub("", rest)
        if len(shorter) == len(rest):
            break
        rest = shorter
    opening = rest.count("[") + rest.count("{")
    return opening > 0 and (opening > limit or _PAIRS.search(rest) is not None)


class Doubled(dict[str, Any]):
    """An object in which keys stand twice."""

    twice: tuple[str, ...] = ()


@attrs.frozen
class Overlong:
    """An integer of more digits than Python converts."""


@attrs.frozen
class Reading:
    """What a text says, as plain values."""

    value: Any
    problems: tuple[Problem, ...]  #: what no value may hold, whatever its type


def read(text: str) -> Reading:
    """Parse the text the slow way.

    Raises:
        ValueError: it is no JSON text.
        RecursionError: it is nested very deep; ask ``is_deeper`` first.
    """
    value = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    findings = Findings()
    _look(value, "$", findings)
    return Reading(value, findings.problems)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    doubled = Doubled(members)
    doubled.twice = tuple(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return doubled


def _integer(digits: str) -> int | Overlong:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        return Overlong()
    return int(digits)


def _look(value: Any, path: str, findings: Findings) -> None:
    match value:
        case str():
            if (message := text_problem(value)) is not None:
                findings.add(path, message)
        case float():
            if not math.isfinite(value):
                findings.add(path, "the number is NaN, infinite or too large for a float")
        case Overlong():
            findings.add(path, f"the integer has more than {MOST_DIGITS:,} digits")
        case _ if is_array(value):
            for index, element in enumerate(value):
                _look(element, at_index(path, index), findings)
        case _ if is_object(value):
            _look_at_members(value, path, findings)
        case _:
            pass


def _look_at_members(value: dict[str, Any], path: str, findings: Findings) -> None:
    if isinstance(value, Doubled):
        for key in value.twice:
            findings.add(at_key(path, key), "the key stands twice in this object")
    for key, member in value.items():
        if (message := text_problem(key)) is not None:
            findings.add(at_key(path, key), f"in the key: {message}")
        _look(member, at_key(path, key), findings)
