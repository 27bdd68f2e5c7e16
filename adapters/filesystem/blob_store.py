"""FilesystemBlobStore: the BlobStore port on a directory, which several processes may share.

Imported by the composition root and tests.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

from mainspring.adapters.filesystem import files
from mainspring.adapters.filesystem.keys import segments
from mainspring.ports.names import BlobKey


class FilesystemBlobStore:
    """Blobs in files under one directory; blocking calls go to threads."""

    def __init__(self, root: str | Path) -> None:
        """``root``: the directory; made by the first put if it is not there. A link to a directory is fine."""
        self.root = Path(root).absolute()

    async def put(self, key: BlobKey, content: bytes) -> None:
        names = segments(key)
        await asyncio.to_thread(files.put, self.root, names, content)

    async def get(self, key: BlobKey) -> bytes:
        names = segments(key)
        return await asyncio.to_thread(files.get, self.root, names)

    async def exists(self, key: BlobKey) -> bool:
        names = segments(key)
        return await asyncio.to_thread(files.exists, self.root, names)

    async def delete(self, key: BlobKey) -> None:
        names = segments(key)
        await asyncio.to_thread(files.delete, self.root, names)

    async def list(self, prefix: str = "") -> AsyncIterator[BlobKey]:
        waiting = [""]  # keys, and directories ("" or ending with a slash), the next one last
        while waiting:
            present = waiting.pop()
            if present and not present.endswith("/"):
                yield BlobKey(present)
                continue
            found = await asyncio.to_thread(files.entries, self.root, present)
            waiting.extend(sorted((name for name in found if _leads_to(name, prefix)), reverse=True))

    async def remove_leftovers(self, before: datetime) -> int:
        """Delete what writers that died have not finished; how many.

        ``before``: only files last written before this moment; leave living writers an hour.
        """
        return await asyncio.to_thread(files.remove_leftovers, self.root, before.timestamp())


def _leads_to(name: str, prefix: str) -> bool:
    """Whether this key begins with the prefix, or keys in this directory may."""
    return name.startswith(prefix) or (name.endswith("/") and prefix.startswith(name))
