"""Where words go: results on stdout, everything else on stderr. What others wrote is escaped on its way.

Rule: no text reaches rich as markup, and none reaches a terminal with control characters in it.
"""

import json
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from mainspring.hosts.node_worker.logs import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_WIDTH_OF_A_FILE = 250  # so that what is piped keeps its lines


def print_document(document: Any) -> None:
    """One JSON document on stdout. What a terminal would obey is a JSON escape in it."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write("".join(map(_json_safe, text)).encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def _json_safe(mark: str) -> str:
    return mark if mark == "\n" or mark.isprintable() else json.dumps(mark)[1:-1]


def print_error(message: str, lines: Sequence[str] = (), *, multiline: bool = False) -> None:
    """An error on stderr, in plain words."""
    told = [message, *(f"  {line}" for line in lines)] if not multiline else message.splitlines()
    heads = "" if multiline else "error: "
    sys.stderr.write(heads + "\n".join(printable(part) for text in told for part in text.splitlines() or [""]) + "\n")


def note(message: str) -> None:
    """A word for whoever watches, on stderr."""
    sys.stderr.write(printable(message) + "\n")
    sys.stderr.flush()


def safe(text: object, style: str = "") -> "Text":
    """Text for rich that is never markup and never moves the cursor."""
    from rich.text import Text

    return Text(printable(str(text)), style=style)


def out() -> "Console":
    """The console for results."""
    return _console(stderr=False)


def err() -> "Console":
    """The console for people who watch."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_FILE
    return console


@contextmanager
def results_only_on_stdout() -> Generator[None, None, None]:
    """While user code runs, what it prints goes to stderr: stdout is the result's."""
    with redirect_stdout(sys.stderr):
        yield
