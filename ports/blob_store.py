"""BlobStore: where payloads go that are too large for a row."""

from collections.abc import AsyncIterator
from typing import Protocol

from mainspring.ports.names import BlobKey


class BlobStore(Protocol):
    """Bytes under keys. A key is written once: putting other bytes under the same key is a caller's fault."""

    async def put(self, key: BlobKey, content: bytes) -> None:
        """Store the bytes; durable when it returns; the same put again is harmless.

        Raises:
            InvalidValueError: the key is not of the form ``names.BlobKey`` tells; keys cannot escape the store.
            PortError: not stored.
        """
        ...

    async def get(self, key: BlobKey) -> bytes:
        """The bytes.

        Raises:
            BlobNotFoundError: nothing is stored there.
            BlobCorruptError: what is stored there is not what was put.
        """
        ...

    async def exists(self, key: BlobKey) -> bool:
        """Whether something is stored there."""
        ...

    async def delete(self, key: BlobKey) -> None:
        """Delete it, if there."""
        ...

    def list(self, prefix: str = "") -> AsyncIterator[BlobKey]:
        """Keys that begin with the prefix, in ascending order; whole segments or parts of them."""
        ...
