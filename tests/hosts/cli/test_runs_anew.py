"""``runs rerun``, ``runs artifact``, and what ``runs show`` tells of reruns, artifacts and stages that wait."""

import asyncio
from pathlib import Path

import pytest

from mainspring import Mainspring
from tests.hosts.cli import anew_flows
from tests.hosts.cli.conftest import CommandLine

FLOWS = anew_flows.__file__


@pytest.fixture(autouse=True)
def _flows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOWS", str(tmp_path))


def failed(cli: CommandLine) -> str:
    """A run whose last stage failed; its id."""
    document = cli.document("run", f"{FLOWS}:publishing", "--input", '"Ada"', "--key", "first", code=1)
    run: str = document["run"]
    return run


def test_a_failed_run_is_begun_anew_from_the_stage_that_failed_and_both_tell_of_the_other(cli: CommandLine) -> None:
    old = failed(cli)
    result = cli("runs", "rerun", old, FLOWS, "--key", "again")
    assert result.exit_code == 0
    assert f"begins {old} anew from stage publish" in result.stderr
    new = cli.document("runs", "rerun", old, FLOWS, "--key", "again")
    assert (new["created"], new["rerun_of"], new["rerun_from"], new["key"]) == (False, old, "publish", "again")
    shown = cli.document("runs", "show", new["run"])
    assert {one["stage"]: (one["state"], one["taken_over"]) for one in shown["stages"]} == {
        "render": ("completed", True),
        "publish": ("queued", False),
    }
    assert cli.document("runs", "show", old)["reruns"] == [new["run"]]
    assert f"rerun as {new['run']}" in cli("runs", "show", old).stdout
    drawn = cli("runs", "show", new["run"]).stdout
    assert f"rerun of {old} from stage publish" in drawn
    assert "completed, taken over" in drawn


def test_a_stage_may_be_chosen_and_what_cannot_be_is_told_in_a_line(cli: CommandLine) -> None:
    old = failed(cli)
    assert cli.document("runs", "rerun", old, FLOWS, "--from", "render")["rerun_from"] == "render"
    refused = cli("runs", "rerun", old, FLOWS, "--from", "nothing")
    assert refused.exit_code == 2
    assert "no stage 'nothing'; it has 'render', 'publish'" in refused.stderr
    error = cli.document("runs", "rerun", old, f"{FLOWS}:polling", code=2)["error"]
    assert error["type"] == "NotFoundError"


def test_a_rerun_that_is_active_is_refused_with_what_it_is_doing(cli: CommandLine) -> None:
    new = cli.document("runs", "rerun", failed(cli), FLOWS)["run"]
    error = cli.document("runs", "rerun", new, FLOWS, code=2)["error"]
    assert error["type"] == "UnfinishedError"
    assert "publish[0] is queued" in error["message"]


def test_an_artifact_is_listed_and_fetched_byte_by_byte(cli: CommandLine, tmp_path: Path) -> None:
    run = failed(cli)
    (render, _) = cli.document("runs", "show", run)["stages"]
    told = {"name": "report.bin", "size": 8, "media_type": "application/x-report"}
    assert render["instances"][0]["artifacts"] == [told]
    assert "render left report.bin, 8 bytes, application/x-report" in cli("runs", "show", run).stdout
    assert cli("runs", "artifact", run, "render", "report.bin").stdout_bytes == b"\x00\xffreport"
    into = tmp_path / "out.bin"
    document = cli.document("runs", "artifact", run, "render", "report.bin", "--output", str(into))
    assert (document["file"], document["size"], into.read_bytes()) == (str(into), 8, b"\x00\xffreport")


def test_an_artifact_that_is_not_there_or_cannot_be_written_is_told(cli: CommandLine, tmp_path: Path) -> None:
    run = failed(cli)
    missing = cli("runs", "artifact", run, "render", "other")
    assert missing.exit_code == 2
    assert "there are: 'report.bin' of render[0]" in missing.stderr
    nowhere = cli("runs", "artifact", run, "render", "report.bin", "--output", str(tmp_path / "no" / "where"))
    assert nowhere.exit_code == 2
    assert "cannot be written" in nowhere.stderr
    assert cli("runs", "artifact", run, "render", "report.bin", "--json").exit_code == 2


def test_a_stage_that_waits_tells_how_often_it_was_checked_and_until_when(cli: CommandLine) -> None:
    async def checked_twice() -> str:
        async with Mainspring(cli.url, workflows=[anew_flows.polling]) as engine:
            run = await engine.start(anew_flows.polling, "b1")
            async with asyncio.timeout(20):
                while True:
                    jobs = await engine.parts.store.jobs(run.id)
                    if jobs and jobs[0].lease_id is None and jobs[0].polling and jobs[0].polling.checks > 1:
                        return run.id
                    await asyncio.sleep(0.01)

    run = asyncio.run(checked_twice())
    (stage,) = cli.document("runs", "show", run)["stages"]
    waits = stage["instances"][0]["polling"]
    assert (waits["every"], waits["checks"] > 1) == (0.02, True)
    assert waits["since"] < waits["until"]
    drawn = cli("runs", "show", run).stdout
    assert "times, every 20 ms, until 2" in drawn
