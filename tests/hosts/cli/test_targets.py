import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring.hosts.cli.targets import Target, TargetError, every, one, parse
from tests.hosts.cli import flows

HEAD = "from mainspring import Context, Workflow, stage, workflow\n"
STAGE = "@stage\ndef first(ctx: Context) -> int:\n    return 1\n"
FLOW = "@workflow\ndef {}(ctx: Context) -> int:\n    return 1\n"


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("planted", "_mainspring_target")):
            del sys.modules[name]


def planted(folder: Path, source: str, name: str = "planted.py") -> str:
    (folder / name).write_text(HEAD + source)
    return str(folder / name)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("module", Target("module", None)),
        ("a.b:name", Target("a.b", "name")),
        ("a/b.py", Target("a/b.py", None)),
        ("a/b.py:name", Target("a/b.py", "name")),
        ("b.py:name.part", Target("b.py", "name.part")),
    ],
)
def test_targets_are_taken_apart(text: str, target: Target) -> None:
    assert parse(text) == target


@pytest.mark.parametrize("text", ["", ":", ":name", "module:", "module:na me", "module:1"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(TargetError, match="expected module:name"):
        parse(text)


def test_the_only_workflow_of_a_file_needs_no_name(tmp_path: Path) -> None:
    assert one(planted(tmp_path, FLOW.format("only"))).workflow_id == "only"


def test_several_workflows_are_listed(tmp_path: Path) -> None:
    file = planted(tmp_path, FLOW.format("a") + FLOW.format("b"))
    with pytest.raises(TargetError, match=f"name one of: {file}:a, {file}:b"):
        one(file)
    assert [workflow.workflow_id for workflow in every(file)] == ["a", "b"]
    assert one(f"{file}:b").workflow_id == "b"
    assert [workflow.workflow_id for workflow in every(f"{file}:b")] == ["b"]


def test_a_module_is_found_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    planted(tmp_path, FLOW.format("only"), "planted_module.py")
    assert one("planted_module:only").workflow_id == "only"


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    planted(tmp_path, FLOW.format("only"), "planted_neighbour.py")
    assert one(planted(tmp_path, "from planted_neighbour import only\n")).workflow_id == "only"


def test_a_file_may_be_called_as_a_standard_module(tmp_path: Path) -> None:
    assert one(planted(tmp_path, FLOW.format("only"), "json.py")).workflow_id == "only"


@pytest.mark.parametrize(
    ("source", "name", "told"),
    [
        ("", "", "holds no workflow"),
        (
            STAGE,
            "",
            r'holds stages but no workflow; put them together: Workflow\("planted", version="1"\).pipe\(first\)',
        ),
        (STAGE, ":first", "is a stage; draw it"),
        (FLOW.format("only"), ":other", "has no 'other'; its workflows: only"),
        (FLOW.format("only") + "x = 1\n", ":x", "is no workflow but of type int; its workflows: only"),
        ("1 / 0\n", "", r"cannot be imported: ZeroDivisionError: division by zero \(.*planted.py, line 2\)"),
        ("raise SystemExit(3)\n", "", "cannot be imported: SystemExit: 3"),
        ("import nowhere_to_be_found\n", "", "cannot be imported: ModuleNotFoundError: .*nowhere_to_be_found"),
        ("this is no python\n", "", "cannot be imported: SyntaxError"),
        (STAGE + 'x = Workflow("x", version="1").pipe(first).pipe(first)\n', "", "defines a workflow that cannot run"),
    ],
)
def test_what_cannot_be_used_is_told_with_a_cure(tmp_path: Path, source: str, name: str, told: str) -> None:
    with pytest.raises(TargetError, match=told):
        one(planted(tmp_path, source) + name)


@pytest.mark.parametrize(
    "target", ["nowhere.py", "nowhere/at/all.py:name", "nowhere_module:name", "a-b:name", "os:path"]
)
def test_what_is_not_there_is_told(target: str) -> None:
    with pytest.raises(TargetError):
        one(target)


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first = one(planted(tmp_path / "a", FLOW.format("in_a")))
    second = one(planted(tmp_path / "b", FLOW.format("in_b")))
    assert (first.workflow_id, second.workflow_id) == ("in_a", "in_b")


def test_a_workflow_under_two_names_counts_once(tmp_path: Path) -> None:
    assert one(planted(tmp_path, FLOW.format("only") + "again = only\n")).workflow_id == "only"


def test_flows_of_these_tests_are_found() -> None:
    assert {"greeting", "graph"} <= {workflow.workflow_id for workflow in every(flows.__file__)}
