"""JSON that comes from the command line, a file or stdin, read as plain values; types are checked by the engine."""

import sys
from pathlib import Path
from typing import Any

from mainspring.ports.codec import Codec
from mainspring.ports.errors import CommandError, InvalidValueError, Problem
from mainspring.ports.names import Payload

_STDIN = "-"


class InputError(CommandError):
    """The input cannot be read."""


def input_text(given: str | None, file: str | None) -> str | None:
    """The input's text; ``-`` reads stdin. None: none was given.

    Raises:
        InputError: given twice, or the file cannot be read.
    """
    if given is not None and file is not None:
        raise InputError("give the input once: --input or --input-file, not both")
    source = file if file is not None else given if given == _STDIN else None
    return given if source is None else _read(source)


def plain(text: str, codec: Codec, subject: str) -> Any:
    """JSON text as plain values.

    Raises:
        InvalidValueError: it is no JSON; with the place, and what to do about a bare word.
    """
    try:
        return codec.decode(Payload(text), Any, subject)
    except InvalidValueError as error:
        if text[:1].isalpha() and text not in {"true", "false", "null"}:
            hint = f"a text needs its quotes inside the shell's: '\"{text[:40]}\"'"
            raise InvalidValueError(subject, (*error.problems, Problem("$", hint))) from error
        raise


def config(text: str | None, codec: Codec) -> dict[str, Any] | None:
    """``--config``: a JSON object ``{stage id: config}``.

    Raises:
        InvalidValueError: it is no JSON object.
    """
    if text is None:
        return None
    value = plain(text, codec, "--config")
    if not isinstance(value, dict):
        found = Problem("$", f"expected an object {{stage id: config}}, found {type(value).__name__}")
        raise InvalidValueError("--config", (found,))
    return value  # pyright: ignore[reportUnknownVariableType]


def _read(source: str) -> str:
    try:
        if source == _STDIN:
            return sys.stdin.read()
        return Path(source).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror or error}") from error
