"""A directory as BlobStore keeps the contract; another process is another object on the same directory."""

from pathlib import Path

import pytest

from mainspring.adapters.filesystem import FilesystemBlobStore
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.contracts.blob_store import BlobStoreContract


class TestFilesystemBlobStore(BlobStoreContract):
    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path / "blobs"

    async def open(self) -> BlobStore:
        return FilesystemBlobStore(self.root)

    async def second(self) -> BlobStore:
        return FilesystemBlobStore(self.root)
