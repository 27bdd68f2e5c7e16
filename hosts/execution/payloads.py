"""Payloads: values to text and back; what is too large for a row goes to the blob store: blob first, then row."""

import hashlib
from typing import Any
from urllib.parse import quote

from mainspring.ports.blob_store import BlobStore
from mainspring.ports.codec import Codec, Limits
from mainspring.ports.errors import BlobCorruptError, InvalidValueError, Problem
from mainspring.ports.names import BlobKey, Payload, RunId

_REFERENCE = "@"


def is_reference(payload: Payload) -> bool:
    """Whether the payload lies in the blob store."""
    return payload.startswith(_REFERENCE)


class Payloads:
    """Codec and blob store as one."""

    def __init__(self, codec: Codec, blobs: BlobStore, limits: Limits) -> None:
        self.codec = codec
        self.limits = limits
        self._blobs = blobs

    async def store(self, value: Any, run_id: RunId, owner: str, subject: str) -> Payload:
        """The value's payload; large text is put under ``<run id>/<owner>/<sha256>`` first.

        ``owner`` is the lease id of the attempt that produced it, or ``input``.

        Raises:
            InvalidValueError: the value cannot be encoded, or is over a limit.
            PortError: the blob store failed.
        """
        text = self.codec.encode(value, subject)
        return text if self.is_small(text) else await self.spill(text, run_id, owner)

    def is_small(self, text: Payload) -> bool:
        """Whether the text may stand in a row."""
        limit = self.limits.inline
        return len(text) * 4 <= limit or len(text.encode()) <= limit

    async def spill(self, text: Payload, run_id: RunId, owner: str) -> Payload:
        """Put the text into the blob store; the reference to it."""
        content = text.encode()
        key = BlobKey(f"{quote(run_id, safe='')}/{quote(owner, safe='')}/{hashlib.sha256(content).hexdigest()}")
        await self._blobs.put(key, content)
        return Payload(_REFERENCE + key)

    async def put(self, key: BlobKey, content: bytes) -> None:
        """Put bytes of any kind into the blob store.

        Raises:
            PortError: not stored.
        """
        await self._blobs.put(key, content)

    async def get(self, key: BlobKey) -> bytes:
        """Bytes from the blob store.

        Raises:
            PortError: the blob is not there.
        """
        return await self._blobs.get(key)

    async def text(self, payload: Payload) -> Payload:
        """The payload's JSON text, fetched from the blob store if it is a reference.

        Raises:
            PortError: the blob is not there, or not what was put.
        """
        if not is_reference(payload):
            return payload
        key = BlobKey(payload[1:])
        content = await self._blobs.get(key)
        if hashlib.sha256(content).hexdigest() != key.rpartition("/")[2]:
            msg = f"blob {key}: its content does not match its key"
            raise BlobCorruptError(msg)
        return Payload(content.decode())

    def elements(self, value: Any, subject: str) -> list[Payload]:
        """A list taken apart, each element encoded: what the instances of a mapped stage receive.

        Raises:
            InvalidValueError: not a list, too many, or an element cannot be encoded.
        """
        if not isinstance(value, list | tuple):
            found = type(value).__name__
            raise InvalidValueError(subject, (Problem("$", f"expected a list to map over, found {found}"),))
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        if len(items) > self.limits.elements:
            most = f"at most {self.limits.elements:,} elements can be mapped over, found {len(items):,}"
            raise InvalidValueError(subject, (Problem("$", most),))
        return [self.codec.encode(item, f"{subject}, element {index}") for index, item in enumerate(items)]

    async def stored_elements(self, value: Any, run_id: RunId, owner: str, subject: str) -> tuple[Payload, ...]:
        """``elements``, the large ones in the blob store."""
        return tuple(
            [
                text if self.is_small(text) else await self.spill(text, run_id, owner)
                for text in self.elements(value, subject)
            ]
        )
