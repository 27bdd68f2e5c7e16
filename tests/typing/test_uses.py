"""Right uses pass both type checkers; each wrong use is an error in both."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RIGHT = Path(__file__).with_name("right_uses.py")
WRONG = Path(__file__).with_name("wrong_uses.py")
MARK = re.compile(r"  # type: ignore\[[a-z, -]+\]$")

Errors = set[tuple[str, int]]
"""Where errors stand: file name and line."""


def mypy(*files: Path) -> Errors:
    """A cache of its own, kept between runs: other checks may be writing theirs."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir=.mypy_cache/uses", *map(str, files)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode in {0, 1}, answer.stdout + answer.stderr
    found = re.findall(r"^(.+?):(\d+): error: ", answer.stdout, re.MULTILINE)
    assert (answer.returncode == 1) == bool(found), answer.stdout + answer.stderr
    return {(Path(file).name, int(line)) for file, line in found}


def pyright(*files: Path) -> Errors:
    command = [sys.executable, "-m", "pyright", "--outputjson", *map(str, files)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode in {0, 1}, answer.stdout + answer.stderr
    found = [one for one in json.loads(answer.stdout)["generalDiagnostics"] if one["severity"] == "error"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_right_uses_pass_and_each_wrong_use_is_an_error(check: Callable[..., Errors], tmp_path: Path) -> None:
    lines = WRONG.read_text().splitlines()
    bare = tmp_path / "bare.py"
    bare.write_text("\n".join(MARK.sub("", line) for line in lines) + "\n")
    expected = {(bare.name, number) for number, line in enumerate(lines, 1) if MARK.search(line)}
    assert len(expected) > 25
    assert check(bare, RIGHT) == expected
