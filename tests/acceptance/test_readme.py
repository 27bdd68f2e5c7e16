"""The examples in the documentation run as they stand."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mainspring import Mainspring
from mainspring.testing import TestEngine
from tests.acceptance.deployments import DEPLOYMENTS

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"<!-- example: (?P<name>[a-z ]+) -->\n```python\n(?P<code>.*?)```\n", re.DOTALL)


def examples(document: str) -> dict[str, str]:
    """The named examples of one document."""
    text = (ROOT / document).read_text()
    return {found["name"]: found["code"] for found in EXAMPLE.finditer(text)}


def module_of(code: str, name: str, folder: Path) -> ModuleType:
    """The example as a module."""
    path = folder / f"{name}.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(f"documented_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # annotations are looked up there
    spec.loader.exec_module(module)
    return module


def test_every_python_block_is_a_named_example() -> None:
    for document in ("README.md", "docs/guide.md"):
        assert (ROOT / document).read_text().count("```python") == len(examples(document))


def test_the_first_workflow_is_the_file_it_names_and_is_short() -> None:
    code = examples("README.md")["hello"]
    assert (ROOT / "examples/hello.py").read_text().endswith(code)
    assert len(code.splitlines()) <= 20
    assert len(examples("README.md")["hello test"].splitlines()) <= 10


async def test_the_first_test_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    await module_of(examples("README.md")["hello test"], "hello_test", tmp_path).test_greeting()


async def test_the_program_runs_and_a_second_start_finds_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = module_of(examples("README.md")["program"], "program", tmp_path)
    assert await program.main() == 416
    assert await program.main() == 416
    async with Mainspring("sqlite:///orders.db", worker=False) as engine:
        assert len((await engine.runs()).runs) == 1


async def test_the_guide_s_graph_and_config_run(tmp_path: Path) -> None:
    found = examples("docs/guide.md")
    graph = module_of(found["graph"], "graph", tmp_path)
    config = module_of(found["config"], "config", tmp_path)
    async with TestEngine(graph.analysis, config.filtering) as engine:
        assert await engine.run(graph.analysis, "a list of words") == "4 words, the longest is 'words' of 4"
        assert await engine.run(config.filtering, "a list", config={"long_words": {"least": 2}}) == ["list"]
        assert await engine.run(config.filtering, "a list of") == ["list"]


async def test_the_guide_s_stages_that_wait_and_leave_files_run(tmp_path: Path) -> None:
    found = examples("docs/guide.md")
    pending = module_of(found["pending"], "pending", tmp_path)
    artifact = module_of(found["artifact"], "artifact", tmp_path)
    async with TestEngine(pending.transcripts, artifact.reports) as engine:
        assert await engine.run(pending.transcripts, "a call") == "text of job for a call!!"
        run = await engine.start(artifact.reports, "Sales")
        assert await engine.finish(run) == 8
        assert await run.artifact(artifact.render, "report.md") == b"# Sales\n"


def test_the_readme_s_matrix_names_every_deployment_and_each_passes_whole() -> None:
    rows = re.findall(r"^\| (.+?) \| (\d+) of (\d+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [name for name, _, _ in rows] == list(DEPLOYMENTS)
    assert all(passed == total for _, passed, total in rows)
