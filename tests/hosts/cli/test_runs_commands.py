import json

import pytest

from mainspring import Mainspring, RunHandle
from mainspring.hosts.cli import reading
from tests.hosts.cli import flows
from tests.hosts.cli.conftest import CommandLine

FLOWS = flows.__file__


def ran(cli: CommandLine, workflow: str, *arguments: str, code: int = 0) -> str:
    """Run a workflow; the run's id."""
    run: str = cli.document("run", f"{FLOWS}:{workflow}", *arguments, code=code)["run"]
    return run


def started(cli: CommandLine, tag: str = "") -> str:
    """Start a run that nobody works on; its id."""

    async def start(engine: Mainspring) -> RunHandle[str]:
        return await engine.start(flows.waiting, None, tags=[tag] if tag else [])

    return cli.ask(start).id


def test_runs_are_listed_newest_first_with_all_that_finds_them(cli: CommandLine) -> None:
    first = ran(cli, "greeting", "--input", '"a"', "--key", "k")
    second = ran(cli, "failing", code=1)
    third = started(cli, "blue")
    result = cli("runs", "list")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["run", third, second, first]
    assert "waiting@1" in lines[1]
    assert "pending" in lines[1]
    assert "blue" in lines[1]
    assert "failed" in lines[2]
    assert "completed" in lines[3]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (("--workflow", "greeting"), "greeting"),
        (("--status", "failed"), "failing"),
        (("--status", "failed", "--status", "pending", "--tag", "blue"), "waiting"),
        (("--tag", "blue"), "waiting"),
        (("--key", "k"), "greeting"),
    ],
)
def test_filters_narrow_the_list(cli: CommandLine, filters: tuple[str, ...], found: str) -> None:
    ran(cli, "greeting", "--input", '"a"', "--key", "k")
    ran(cli, "failing", code=1)
    started(cli, "blue")
    assert [run["workflow"] for run in cli.document("runs", "list", *filters)["runs"]] == [found]


def test_pages_follow_each_other_to_the_end(cli: CommandLine) -> None:
    runs = [started(cli) for _ in range(3)]
    page = cli.document("runs", "list", "--limit", "2")
    assert [run["run"] for run in page["runs"]] == [runs[2], runs[1]]
    last = cli.document("runs", "list", "--limit", "2", "--before", page["next"])
    assert [run["run"] for run in last["runs"]] == [runs[0]]
    assert last["next"] is None
    assert f"--before {runs[1]}" in cli("runs", "list", "--limit", "2").stderr


def test_an_empty_list_says_so(cli: CommandLine) -> None:
    started(cli)
    result = cli("runs", "list", "--workflow", "nobody")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no runs match" in result.stderr


def test_show_draws_the_graph_with_states_attempts_and_durations(cli: CommandLine) -> None:
    run = ran(cli, "graph", "--input", "3")
    drawn = cli("runs", "show", run).stdout
    lines = [line.strip() for line in drawn.splitlines()]
    assert lines[0].startswith("graph@1  ✓ completed")
    stages = [line for line in lines if line[:1] in {"✓", "┌", "└"}]
    assert [mark for line in stages for mark in line.split()[:1]] == ["✓", "✓", "┌", "└", "✓"]
    assert "3 of 3" in stages[1]
    assert "completed  attempt 1" in stages[0]


def test_show_as_json_tells_every_instance(cli: CommandLine) -> None:
    run = ran(cli, "graph", "--input", "3")
    document = cli.document("runs", "show", run)
    stages = {stage["stage"]: stage for stage in document["stages"]}
    assert list(stages) == ["count_up", "double", "total", "most", "report"]
    assert stages["double"]["counts"] == {"completed": 3}
    assert [one["index"] for one in stages["double"]["instances"]] == [0, 1, 2]
    assert stages["report"]["after"] == ["total", "most"]
    assert "output" not in document


def test_a_map_over_nothing_is_shown_as_such(cli: CommandLine) -> None:
    run = ran(cli, "graph", "--input", "0")
    assert "nothing to map" in cli("runs", "show", run).stdout


