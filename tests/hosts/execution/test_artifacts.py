"""The shelf of one attempt: what becomes of artifacts when the blob store fails, or the attempt is over."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.hosts.execution.artifacts import Shelf, content_of
from mainspring.hosts.execution.payloads import Payloads
from mainspring.ports.codec import Limits
from mainspring.ports.errors import BlobCorruptError, LeaseLostError, UnavailableError
from mainspring.ports.names import BlobKey, RunId
from mainspring.ports.records import Artifact

RUN = RunId("019a0000-0000-7000-8000-000000000001")


class Away:
    """A blob store that refuses so many puts."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.inner = MemoryBlobStore()

    async def put(self, key: BlobKey, content: bytes) -> None:
        await asyncio.sleep(0)
        if self.refusals:
            self.refusals -= 1
            raise UnavailableError("the blob store is away")
        await self.inner.put(key, content)

    async def get(self, key: BlobKey) -> bytes:
        return await self.inner.get(key)

    async def exists(self, key: BlobKey) -> bool:
        return await self.inner.exists(key)

    async def delete(self, key: BlobKey) -> None:
        await self.inner.delete(key)

    def list(self, prefix: str = "") -> AsyncIterator[BlobKey]:
        return self.inner.list(prefix)


class Gated(Away):
    """Stores what is good, and refuses what is bad, each when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.good, self.bad, self.refused = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def put(self, key: BlobKey, content: bytes) -> None:
        if content == b"bad":
            await self.bad.wait()
            self.refused.set()
            raise UnavailableError("the blob store is away")
        await self.good.wait()
        await self.inner.put(key, content)


def shelf_on(blobs: Away) -> Shelf:
    return Shelf(Payloads(MsgspecCodec(), blobs, Limits()), RUN, "lease", asyncio.get_running_loop())


async def put(shelf: Shelf, name: str = "a", content: bytes = b"a") -> None:
    await shelf.put(name, content, "text/plain")


async def test_who_awaits_hears_that_it_was_not_stored_and_may_go_on_without_it() -> None:
    shelf = shelf_on(Away(refusals=1))
    with pytest.raises(UnavailableError):
        await put(shelf)
    assert await shelf.taken() == ()


async def test_who_tries_again_has_it() -> None:
    shelf = shelf_on(Away(refusals=1))
    with pytest.raises(UnavailableError):
        await put(shelf)
    await put(shelf)
    (kept,) = await shelf.taken()
    assert (kept.name, kept.size, kept.blob.rpartition("/")[0]) == ("a", 1, f"{RUN}/lease")


async def test_what_nobody_awaited_and_was_not_stored_fails_the_attempt() -> None:
    shelf = shelf_on(Away(refusals=1))
    shelf.put("a", b"a", "text/plain")
    with pytest.raises(UnavailableError):
        await shelf.taken()


async def test_an_older_put_of_a_name_that_fails_is_forgotten_once_a_newer_one_is_stored() -> None:
    blobs = Gated()
    shelf = shelf_on(blobs)
    shelf.put("a", b"bad", "text/plain")
    newer = shelf.put("a", b"good", "text/plain")
    blobs.good.set()
    await newer
    blobs.bad.set()
    (kept,) = await shelf.taken()
    assert await blobs.inner.get(kept.blob) == b"good"


async def test_a_newer_put_of_a_name_that_fails_is_not_made_good_by_an_older_one() -> None:
    blobs = Gated()
    shelf = shelf_on(blobs)
    shelf.put("a", b"good", "text/plain")
    shelf.put("a", b"bad", "text/plain")
    blobs.bad.set()
    await blobs.refused.wait()
    blobs.good.set()
    with pytest.raises(UnavailableError):
        await shelf.taken()


async def test_who_hears_of_an_older_failure_hides_no_newer_one() -> None:
    shelf = shelf_on(Away(refusals=2))
    older = shelf.put("a", b"1", "text/plain")
    shelf.put("a", b"2", "text/plain")
    with pytest.raises(UnavailableError):
        await older
    with pytest.raises(UnavailableError):
        await shelf.taken()


async def test_a_plain_body_s_thread_waits_and_hears_of_a_failure() -> None:
    blobs = Away(refusals=1)
    shelf = shelf_on(blobs)

    def body() -> None:
        with pytest.raises(UnavailableError):
            shelf.put("a", b"a", "text/plain")
        shelf.put("b", b"b", "text/plain")

    await asyncio.to_thread(body)
    assert [one.name for one in await shelf.taken()] == ["b"]


async def test_nothing_is_kept_after_the_attempt() -> None:
    shelf = shelf_on(Away())
    assert await shelf.taken() == ()
    with pytest.raises(LeaseLostError, match="after the end"):
        await put(shelf)
    with pytest.raises(LeaseLostError):
        await asyncio.to_thread(lambda: shelf.put("a", b"a", "text/plain"))


async def test_an_attempt_that_is_over_stores_no_further() -> None:
    blobs = Away()
    shelf = shelf_on(blobs)
    stored = shelf.put("a", b"a", "text/plain")
    shelf.close()
    with pytest.raises(asyncio.CancelledError):
        await stored
    assert [key async for key in blobs.list()] == []


async def test_a_content_that_is_not_what_was_put_is_refused() -> None:
    blobs = Away()
    key = BlobKey(f"{RUN}/lease/{'0' * 64}")
    await blobs.put(key, b"other")
    artifact = Artifact(name="a", blob=key, size=5, media_type="text/plain")
    with pytest.raises(BlobCorruptError):
        await content_of(Payloads(MsgspecCodec(), blobs, Limits()), artifact)
