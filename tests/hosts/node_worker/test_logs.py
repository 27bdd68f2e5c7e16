import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from mainspring.errors import SettingsError
from mainspring.hosts.node_worker.logs import configure, printable


@pytest.fixture(autouse=True)
def defaults_again() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    return stderr


def test_json_lines_carry_run_stage_and_attempt(lines: io.StringIO) -> None:
    configure(as_json=True)
    structlog.get_logger("mainspring.test").info("attempt_ended", run="r", stage="s", attempt=2)
    line = json.loads(lines.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {"level": "info", "event": "attempt_ended", "run": "r", "stage": "s", "attempt": 2}


def test_people_get_one_line_with_the_place_first(lines: io.StringIO) -> None:
    configure()
    structlog.get_logger().warning("lease_reaped", worker="w 1", attempt=2, run="r", stage="s")
    assert lines.getvalue().endswith("warning  lease_reaped  run=r  stage=s  attempt=2  worker='w 1'\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_passwords_and_tokens_never_reach_a_line(lines: io.StringIO, *, as_json: bool) -> None:
    configure(as_json=as_json)
    url = "postgresql://me:canary@host/db"
    structlog.get_logger().error(f"cannot open {url}", url=url, why={"of": [url]}, error=ValueError("token=canary"))
    assert "cannot open" in lines.getvalue()
    assert "canary" not in lines.getvalue()


def test_control_characters_are_shown_not_obeyed(lines: io.StringIO) -> None:
    configure()
    structlog.get_logger().info("red \x1b[31m", message="two\nlines \x9b")
    assert lines.getvalue().count("\n") == 1
    assert "red \\x1b[31m" in lines.getvalue()


def test_a_traceback_keeps_its_lines(lines: io.StringIO) -> None:
    configure()
    try:
        raise ValueError("bad \x1b[31m")
    except ValueError:
        structlog.get_logger().exception("attempt_crashed")
    assert "    Traceback (most recent call last):\n" in lines.getvalue()
    assert "\x1b" not in lines.getvalue()


def test_lines_below_the_level_are_not_written(lines: io.StringIO) -> None:
    configure(level="warning")
    structlog.get_logger().info("hello")
    assert not lines.getvalue()


def test_a_closed_stderr_costs_the_line_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    configure()
    structlog.get_logger().info("hello")


def test_a_value_that_cannot_print_itself_costs_nothing(lines: io.StringIO) -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError("no")

    configure()
    structlog.get_logger().info("hello", value=Silent())
    assert "<Silent: RuntimeError>" in lines.getvalue()


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(SettingsError, match="there is no log level 'loud'"):
        configure(level="loud")


def test_text_without_surprises_stays_as_it_is() -> None:
    assert printable("Grüße, 世界") == "Grüße, 世界"
    assert printable("a\u202eb\ud800") == "a\\u202eb\\ud800"
