"""Finds the tests that carry ``fault`` and ``promise`` marks, by reading their source.

A mark counts where pytest would see it: on a test function or class, in ``pytestmark``, or in what a decorator of a
test names (``pytest.param(..., marks=...)``). Any other mark is a stray: it proves nothing, and a test says so.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs
from typing_extensions import TypeIs

KINDS = ("fault", "promise")

#: The widest proof first: what a reader is shown when not all fits.
ORDER = (
    *("simulation", "integration", "acceptance", "property", "hosts"),
    *("contract", "security", "migrations", "packaging", "unit"),
)

Test = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@attrs.frozen
class Found:
    """A test that carries a mark: its file from the root of the repository, and its name there."""

    file: str
    name: str

    @property
    def rank(self) -> tuple[int, str, str]:
        """What to sort by."""
        folder = self.file.split("/")[1]
        return (ORDER.index(folder) if folder in ORDER else len(ORDER), self.file, self.name)


@attrs.frozen
class Scan:
    """All marks by kind and number, each with its tests in a fixed order; and the marks that belong to no test."""

    faults: Mapping[int | str, tuple[Found, ...]]
    promises: Mapping[int | str, tuple[Found, ...]]
    strays: tuple[str, ...]


def scan(files: Iterable[Path], root: Path) -> Scan:
    """What the files mark; their order does not matter.

    Raises:
        ValueError: a mark's number is not written out as a number or a text.
    """
    found: dict[str, dict[int | str, set[Found]]] = {kind: defaultdict(set) for kind in KINDS}
    strays: list[str] = []
    for file in sorted(files):
        path = file.relative_to(root).as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"), path)
        seen: set[ast.Call] = set()
        for name, call in _marked(tree) if file.name.startswith("test_") else ():
            seen.add(call)
            for number in _numbers(call, path):
                found[_kind(call)][number].add(Found(path, name))
        strays += [f"{path}:{call.lineno}" for call in _calls(tree) if call not in seen]
    return Scan(
        faults=_in_order(found["fault"]),
        promises=_in_order(found["promise"]),
        strays=tuple(strays),
    )


def _in_order(found: Mapping[int | str, set[Found]]) -> dict[int | str, tuple[Found, ...]]:
    return {number: tuple(sorted(tests, key=lambda one: one.rank)) for number, tests in found.items()}


def _kind(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Each ``….mark.fault(…)`` and ``….mark.promise(…)`` below the node."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="mark"), attr=kind)) if kind in KINDS:
                yield node
            case _:
                pass


def _numbers(call: ast.Call, path: str) -> Iterator[int | str]:
    for argument in call.args:
        match argument:
            case ast.Constant(value=int() | str() as number):
                yield number
            case _:
                found = ast.unparse(argument)
                raise ValueError(f"{path}:{call.lineno}: write the number of a mark out, found {found}")


def _marked(module: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Names of tests with the marks they carry."""
    assigned = _assignments(module)
    tests = [node for node in module.body if _is_test(node)]
    for call in _below([assigned["pytestmark"]] if "pytestmark" in assigned else [], assigned):
        yield from ((test.name, call) for test in tests)
    for test in tests:
        yield from ((test.name, call) for call in _below(test.decorator_list, assigned))
        if isinstance(test, ast.ClassDef):
            own = _assignments(test)
            yield from ((test.name, call) for call in _below([own[n] for n in own if n == "pytestmark"], assigned))
            for case in filter(_is_test, test.body):
                calls = _below(case.decorator_list, assigned | own)
                yield from ((f"{test.name}::{case.name}", call) for call in calls)


def _is_test(node: ast.stmt) -> TypeIs[Test]:
    if isinstance(node, ast.ClassDef):
        return node.name.startswith("Test")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def _assignments(scope: ast.Module | ast.ClassDef) -> dict[str, ast.expr]:
    """What each name of the scope was set to."""
    found: dict[str, ast.expr] = {}
    for node in scope.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = value
            case _:
                pass
    return found


def _below(expressions: Iterable[ast.expr], assigned: Mapping[str, ast.expr]) -> list[ast.Call]:
    """The marks in the expressions, and in what the names they use were set to."""
    calls: list[ast.Call] = []
    todo, names = list(expressions), set[str]()
    while todo:
        expression = todo.pop()
        calls += _calls(expression)
        used = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
        fresh = sorted((used & set(assigned)) - names)
        names.update(fresh)
        todo += [assigned[name] for name in fresh]
    return calls