@pytest.mark.fault("S17")
def test_show_tells_failures_and_earlier_tries_harmlessly(cli: CommandLine) -> None:
    run = ran(cli, "failing", code=1)
    drawn = cli("runs", "show", run).stdout
    assert "failed in stage failing" in drawn
    assert "[red]way[/red] \\x1b[31m evil\\x07" in drawn
    assert "failing attempt 1 on worker-" in drawn
    assert "\x1b" not in drawn


def test_show_of_a_run_that_waits_names_its_stages(cli: CommandLine) -> None:
    run = cli.ask(lambda engine: engine.start(flows.graph, 2)).id
    document = cli.document("runs", "show", run)
    assert [stage["state"] for stage in document["stages"]] == ["queued", "waiting", "waiting", "waiting", "waiting"]


def test_stages_after_a_failure_were_not_reached(cli: CommandLine) -> None:
    run = cli.ask(lambda engine: engine.start(flows.graph, 2)).id
    assert cli("runs", "cancel", run).exit_code == 0
    document = cli.document("runs", "show", run)
    assert [stage["state"] for stage in document["stages"]] == ["cancelled", *["not reached"] * 4]


def test_payloads_are_shown_only_when_asked_for(cli: CommandLine) -> None:
    run = ran(cli, "greeting", "--input", '"a"')
    document = cli.document("runs", "show", run, "--payloads")
    assert document["input"] == "a"
    assert document["output"] == "Hello, a!"
    assert document["config"] == {"greet": {"word": "Hello"}}
    assert "Hello, a!" not in cli("runs", "show", run).stdout
    shown = cli("runs", "show", run, "--payloads").stdout
    assert json.loads(shown[shown.index("{") :])["output"] == "Hello, a!"


def test_watch_of_an_ended_run_shows_it_at_once(cli: CommandLine) -> None:
    run = ran(cli, "greeting", "--input", '"a"')
    assert cli.document("runs", "show", run, "--watch")["status"] == "completed"


def test_cancel_stops_a_run_and_keeps_the_reason(cli: CommandLine) -> None:
    run = started(cli)
    assert cli.document("runs", "cancel", run, "--reason", "tired") == {"run": run, "status": "cancelled"}
    assert cli.document("runs", "show", run)["cancel_reason"] == "tired"
    assert "cancelled because tired" in cli("runs", "show", run).stdout


def test_what_has_completed_cannot_be_cancelled(cli: CommandLine) -> None:
    run = ran(cli, "greeting", "--input", '"a"')
    document = cli.document("runs", "cancel", run, code=2)
    assert document["error"]["type"] == "FinishedError"


@pytest.mark.parametrize("command", ["show", "cancel"])
@pytest.mark.parametrize("run", ["nope", "\x1b[31m", "../../etc/passwd", "01a1f840-0000-7000-8000-000000000000"])
def test_an_unknown_run_exits_with_2(cli: CommandLine, command: str, run: str) -> None:
    started(cli)
    result = cli("runs", command, run)
    assert result.exit_code == 2
    assert "no run" in result.stderr
    assert "\x1b" not in result.stderr
    assert cli.document("runs", command, run, code=2)["error"]["type"] == "NotFoundError"


@pytest.mark.parametrize("arguments", [("--limit", "0"), ("--limit", "5000"), ("--status", "odd"), ("extra",)])
def test_wrong_options_exit_with_2(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    started(cli)
    result = cli("runs", "list", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


def test_reading_neither_creates_nor_migrates_a_store(cli: CommandLine) -> None:
    result = cli("runs", "list")
    assert result.exit_code == 4
    assert "mainspring migrate" in result.stderr
    assert not list(cli.folder.iterdir())


def test_a_wide_map_is_counted_without_its_instances(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ran(cli, "graph", "--input", "5")
    monkeypatch.setattr(reading, "WIDE", 4)
    stages = {stage["stage"]: stage for stage in cli.document("runs", "show", run)["stages"]}
    assert stages["double"]["counts"] == {"completed": 5}
    assert stages["double"]["instances"] == []
    assert stages["total"]["instances"] != []
