"""`make demo`, as a stranger runs it: real processes, a real kill, and the store afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from document_analysis import analysis
from mainspring import Mainspring, RunStatus
from mainspring.ports.records import AttemptRecord, StageRecord

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"
WORKERS = re.compile(r"worker-[ab] +pid (\d+)")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(12):
        text = f"# Part {number}\n\nNumber {number} tells of leases. See [the next](part{number + 1}.md).\n"
        (folder / f"part{number}.md").write_text(text)
    (folder / "picture.txt").write_bytes(b"\x89PNG\x00")
    return folder


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(DEMO), *map(str, arguments)]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def rows(database: Path, run_id: str) -> tuple[RunStatus, list[StageRecord], list[AttemptRecord]]:
    async with Mainspring(f"sqlite:///{database}", workflows=[analysis], worker=False) as engine:
        run = await engine.handle(run_id).describe()
        store = engine.parts.store
        return run.status, await store.stages(run.id), await store.attempts(run.id)


@pytest.mark.fault(2, 3, 106)
@pytest.mark.promise(1, 3, 4, 11)
async def test_a_worker_killed_half_way_costs_no_result(documents: Path, tmp_path: Path) -> None:
    into = tmp_path / "demo"
    told = subprocess.run(
        command("--into", into),
        env={**os.environ, "DOCS": str(documents)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "signal 9 (SIGKILL); its exit status is -9" in told.stdout
    assert re.search(r"read\[\d+\] +part\d+\.md +1 of 5", told.stdout), "the leases of the killed worker"
    assert re.search(r"read\[\d+\] +part\d+\.md .* 2 of 5 .* worker-[ab]", told.stdout), "the take-over"
    assert "✗" not in told.stdout
    pids = [int(pid) for pid in WORKERS.findall(told.stdout)]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)

    report = json.loads((into / "report.json").read_text())
    assert len(report["documents"]) == 12
    assert [one["path"] for one in report["skipped"]] == ["picture.txt"]
    assert [one["target"] for one in report["links"]["dead"]] == ["part12.md"]

    run_id = re.search(r"runs show (\S+)", told.stdout)
    killed = re.search(r"in the store (worker-\S+)", told.stdout)
    assert run_id is not None
    assert killed is not None
    status, stages, attempts = await rows(into / "demo.db", run_id[1])
    assert status is RunStatus.COMPLETED
    assert len(stages) == len({(one.stage, one.index) for one in stages}) == 13 + 5
    lost = [one for one in attempts if one.worker == killed[1]]
    assert lost, "no attempt died with the worker"
    for one in lost:
        assert one.failure is not None
        assert one.failure.code == "worker_lost"
        again = next(record for record in stages if (record.stage, record.index) == (one.stage, one.index))
        assert again.attempt > one.attempt
        assert again.worker != killed[1]


@pytest.fixture
def playing(documents: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A demo whose two workers are at work, and their pids."""
    with subprocess.Popen(
        command(documents, "--into", tmp_path / "demo"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        pids: list[int] = []
        assert demo.stdout is not None
        while len(pids) < 2:
            line = demo.stdout.readline()
            assert line, "the demo ended before its workers were there"
            pids += [int(pid) for pid in WORKERS.findall(line)]
        yield demo, pids
        demo.kill()
        for pid in pids:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_no_worker_behind(
    playing: tuple[subprocess.Popen[str], list[int]], number: signal.Signals
) -> None:
    demo, pids = playing
    demo.send_signal(number)
    said, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130, said
    assert "Traceback" not in said
    assert all(gone(pid) for pid in pids)


def test_a_demo_whose_workers_all_die_says_so_and_fails(playing: tuple[subprocess.Popen[str], list[int]]) -> None:
    demo, pids = playing
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    said, _ = demo.communicate(timeout=30)
    assert demo.returncode == 1, said
    assert "ended by itself with status -9" in said


@pytest.mark.parametrize(("folder", "message"), [("gone", "does not exist"), ("empty", "holds no document")])
def test_a_folder_with_nothing_to_read_is_refused_before_anything_starts(
    tmp_path: Path, folder: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = command(tmp_path / folder, "--into", tmp_path / "demo")
    told = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout) == (2, "")
    assert message in told.stderr
    assert not (tmp_path / "demo").exists()
