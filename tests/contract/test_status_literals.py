"""Adapters name statuses by the enums of ports.records, never by text: a renamed status must not be missed anywhere."""

import ast
import inspect
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

import mainspring.adapters
from mainspring.ports import records

ENUMS = [kind for _, kind in inspect.getmembers(records, inspect.isclass) if issubclass(kind, StrEnum)]
STATUSES = sorted({member.value for kind in ENUMS if kind is not StrEnum for member in kind})
QUOTED = re.compile(rf"""(?<![\w'"])(['"])({"|".join(STATUSES)})\1(?![\w'"])""")
"""A status in quotes inside a longer text: in a statement."""


def status_literals(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every literal that is a status, or holds one in quotes; docstrings are prose."""
    tree = ast.parse(source)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in prose
            and (node.value in STATUSES or QUOTED.search(node.value))
        ):
            yield node.lineno, node.value


def test_no_adapter_holds_a_status_literal() -> None:
    (root,) = mainspring.adapters.__path__
    files = sorted(Path(root).resolve().rglob("*.py"))
    assert len(files) > 10
    found = [f"{path}:{line}: {text!r}" for path in files for line, text in status_literals(path.read_text())]
    assert not found, "use the enums of mainspring.ports.records:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "planted",
    [
        'x = "parked"',
        "sql = \"update jobs set phase = 'ready' where x\"",
        "sql = f\"{y} = 'failed'\"",
        'f(status="completed")',
    ],
)
def test_a_planted_status_literal_is_found(planted: str) -> None:
    assert list(status_literals(planted))


def test_prose_and_longer_words_are_no_status_literals() -> None:
    innocent = '"""Tells "failed" from others."""\nindex = "jobs_ready"\ntext = "it failed; see above"'
    assert not list(status_literals(innocent))
