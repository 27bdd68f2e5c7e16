"""Events in a file: whole lines, whatever crashes, rotates or writes beside it."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.adapters.filesystem import jsonl_sink
from mainspring.adapters.filesystem.jsonl_sink import JsonlEventSink
from mainspring.ports.contracts.event_sink import ONE, event
from mainspring.ports.errors import BlobCorruptError, PortError, SettingsError, UnavailableError


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


def events(first: int, last: int) -> list[str]:
    return [f"{ONE}/{seq}" for seq in range(first, last + 1)]


async def publish(sink: JsonlEventSink, first: int, last: int) -> None:
    batch = [event(ONE, seq) for seq in range(first, last + 1)]
    assert await sink.publish(batch) == [None] * len(batch)


async def test_file_and_directory_are_made_by_the_first_batch(tmp_path: Path) -> None:
    sink = JsonlEventSink(f"jsonl://{tmp_path}/deep/down/events.jsonl", source="/orders")
    assert await sink.publish([]) == []
    assert list(tmp_path.iterdir()) == []
    await publish(sink, 1, 2)
    lines = sink.path.read_text("ascii").splitlines()
    assert [json.loads(line)["id"] for line in lines] == events(1, 2)
    assert json.loads(lines[0])["source"] == "/orders"
    assert sink.path.stat().st_mode & 0o007 == 0


@pytest.mark.fault(9)
async def test_a_line_that_a_crash_has_torn_stands_alone(tmp_path: Path) -> None:
    sink = JsonlEventSink(tmp_path / "events.jsonl")
    await publish(sink, 1, 1)
    whole = sink.path.read_bytes()
    sink.path.write_bytes(whole + whole[:40])
    await publish(sink, 2, 3)
    lines = sink.path.read_bytes().splitlines()
    assert lines.pop(1) == whole[:40]
    assert [json.loads(line)["id"] for line in lines] == events(1, 3)


@pytest.mark.fault(36)
async def test_a_file_that_another_keeps_locked_is_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_sink, "_LONGEST", 0.02)
    sink = JsonlEventSink(tmp_path / "events.jsonl")
    await publish(sink, 1, 1)
    with sink.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="locked"):
            await publish(sink, 2, 2)
    await publish(sink, 2, 2)
    assert ids(sink.path) == events(1, 2)


async def test_after_a_rotation_events_go_to_a_new_file(tmp_path: Path) -> None:
    sink = JsonlEventSink(tmp_path / "events.jsonl")
    await publish(sink, 1, 2)
    sink.path.rename(tmp_path / "events.jsonl.1")
    await publish(sink, 3, 3)
    assert ids(tmp_path / "events.jsonl.1") == events(1, 2)
    assert ids(sink.path) == events(3, 3)


async def test_a_file_that_is_rotated_while_it_is_waited_for_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = JsonlEventSink(tmp_path / "events.jsonl")
    await publish(sink, 1, 1)
    lock = fcntl.flock

    def rotate_first(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        sink.path.rename(tmp_path / "old")
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", rotate_first)
    await publish(sink, 2, 2)
    assert (ids(tmp_path / "old"), ids(sink.path)) == (events(1, 1), events(2, 2))


async def test_what_was_written_in_part_is_taken_back_and_nothing_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = JsonlEventSink(tmp_path / "events.jsonl")
    await publish(sink, 1, 1)
    write, room = os.write, [50]

    def half(file: int, content: bytes) -> int:
        if not room:
            raise OSError(28, "No space left on device")
        return write(file, bytes(content)[: room.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(PortError, match="No space left"):
            await sink.publish([event(ONE, 2)])
    assert ids(sink.path) == events(1, 1)
    await publish(sink, 2, 2)
    assert ids(sink.path) == events(1, 2)


async def test_what_could_not_be_synced_is_not_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = JsonlEventSink(tmp_path / "events.jsonl")
    await publish(sink, 1, 1)

    def fails(file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(UnavailableError, match="Input/output"):
            await sink.publish([event(ONE, 2)])
    assert ids(sink.path) == events(1, 1)


async def test_no_link_is_followed_and_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BlobCorruptError):
        await JsonlEventSink(tmp_path / "link").publish([event(ONE, 1)])
    (tmp_path / "folder").mkdir()
    with pytest.raises(PortError):
        await JsonlEventSink(tmp_path / "folder").publish([event(ONE, 1)])
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("place", ["file:///some/a.jsonl", "jsonl://", "jsonl:///some/", "jsonl:///some/a?b=c", ""])
def test_a_place_that_is_no_file_is_refused(place: str) -> None:
    with pytest.raises(SettingsError, match="jsonl://"):
        JsonlEventSink(place)


WRITER = """
import asyncio, sys
from mainspring.adapters.filesystem.jsonl_sink import JsonlEventSink
from mainspring.ports.contracts.event_sink import ONE, event
async def main():
    sink = JsonlEventSink(sys.argv[1])
    for batch in range(50):
        await sink.publish([event(ONE, int(sys.argv[2]) + batch * 10 + n, '"' + "x" * 3000 + '"') for n in range(10)])
asyncio.run(main())
"""


async def test_several_processes_may_append_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    crew = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(1_000 * number + 1)]) for number in range(3)]
    codes = await asyncio.gather(*(asyncio.to_thread(one.wait, 60) for one in crew))
    assert codes == [0, 0, 0]
    assert sorted(ids(path)) == sorted(f"{ONE}/{1_000 * n + 1 + seq}" for n in range(3) for seq in range(500))
