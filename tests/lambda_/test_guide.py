"""What docs/lambda.md says is so: its code runs, its requests are taken, its codes are all there are."""

import contextlib
import io
import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from mainspring.hosts.serverless import direct

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "lambda.md").read_text()
EXAMPLE = re.compile(r"<!-- example: (?P<name>[a-z ]+) -->\n```python\n(?P<code>.*?)```\n", re.DOTALL)
EXAMPLES = {found["name"]: found["code"] for found in EXAMPLE.finditer(TEXT)}


def test_every_python_block_is_a_named_example() -> None:
    assert TEXT.count("```python") == len(EXAMPLES)


def test_the_module_is_the_one_that_is_deployed_and_the_user_s_part_is_short() -> None:
    assert (ROOT / "examples" / "lambda" / "app.py").read_text() == EXAMPLES["app"]
    assert len(EXAMPLES["app"].splitlines()) <= 12


def test_the_handlers_run_on_a_laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSPRING_DATABASE", f"sqlite:///{tmp_path}/lambda.db")
    for name in ("TRANSPORT", "BLOBS", "SCHEDULER"):
        monkeypatch.delenv(f"MAINSPRING_{name}", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "app.py").write_text(EXAMPLES["app"])
    (tmp_path / "laptop.py").write_text(EXAMPLES["laptop"])
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(str(tmp_path / "laptop.py"))
        assert said.getvalue() == "completed hello Ada\n"
    finally:
        module = sys.modules.pop("app", None)
        if module is not None:
            module.app.close()


def test_the_requests_are_taken_and_name_every_field() -> None:
    found = re.search(r"<!-- requests -->\n```json\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    requests = json.loads(found[1])
    assert [request["action"] for request in requests] == list(direct.FIELDS)
    for request in requests:
        action, _ = direct.read(request)
        assert set(request) - {"action"} == set(direct.FIELDS[action])


def test_the_codes_are_all_there_are() -> None:
    codes = {*direct.CODES.values(), "refused", "unavailable", "internal"}
    told = re.search(r"one of the codes (.*?)\. `retry`", TEXT, re.DOTALL)
    assert told is not None
    assert set(re.findall(r"`(\w+)`", told[1])) == codes
