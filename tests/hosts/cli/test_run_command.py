import json
import os
import signal
from pathlib import Path

import pytest

from mainspring import RunStatus
from tests.hosts.cli import flows
from tests.hosts.cli.conftest import CommandLine
from tests.hosts.programs import Program, until

FLOWS = flows.__file__
GREETING = f"{FLOWS}:greeting"


def test_a_completed_run_prints_its_output_and_exits_with_0(cli: CommandLine) -> None:
    result = cli("run", GREETING, "--input", '"world"')
    assert (result.exit_code, result.stdout) == (0, '"Hello, world!"\n')
    assert "completed in" in result.stderr


def test_what_bodies_print_does_not_mix_with_the_result(cli: CommandLine) -> None:
    result = cli("run", GREETING, "--input", '"world"')
    assert "greeting world" not in result.stdout


def test_json_tells_the_run_and_its_output(cli: CommandLine) -> None:
    document = cli.document("run", f"{FLOWS}:graph", "--input", "4", "--tag", "a", "--tag", "b", "--priority", "5")
    told = {name: document[name] for name in ("workflow", "version", "status", "created", "tags", "priority", "output")}
    assert told == {
        "workflow": "graph",
        "version": "1",
        "status": "completed",
        "created": True,
        "tags": ["a", "b"],
        "priority": 5,
        "output": {"total": 12, "most": 6},
    }


def test_a_failed_run_exits_with_1_and_tells_why(cli: CommandLine) -> None:
    result = cli("run", f"{FLOWS}:failing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "failed in stage failing" in result.stderr
    assert "\\x1b[31m evil\\x07" in result.stderr
    assert "\x1b" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_failed_run_as_json(cli: CommandLine) -> None:
    document = cli.document("run", f"{FLOWS}:failing", code=1)
    assert document["status"] == "failed"
    assert document["output"] is None
    assert document["failure"]["stage"] == "failing"
    assert document["failure"]["message"] == flows.EVIL


def test_a_body_that_calls_exit_fails_its_run_only(cli: CommandLine) -> None:
    assert cli.document("run", f"{FLOWS}:leaving", code=1)["failure"]["type"] == "SystemExit"


def test_a_run_that_does_not_end_in_time_exits_with_5_and_stays(cli: CommandLine) -> None:
    document = cli.document("run", f"{FLOWS}:waiting", "--timeout", "0.2", code=5)
    assert document["error"]["type"] == "WaitingTimedOutError"
    assert f"mainspring worker {FLOWS}:waiting" in document["error"]["message"]
    run = cli.ask(lambda engine: engine.handle(document["run"]).describe())
    assert run.status in {RunStatus.PENDING, RunStatus.RUNNING}
    jobs = cli.ask(lambda engine: engine.parts.store.jobs(run.id))
    assert [(job.lease_id, job.attempt) for job in jobs] == [(None, 0)]


def test_the_same_key_meets_the_same_run(cli: CommandLine) -> None:
    first = cli.document("run", GREETING, "--input", '"a"', "--key", "k")
    again = cli.document("run", GREETING, "--input", '"a"', "--key", "k")
    assert (again["run"], again["created"], again["output"]) == (first["run"], False, "Hello, a!")


def test_another_input_under_the_same_key_exits_with_2(cli: CommandLine) -> None:
    cli.document("run", GREETING, "--input", '"a"', "--key", "k")
    document = cli.document("run", GREETING, "--input", '"b"', "--key", "k", code=2)
    assert document["error"]["type"] == "ConflictError"


def test_a_run_in_memory_leaves_nothing_behind(cli: CommandLine) -> None:
    document = cli.document("run", GREETING, "--input", '"a"', "--database", "memory://")
    assert document["output"] == "Hello, a!"
    assert not list(cli.folder.iterdir())


def test_config_reaches_its_stage(cli: CommandLine) -> None:
    config = json.dumps({"greet": {"word": "Bye"}})
    assert cli.document("run", GREETING, "--input", '"a"', "--config", config)["output"] == "Bye, a!"


@pytest.mark.parametrize("option", ["--input", "--input-file"])
def test_input_comes_from_stdin(cli: CommandLine, option: str) -> None:
    assert cli("run", GREETING, option, "-", input='"stdin"').stdout == '"Hello, stdin!"\n'


def test_input_comes_from_a_file(cli: CommandLine) -> None:
    file = cli.folder / "input.json"
    file.write_text('"file"')
    assert cli("run", GREETING, "--input-file", str(file)).stdout == '"Hello, file!"\n'


def test_every_problem_of_the_input_is_told_with_its_path_and_nothing_is_written(cli: CommandLine) -> None:
    wrong = json.dumps({"number": "one", "items": ["a", 2, None]})
    document = cli.document("run", f"{FLOWS}:order", "--input", wrong, code=2)
    assert document["error"]["message"] == "invalid input of workflow order"
    paths = [problem["path"] for problem in document["error"]["problems"]]
    assert sorted(paths) == ["$.items[1]", "$.items[2]", "$.number"]
    assert not cli.document("runs", "list")["runs"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--input", "world"), "its quotes"),
        (("--input", '{"a": 1, "a": 2}'), "$"),
        (("--input", "NaN"), "$"),
        (("--input", "1", "--input-file", "-"), "not both"),
        (("--input-file", "nowhere.json"), "nowhere.json cannot be read"),
        (("--input", '"a"', "--config", "[]"), "expected an object"),
        (("--input", '"a"', "--config", '{"nope": {}}'), "no stage of that id"),
        (("--input", '"a"', "--priority", "99999"), "must be between"),
        (("--input", '"a"', "--tag", ""), "non-empty"),
        (("--input", '"a"', "--timeout", "-1"), "--timeout"),
        (("--input", '"a"', "--bogus"), "No such option"),
        (("--input", '"a"', "--log-level", "loud"), "no log level"),
        ((), "$"),
    ],
)
def test_wrong_arguments_exit_with_2_and_words(cli: CommandLine, arguments: tuple[str, ...], told: str) -> None:
    result = cli("run", GREETING, *arguments)
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert not result.stdout
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_text_is_refused(cli: CommandLine) -> None:
    file = cli.folder / "input.json"
    file.write_bytes(b"\xff\xfe")
    result = cli("run", GREETING, "--input-file", str(file))
    assert result.exit_code == 2
    assert "is not UTF-8" in result.stderr


