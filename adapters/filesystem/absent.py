"""No blob store: for a store that many machines share, while nobody said where they all keep large payloads."""

from collections.abc import AsyncIterator

from mainspring.ports.errors import BlobNotFoundError, SettingsError
from mainspring.ports.names import BlobKey


class AbsentBlobStore:
    """Holds nothing, and says so to whoever wants it to.

    Args:
        cure: what to do, as told in the error.
    """

    def __init__(self, cure: str) -> None:
        self._cure = cure

    async def put(self, key: BlobKey, content: bytes) -> None:
        """Refuse.

        Raises:
            SettingsError: always.
        """
        raise SettingsError(
            f"a payload of {len(content):,} bytes needs a blob store, and there is none ({key}): {self._cure}"
        )

    async def get(self, key: BlobKey) -> bytes:
        """There is nothing.

        Raises:
            BlobNotFoundError: always.
        """
        raise BlobNotFoundError(f"there is no blob store to read {key} from: {self._cure}")

    async def exists(self, key: BlobKey) -> bool:  # noqa: ARG002  of any key
        """Never."""
        return False

    async def delete(self, key: BlobKey) -> None:
        """Nothing to do."""

    async def list(self, prefix: str = "") -> AsyncIterator[BlobKey]:  # noqa: ARG002  of any prefix
        """No key."""
        nothing: tuple[BlobKey, ...] = ()
        for key in nothing:
            yield key
