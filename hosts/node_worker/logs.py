"""Log lines of a process: structlog on stderr, for people or as JSON.

Rule: a line carries no secret and nothing that a terminal would obey, and writing one never fails its writer.
"""

import json
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import structlog

from mainspring.hosts.execution.failures import redacted
from mainspring.ports.errors import SettingsError

LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_Event = MutableMapping[str, Any]
_SEVERAL_LINES = frozenset({"exception", "stack"})
_FIRST = ("run", "stage", "index", "attempt")


def configure(*, as_json: bool = False, level: str = "info") -> None:
    """Send this process' structlog lines to stderr from ``level`` on.

    Raises:
        SettingsError: there is no such level.
    """
    if level not in LEVELS:
        raise SettingsError(f"there is no log level {level!r}; expected one of {', '.join(LEVELS)}")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json, key="at"),
            _masked,
            _as_json if as_json else _for_people,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=_LineLogger,
        cache_logger_on_first_use=False,
    )


class _LineLogger:
    """Writes to whatever ``sys.stderr`` is by then. A closed pipe or a full disk costs the line, never the worker."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


def _masked(_: object, __: str, event: _Event) -> _Event:
    return {name: _clean(value) for name, value in event.items()}


def _clean(value: object) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        fields: dict[Any, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
        return {str(name): _clean(one) for name, one in fields.items()}
    if isinstance(value, list | tuple):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return [_clean(one) for one in items]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redacted(_told(value))


def _told(value: object) -> str:
    """A value as text; a body may log something that cannot even print itself."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001
        return f"<{type(value).__name__}: {type(error).__name__}>"


def _as_json(_: object, __: str, event: _Event) -> str:
    first = {name: event.pop(name) for name in ("at", "level", "event") if name in event}
    return json.dumps({**first, **event}, default=str)


def _for_people(_: object, __: str, event: _Event) -> str:
    at, level, name = (str(event.pop(field, "")) for field in ("at", "level", "event"))
    below = [str(event.pop(field)) for field in sorted(_SEVERAL_LINES) if event.get(field)]
    fields = [field for field in _FIRST if field in event] + [field for field in event if field not in _FIRST]
    told = "".join(f"  {field}={printable(_short(event[field]))}" for field in fields)
    head = f"{at} {level:<8} {printable(name)}{told}"
    return "\n".join([head, *("    " + printable(line) for text in below for line in text.splitlines())])


def _short(value: object) -> str:
    text = str(value)
    return text if text and not any(mark.isspace() for mark in text) else repr(text)


def printable(text: str) -> str:
    """The text with everything that a terminal would obey, or that is not seen, as an escape."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)