async def test_a_cancelled_run_exits_with_3(cli: CommandLine, tmp_path: Path) -> None:
    environment = {"FLOWS": str(tmp_path), "MAINSPRING_DATABASE": cli.url}
    with Program("run", f"{FLOWS}:waiting", "--json", folder=tmp_path, environment=environment) as program:
        await until((tmp_path / "waiting").exists, "the body")
        with Program("runs", "list", "--json", folder=tmp_path, environment=environment) as listing:
            assert await listing.ends() == 0
            (run,) = json.loads(listing.output())["runs"]
        cancelling = ("runs", "cancel", run["run"], "--reason", "tired", "--json")
        with Program(*cancelling, folder=tmp_path, environment=environment) as cancel:
            assert await cancel.ends() == 0
            assert json.loads(cancel.output()) == {"run": run["run"], "status": "cancelling"}
        assert await program.ends() == 3
        document = json.loads(program.output())
    assert (document["status"], document["cancel_reason"]) == ("cancelled", "tired")


async def test_ctrl_c_leaves_the_run_and_the_same_key_goes_on_with_it(cli: CommandLine, tmp_path: Path) -> None:
    command = ("run", f"{FLOWS}:waiting", "--key", "k", "--json")
    environment = {"FLOWS": str(tmp_path), "MAINSPRING_DATABASE": cli.url}
    with Program(*command, folder=tmp_path, environment=environment) as program:
        await until((tmp_path / "waiting").exists, "the body")
        assert await program.ends(signal.SIGINT) == 130
        left = json.loads(program.output())
        assert left["error"]["type"] == "InterruptedRunError"
    (tmp_path / "go").touch()
    with Program(*command, folder=tmp_path, environment=environment) as program:
        assert await program.ends() == 0
        ended = json.loads(program.output())
    assert (ended["run"], ended["created"], ended["output"]) == (left["run"], False, "went")


async def test_progress_is_drawn_on_a_terminal(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    ours, theirs = os.openpty()
    environment = {"FLOWS": str(tmp_path), "MAINSPRING_DATABASE": cli.url, "TERM": "xterm-256color", "COLUMNS": "200"}
    command = ("run", f"{FLOWS}:graph", "--input", "3")
    try:
        with Program(*command, folder=tmp_path, environment=environment, stderr=theirs) as program:
            assert await program.ends() == 0
            drawn = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "double" in drawn
    assert "3 of 3" in drawn
