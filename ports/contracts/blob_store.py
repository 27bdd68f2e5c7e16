"""The suite of BlobStore: what was put is there, whole, for everybody; and no key leads anywhere else."""

from mainspring.ports.blob_store import BlobStore
from mainspring.ports.errors import BlobNotFoundError, InvalidValueError
from mainspring.ports.names import BlobKey

KEY = BlobKey("run/input/0123456789abcdef")

HOSTILE_KEYS = (
    "",
    "/",
    "/absolute",
    "a/",
    "a//b",
    ".",
    "..",
    "a/..",
    "../a",
    "a/../../b",
    "a/./b",
    "a\x00b",
    "a\\b",
    "..\\a",
    "a b",
    "a\n",
    "\u00e9",
    "a:b",
    "C:/a",
    "a*",
    "\uff0e\uff0e/a",
    "\ud800",
)
"""None of them is of the form that ``names.BlobKey`` tells."""


class BlobStoreContract:
    """What those who keep large payloads may rely on."""

    async def open(self) -> BlobStore:
        """An empty store."""
        raise NotImplementedError

    async def second(self) -> BlobStore:
        """The store that ``open`` gave, as another process sees it."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Close what the test opened, if it needs closing; to be called after each."""

    async def test_bytes_come_back_as_they_were_put_to_everybody(self) -> None:
        store = await self.open()
        for number, content in enumerate((b"", b"\x00", bytes(range(256)) * 5, b"x" * 5_000_000)):
            key = BlobKey(f"{KEY}{number}")
            await store.put(key, content)
            assert await store.get(key) == content
            assert await (await self.second()).get(key) == content

    async def test_the_same_put_again_is_harmless(self) -> None:
        store = await self.open()
        await store.put(KEY, b"x")
        await (await self.second()).put(KEY, b"x")
        assert await store.get(KEY) == b"x"
        assert [key async for key in store.list()] == [KEY]

    async def test_what_is_not_there_is_not_found(self) -> None:
        store = await self.open()
        assert not await store.exists(KEY)
        try:
            await store.get(KEY)
        except BlobNotFoundError:
            return
        raise AssertionError("bytes came from nowhere")

    async def test_a_blob_exists_until_it_is_deleted(self) -> None:
        store = await self.open()
        await store.put(KEY, b"x")
        assert await store.exists(KEY)
        await store.delete(KEY)
        await store.delete(KEY)
        assert not await store.exists(KEY)
        assert [key async for key in store.list()] == []
        await store.put(KEY, b"x")
        assert await store.get(KEY) == b"x"

    async def test_deleting_one_blob_leaves_its_neighbours(self) -> None:
        store = await self.open()
        await store.put(BlobKey("a/1"), b"1")
        await store.put(BlobKey("a/2"), b"2")
        await store.delete(BlobKey("a/1"))
        assert await store.get(BlobKey("a/2")) == b"2"

    async def test_keys_are_listed_in_ascending_order(self) -> None:
        store = await self.open()
        keys = ["b", "a/b/c", "a-b", "a0", "a.b", "a/a", "B", "~", "%41", "a/b-c", "_", "...", ".a"]
        for key in keys:
            await store.put(BlobKey(key), b"x")
        assert [key async for key in store.list()] == sorted(keys)

    async def test_a_prefix_is_whole_segments_or_parts_of_them(self) -> None:
        store = await self.open()
        keys = ["run/a/1", "run/a/2", "run/ab/1", "run/b", "rune/a"]
        for key in keys:
            await store.put(BlobKey(key), b"x")
        for prefix in ("run", "run/", "run/a", "run/a/", "run/a/1", "run/a/1x", "x", "un", ""):
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert [key async for key in store.list(prefix)] == expected

    async def test_keys_that_differ_in_case_differ(self) -> None:
        store = await self.open()
        await store.put(BlobKey("a/x"), b"small")
        await store.put(BlobKey("a/X"), b"big")
        assert await store.get(BlobKey("a/x")) == b"small"

    async def test_a_key_of_another_form_is_refused_and_nothing_is_stored(self) -> None:
        store = await self.open()
        for hostile in HOSTILE_KEYS:
            try:
                await store.put(BlobKey(hostile), b"x")
            except InvalidValueError:
                continue
            raise AssertionError(f"{hostile!r} was taken for a key")
        assert [key async for key in store.list()] == []

    async def test_nothing_is_read_or_deleted_under_a_key_of_another_form(self) -> None:
        store = await self.open()
        await store.put(BlobKey("a/b"), b"x")
        for hostile in (*HOSTILE_KEYS, "x/../a/b"):
            for call in (store.get, store.delete, store.exists):
                try:
                    assert not await call(BlobKey(hostile))
                except (InvalidValueError, BlobNotFoundError):
                    continue
        assert await store.get(BlobKey("a/b")) == b"x"
