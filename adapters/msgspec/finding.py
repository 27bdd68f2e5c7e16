"""What both directions share when they look for everything that is wrong: the list of problems and its paths.

For this package only.
"""

import json
from typing import Any, Final, TypeGuard

from mainspring.ports.errors import Problem

MOST_PROBLEMS: Final = 50
"""So many problems are reported at once; more would not help anybody."""

NUL: Final = "it contains a NUL character, which not every store can keep; remove it"
SURROGATE: Final = "it contains a lone surrogate, which is not text; decode its bytes with errors='replace'"
NAIVE: Final = "naive datetime … give it a time zone"
MOST_DIGITS: Final = 4300
"""Integers of more decimal digits are refused: Python itself converts no longer ones."""


class Findings:
    """Problems found so far, up to 50."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(self, path: str, message: str) -> None:
        """Keep one more problem, unless there are enough."""
        if not self.full:
            self._problems.append(Problem(path, message))

    @property
    def full(self) -> bool:
        """Whether looking further makes no sense."""
        return len(self._problems) >= MOST_PROBLEMS

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, in the order found."""
        return tuple(self._problems)

    def __len__(self) -> int:
        return len(self._problems)


def at_key(path: str, key: str) -> str:
    """The path of a member: ``$.name``, or ``$["odd name"]``."""
    if key.isidentifier() and len(key) <= 100:
        return f"{path}.{key}"
    return f"{path}[{json.dumps(key if len(key) <= 100 else key[:100] + '…')}]"


def at_index(path: str, index: int) -> str:
    """The path of an element: ``$[0]``."""
    return f"{path}[{index}]"


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a plain JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a plain JSON value is an array."""
    return isinstance(value, list)


def text_problem(text: str) -> str | None:
    """What keeps this string from being stored everywhere, if anything does."""
    if "\0" in text:
        return NUL
    try:
        text.encode()
    except UnicodeEncodeError:
        return SURROGATE
    return None
