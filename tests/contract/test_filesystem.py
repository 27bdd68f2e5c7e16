"""A directory as BlobStore and a file of lines as EventSink keep the contracts."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from mainspring.adapters.filesystem import FilesystemBlobStore
from mainspring.adapters.filesystem.jsonl_sink import JsonlEventSink
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.contracts.blob_store import BlobStoreContract
from mainspring.ports.contracts.event_sink import EventSinkContract
from mainspring.ports.event_sink import EventSink
from mainspring.ports.names import RunId
from mainspring.ports.records import Event


class TestFilesystemBlobStore(BlobStoreContract):
    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path / "blobs"

    async def open(self) -> BlobStore:
        return FilesystemBlobStore(self.root)

    async def second(self) -> BlobStore:
        return FilesystemBlobStore(self.root)


def _event(line: str) -> Event:
    told = json.loads(line)
    return Event(
        run_id=RunId(told["subject"]),
        seq=int(told["sequence"]),
        type=told["type"].removeprefix("mainspring."),
        at=datetime.fromisoformat(told["time"]),
        data=json.dumps(told["data"], separators=(",", ":"), ensure_ascii=False),
    )


# Published once more after a crash, never lost; in the order of each run.
@pytest.mark.fault(9)
@pytest.mark.promise(7)
class TestJsonlEventSink(EventSinkContract):
    can_refuse = False

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "events.jsonl"

    async def open(self) -> EventSink:
        return JsonlEventSink(f"jsonl://{self.path}")

    async def taken(self) -> list[Event]:
        return [_event(line) for line in self.path.read_text("ascii").splitlines()]
