"""Blobs in memory."""

import re
from collections.abc import AsyncIterator, Callable

from mainspring.adapters.memory.points import Point, straight_on
from mainspring.ports.errors import BlobNotFoundError, InvalidValueError, Problem
from mainspring.ports.names import BlobKey

_SEGMENT = re.compile(r"[A-Za-z0-9._~%-]+")


def _unseen(key: BlobKey, content: bytes | None) -> None:
    """Nobody watches."""


class MemoryBlobStore:
    """Bytes by key, for as long as the process lives.

    Args:
        point: as in ``points``.
        watch: told of each put, and of each delete (None), at the moment of its effect.
    """

    def __init__(self, *, point: Point = straight_on, watch: Callable[[BlobKey, bytes | None], None] = _unseen) -> None:
        self._point = point
        self._watch = watch
        self._blobs: dict[BlobKey, bytes] = {}

    async def put(self, key: BlobKey, content: bytes) -> None:
        _check(key)
        await self._point("put:before")
        self._blobs[key] = bytes(content)
        self._watch(key, content)
        await self._point("put:after")

    async def get(self, key: BlobKey) -> bytes:
        _check(key)
        await self._point("get:before")
        content = self._blobs.get(key)
        await self._point("get:after")
        if content is None:
            raise BlobNotFoundError(f"no blob is stored under {key!r}")
        return content

    async def exists(self, key: BlobKey) -> bool:
        _check(key)
        await self._point("exists:before")
        there = key in self._blobs
        await self._point("exists:after")
        return there

    async def delete(self, key: BlobKey) -> None:
        _check(key)
        await self._point("delete:before")
        if self._blobs.pop(key, None) is not None:
            self._watch(key, None)
        await self._point("delete:after")

    async def list(self, prefix: str = "") -> AsyncIterator[BlobKey]:
        await self._point("list:before")
        for key in sorted(self._blobs):
            if key.startswith(prefix):
                yield key
        await self._point("list:after")


def _check(key: BlobKey) -> None:
    for segment in key.split("/"):
        if not _SEGMENT.fullmatch(segment) or segment in {".", ".."}:
            wrong = f"expected segments of [A-Za-z0-9._~%-] separated by '/', none of them '.' or '..'; found {key!r}"
            raise InvalidValueError("blob key", (Problem("$", wrong),))
