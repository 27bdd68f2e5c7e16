"""Columns as PostgreSQL's array literals: one text per column is several times cheaper than a list of values.

Rule: whatever a text holds, it arrives as it was, or is refused; no value can end its column or begin another.
"""

import re
from collections.abc import Sequence

from mainspring.ports.errors import InvalidValueError, Problem

_PART, _NULL = "\x1f", "\x1e"
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID_LENGTH = 36


def numbers(values: Sequence[int | None]) -> str:
    """Integers and truth values. A list's own text is what the server reads, but for its brackets and its ``None``."""
    text = repr(list(values))
    if "<" in text:  # members of an enumeration
        text = repr([value if value is None else int(value) for value in values])
    return "{" + text[1:-1].replace("None", "NULL") + "}"


def ids(values: Sequence[str | None]) -> str:
    """UUIDs in their text form; what has another length is refused here, what is none by the server.

    Raises:
        InvalidValueError: a value is no UUID.
    """
    joined = ",".join(map(str, values))
    given = len(values) - values.count(None)
    length = given * _ID_LENGTH + (len(values) - given) * len("None") + max(len(values) - 1, 0)
    if len(joined) != length or joined.count(",") != max(len(values) - 1, 0):
        raise InvalidValueError("id", (Problem("$", "expected UUIDs in their 36-character form"),))
    return "{" + joined.replace("None", "NULL") + "}"


def one_id(value: str) -> str:
    """The same for a single one, which travels by itself.

    Raises:
        InvalidValueError: it is no UUID.
    """
    return value if len(value) == _ID_LENGTH else ids([value])


def texts(values: Sequence[str | None]) -> str:
    """Texts of any content. Two control characters part them while they are escaped all at once."""
    if not values:
        return "{}"
    nulls = values.count(None)
    joined = _PART.join([_NULL if value is None else value for value in values])
    if joined.count(_PART) != len(values) - 1 or joined.count(_NULL) != nulls:
        return "{" + ",".join("NULL" if value is None else f'"{_escaped(value)}"' for value in values) + "}"
    literal = '{"' + _escaped(joined).replace(_PART, '","') + '"}'
    return literal.replace(f'"{_NULL}"', "NULL") if nulls else literal


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def is_id(text: str) -> bool:
    """Whether the text is an id of a run as the server takes it; what is none names no row."""
    return _ID.fullmatch(text) is not None
