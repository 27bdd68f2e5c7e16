"""Failures: turns whatever user code raised into a bounded, harmless record."""

import re
import traceback

from mainspring.ports.errors import InvalidValueError
from mainspring.ports.records import Failure

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 8_000
_PASSWORD = re.compile(r"(?P<scheme>://[^\s:/@]{0,200}):[^\s/@]{1,1000}@")
_SECRET = re.compile(
    r"(?P<key>(?:password|passwd|secret|token|api[_-]?key|authorization)[\"']?\s*[=:]\s*[\"']?)"
    r"(?:bearer\s+)?[^\s\"',;&]+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text without passwords in URLs and without values that stand behind a telling name."""
    return _SECRET.sub(r"\g<key>***", _PASSWORD.sub(r"\g<scheme>:***@", text))


def failure_of(error: BaseException, *, code: str = "failed") -> Failure:
    """What is recorded of an exception: class, message and traceback as text, cut and redacted. Never raises."""
    return Failure(
        code=code,
        type=_type_name(error),
        message=_bounded(_message(error)),
        traceback=_cut_middle(redacted(_cut_middle(_trace(error), 4 * MAX_TRACEBACK)), MAX_TRACEBACK),
    )


def invalid(error: InvalidValueError, code: str) -> Failure:
    """A value that does not fit: the same for every attempt."""
    return Failure(code=code, type=type(error).__name__, message=_bounded(str(error)))


def _type_name(error: BaseException) -> str:
    kind = type(error)
    plain = kind.__module__ in {"builtins", "__main__"}
    return kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return _plain(str(error)) or type(error).__name__
    except BaseException as broken:  # noqa: BLE001  a body's exception may fail to print itself
        return f"<its message cannot be printed: {type(broken).__name__}>"


def _trace(error: BaseException) -> str:
    try:
        told = traceback.TracebackException.from_exception(error, limit=-30)
        _leave_out_carets(told)
        return _plain("".join(told.format()))
    except BaseException:  # noqa: BLE001
        return ""


def _leave_out_carets(told: traceback.TracebackException) -> None:
    """No markers below the lines: to place those, every frame's source is parsed, at 0.1 ms a time."""
    waiting: list[traceback.TracebackException | None] = [told]
    known: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in known:
            known.add(id(one))
            for frame in one.stack:
                frame.colno = None
            waiting += [one.__cause__, one.__context__, *(one.exceptions or ())]


def _plain(text: str) -> str:
    """Text any store takes: no NUL, no lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\\x00")


def _bounded(text: str) -> str:
    """Cut before it is searched for secrets, too: a search of a huge text would take for ever."""
    return _cut(redacted(_cut(text, 4 * MAX_MESSAGE)), MAX_MESSAGE)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cut_middle(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2 - 10
    return f"{text[:half]}\n  … cut …\n{text[-half:]}"
