"""Each import rule holds, and each is shown to bite: a violation planted in a copy of the tree breaks its contract."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.packaging.tree import FOLDERS, ROOT

CONTRACTS = ("layers", "wiring", "pure", "technologies", "hosts", "inside-hosts", "acyclic")

#: (contract, {file: its source}): every file is new, so that the tree's own growth never disarms a plant.
VIOLATIONS = [
    ("layers", {"kernel/planted.py": "import mainspring.hosts"}),
    ("layers", {"kernel/planted.py": "import mainspring.adapters"}),
    ("layers", {"adapters/planted.py": "import mainspring.kernel"}),
    ("layers", {"adapters/planted.py": "import mainspring.hosts"}),
    ("layers", {"ports/planted.py": "import mainspring.kernel"}),
    ("layers", {"ports/planted.py": "def late():\n    import mainspring.adapters"}),
    ("wiring", {"hosts/node_worker/planted.py": "import mainspring.adapters"}),
    ("wiring", {"hosts/execution/planted.py": "import mainspring.adapters"}),
    (
        "wiring",
        {
            "src/mainspring/planted_root.py": "import mainspring.adapters",
            "hosts/serverless/planted.py": "import mainspring.planted_root",
        },
    ),
    ("pure", {"kernel/planted.py": "import time"}),
    ("pure", {"kernel/planted.py": "from asyncio import sleep"}),
    ("pure", {"kernel/planted.py": "from os.path import join"}),
    ("pure", {"kernel/planted.py": "import sqlalchemy.exc"}),
    ("pure", {"ports/planted.py": "def late():\n    import random"}),
    ("pure", {"ports/contracts/planted.py": "import pytest"}),
    (
        "technologies",
        {
            "adapters/planted_one/__init__.py": "",
            "adapters/planted_two/__init__.py": "import mainspring.adapters.planted_one",
        },
    ),
    ("hosts", {"hosts/node_worker/planted.py": "import mainspring.hosts.serverless"}),
    ("hosts", {"hosts/serverless/planted.py": "import mainspring.hosts.node_worker"}),
    ("inside-hosts", {"hosts/execution/planted.py": "import mainspring.hosts.node_worker"}),
    ("inside-hosts", {"hosts/node_worker/planted.py": "import mainspring.hosts.cli"}),
    ("inside-hosts", {"hosts/execution/planted.py": "import mainspring.hosts.upkeep"}),
    ("inside-hosts", {"hosts/planted.py": ""}),  # a host that the rule has not placed
    (
        "acyclic",
        {
            "kernel/planted_one.py": "import mainspring.kernel.planted_two",
            "kernel/planted_two.py": "import mainspring.kernel.planted_one",
        },
    ),
]

#: All that decisions may be made of, beside ports: values, and ways to arrange them.
PURE = {
    *("__future__", "abc", "base64", "bisect", "collections", "contextlib", "copy", "datetime", "decimal", "enum"),
    *("fractions", "functools", "graphlib", "hashlib", "heapq", "inspect", "itertools", "json", "keyword", "math"),
    *(
        "dataclasses",
        "operator",
        "re",
        "string",
        "struct",
        "textwrap",
        "traceback",
        "types",
        "typing",
        "unicodedata",
        "weakref",
    ),
    *("attr", "attrs", "typing_extensions"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of all that the import rules look at, links included."""
    for folder in ("src", *FOLDERS):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(tree: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = tree / name
        assert not path.exists()
        path.parent.mkdir(exist_ok=True)
        path.write_text(source + "\n")


def lint_imports(tree: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    chosen = [argument for contract in contracts for argument in ("--contract", contract)]
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo", *chosen],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src")},  # before the repository's own, which is installed
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_tree_keeps_all_seven_rules(copy: Path) -> None:
    linted = lint_imports(copy, *CONTRACTS)
    assert "7 kept, 0 broken" in linted.stdout, linted.stdout
    assert linted.returncode == 0


@pytest.mark.parametrize(("contract", "files"), VIOLATIONS)
def test_a_planted_violation_breaks_its_rule(copy: Path, contract: str, files: dict[str, str]) -> None:
    plant(copy, files)
    linted = lint_imports(copy, contract)
    assert "0 kept, 1 broken" in linted.stdout, linted.stdout
    assert "planted" in linted.stdout
    assert linted.returncode == 1


def test_every_rule_has_a_planted_violation() -> None:
    assert {contract for contract, _ in VIOLATIONS} == set(CONTRACTS)


@pytest.mark.parametrize("program", ["cli/planted.py", "planted/__main__.py", "planted/app.py"])
def test_a_program_may_name_adapters(copy: Path, program: str) -> None:
    plant(copy, {f"hosts/{program}": "import mainspring.adapters.planted", "adapters/planted.py": ""})
    (copy / "hosts" / program).with_name("__init__.py").touch()
    linted = lint_imports(copy, "wiring")
    assert linted.returncode == 0, linted.stdout


def test_kernel_and_ports_are_made_of_values_only() -> None:
    graph = grimp.build_graph("mainspring", include_external_packages=True, cache_dir=None)
    pure = {
        module
        for package in ("mainspring.kernel", "mainspring.ports")
        for module in (package, *graph.find_descendants(package))
    }
    strangers = {
        (module, imported)
        for module in pure
        for imported in graph.find_modules_directly_imported_by(module)
        if imported not in pure | PURE and not (imported == "asyncio" and ".contracts." in module)  # they race callers
    }
    assert not strangers
