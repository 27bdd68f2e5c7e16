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


Capture = pytest.CaptureFixture[str]


def test_json_lines_carry_run_stage_and_attempt(capsys: Capture) -> None:
    configure(as_json=True)
    structlog.get_logger("mainspring.test").info("attempt_ended", run="r", stage="s", attempt=2)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("at").endswith("Z")
    assert line == {"level": "info", "event": "attempt_ended", "run": "r", "stage": "s", "attempt": 2}


def test_people_get_one_line_with_the_place_first(capsys: Capture) -> None:
    configure()
    structlog.get_logger().warning("lease_reaped", worker="w 1", attempt=2, run="r", stage="s")
    assert capsys.readouterr().err.endswith("warning  lease_reaped  run=r  stage=s  attempt=2  worker='w 1'\n")


@pytest.mark.fault("S6")
@pytest.mark.parametrize("as_json", [True, False])
def test_passwords_and_tokens_never_reach_a_line(capsys: Capture, *, as_json: bool) -> None:
    configure(as_json=as_json)
    url = "postgresql://me:canary@host/db"
    structlog.get_logger().error(f"cannot open {url}", url=url, why={"of": [url]}, error=ValueError("token=canary"))
    told = capsys.readouterr().err
    assert "cannot open" in told
    assert "canary" not in told


@pytest.mark.fault("S17")
def test_control_characters_are_shown_not_obeyed(capsys: Capture) -> None:
    configure()
    structlog.get_logger().info("red \x1b[31m", message="two\nlines \x9b")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "red \\x1b[31m" in told


def test_a_traceback_keeps_its_lines(capsys: Capture) -> None:
    configure()
    try:
        raise ValueError("bad \x1b[31m")
    except ValueError:
        structlog.get_logger().exception("attempt_crashed")
    told = capsys.readouterr().err
    assert "    Traceback (most recent call last):\n" in told
    assert "\x1b" not in told


def test_lines_below_the_level_are_not_written(capsys: Capture) -> None:
    configure(level="warning")
    structlog.get_logger().info("hello")
    assert not capsys.readouterr().err


def test_a_closed_stderr_costs_the_line_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    configure()
    structlog.get_logger().info("hello")


def test_a_value_that_cannot_print_itself_costs_nothing(capsys: Capture) -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError("no")

    configure()
    structlog.get_logger().info("hello", value=Silent())
    assert "<Silent: RuntimeError>" in capsys.readouterr().err


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(SettingsError, match="there is no log level 'loud'"):
        configure(level="loud")


def test_text_without_surprises_stays_as_it_is() -> None:
    assert printable("Grüße, 世界") == "Grüße, 世界"
    assert printable("a\u202eb\ud800") == "a\\u202eb\\ud800"
