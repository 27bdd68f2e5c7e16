"""Blob keys never name a place outside the store (S2)."""

import asyncio
import os
import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.adapters.filesystem import FilesystemBlobStore
from mainspring.ports.errors import BlobCorruptError, InvalidValueError
from mainspring.ports.names import BlobKey

INVALID = [
    "", "/", ".", "..", "a/", "/a", "a//b", "../a", "a/../b", "a/..", "a/.", "./a", "/etc/passwd", "a\0", "a\0/b",
    "a\\b", "..\\a", "C:\\a", "C:a", "a b", "a\n", "a\n/b", "\n", "é", "\uff0e\uff0e/a",
    "a/‥/b", "\u202e", "\ud800", "a+b",
    "a,blob", ",unfinished-1", "a:b", "a*", "~/../a", "x" * 201, "a/" + "x" * 201, "/".join(["a"] * 600), "%00\0",
]  # fmt: skip
VALID = ["a", "a/b", "a.b", "...", "a/...", ".hidden", "-", "--help", "~", "~root", "%2e%2e", "%2e%2e/a", "a%00", "CON"]

segment = st.text(st.sampled_from(string.ascii_letters + "0123456789._~%-/\\ \0:é"), max_size=12)
keys = st.text() | st.lists(segment | st.sampled_from(["..", ".", "", "/"]), max_size=6).map("/".join)


@pytest.mark.fault("S2")
@pytest.mark.parametrize("key", INVALID, ids=ascii)
async def test_a_key_of_another_form_is_refused_by_every_method(key: str, tmp_path: Path) -> None:
    store = FilesystemBlobStore(tmp_path / "store")
    for call in (store.put(BlobKey(key), b""), store.get(BlobKey(key)), store.exists(BlobKey(key)),
                 store.delete(BlobKey(key))):  # fmt: skip
        with pytest.raises(InvalidValueError, match="invalid blob key"):
            await call
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", VALID)
async def test_odd_keys_of_the_right_form_are_only_names(key: str, tmp_path: Path) -> None:
    store = FilesystemBlobStore(tmp_path / "store")
    await store.put(BlobKey(key), b"x")
    assert await store.get(BlobKey(key)) == b"x"
    assert [found async for found in store.list()] == [key]
    assert [place.name for place in tmp_path.iterdir()] == ["store"]


@pytest.mark.fault("S2")
@given(keys)
def test_no_key_whatever_leaves_the_root(key: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        outer = Path(directory)
        root = outer / "one" / "two" / "store"
        (outer / "one" / "two" / "neighbour").mkdir(parents=True)
        store = FilesystemBlobStore(root)

        async def use() -> None:
            await store.put(BlobKey(key), b"content")
            assert await store.get(BlobKey(key)) == b"content"
            assert [found async for found in store.list()] == [key]
            await store.delete(BlobKey(key))

        try:
            asyncio.run(use())
        except InvalidValueError:
            assert not root.exists()
        else:
            assert list(root.iterdir()) == []
        outside = {place for place in outer.rglob("*") if not place.is_relative_to(root)}
        assert outside == {outer / "one", outer / "one" / "two", outer / "one" / "two" / "neighbour"}


@pytest.mark.fault("S2")
@given(st.text())
@settings(max_examples=40)
def test_no_prefix_whatever_lists_what_is_outside(prefix: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "secret,blob").write_bytes(b"x")
        store = FilesystemBlobStore(Path(directory) / "store")

        async def use() -> list[str]:
            await store.put(BlobKey("a/b"), b"x")
            return [key async for key in store.list(prefix)]

        assert asyncio.run(use()) == (["a/b"] if "a/b".startswith(prefix) else [])


@pytest.mark.fault("S2")
async def test_a_link_to_a_directory_is_followed_by_no_method(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b,blob").write_bytes(b"secret")
    root = tmp_path / "store"
    root.mkdir()
    (root / "a").symlink_to(outside)
    store = FilesystemBlobStore(root)
    key = BlobKey("a/b")
    for call in (store.put(key, b"x"), store.get(key), store.exists(key), store.delete(key)):
        with pytest.raises(BlobCorruptError, match="symbolic link"):
            await call
    assert [found async for found in store.list()] == []
    assert {place.name: place.read_bytes() for place in outside.iterdir()} == {"b,blob": b"secret"}


@pytest.mark.fault("S2")
async def test_a_link_in_place_of_a_file_is_not_read_and_a_put_replaces_the_link_only(tmp_path: Path) -> None:
    other = FilesystemBlobStore(tmp_path / "other")
    await other.put(BlobKey("a"), b"secret")
    root = tmp_path / "store"
    root.mkdir()
    (root / "a,blob").symlink_to(tmp_path / "other" / "a,blob")
    store = FilesystemBlobStore(root)
    with pytest.raises(BlobCorruptError, match="symbolic link"):
        await store.get(BlobKey("a"))
    assert not await store.exists(BlobKey("a"))
    assert [found async for found in store.list()] == []
    await store.put(BlobKey("a"), b"x")
    assert await store.get(BlobKey("a")) == b"x"
    assert await other.get(BlobKey("a")) == b"secret"


async def test_a_pipe_in_place_of_a_file_does_not_block_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a,blob")
    with pytest.raises(BlobCorruptError):
        await FilesystemBlobStore(tmp_path).get(BlobKey("a"))


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    await FilesystemBlobStore(tmp_path).put(BlobKey("a/b"), b"x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b,blob").stat().st_mode & 0o777 == 0o600
