"""Blobs in a directory. For the composition root and tests."""

from mainspring.adapters.filesystem.absent import AbsentBlobStore
from mainspring.adapters.filesystem.blob_store import FilesystemBlobStore

__all__ = ["AbsentBlobStore", "FilesystemBlobStore"]
