"""Blobs in files: atomic, durable, checked, listed in order, and honest about full and read-only disks."""

import asyncio
import errno
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.adapters.filesystem import FilesystemBlobStore
from mainspring.adapters.filesystem.keys import UNFINISHED
from mainspring.ports.blob_store import BlobStore
from mainspring.ports.errors import (
    BlobCorruptError,
    BlobNotFoundError,
    PortError,
    ReadOnlyError,
    StoreFullError,
    UnavailableError,
)
from mainspring.ports.names import BlobKey

KEY = BlobKey("run/lease/0123")


@pytest.fixture
def store(tmp_path: Path) -> FilesystemBlobStore:
    made = FilesystemBlobStore(tmp_path / "not" / "there" / "yet")
    as_port: BlobStore = made
    assert as_port is made
    return made


def file_of(store: FilesystemBlobStore, key: BlobKey = KEY) -> Path:
    return store.root / f"{key},blob"


async def keys_of(store: FilesystemBlobStore, prefix: str = "") -> list[str]:
    return [key async for key in store.list(prefix)]


@pytest.mark.parametrize("content", [b"", b"x", b"\0\n" * 100, os.urandom(3_000_000)], ids=len)
async def test_what_was_put_comes_back_also_to_another_process(store: FilesystemBlobStore, content: bytes) -> None:
    await store.put(KEY, content)
    assert await FilesystemBlobStore(store.root).get(KEY) == content


async def test_the_same_put_again_is_harmless(store: FilesystemBlobStore) -> None:
    await store.put(KEY, b"x")
    await store.put(KEY, b"x")
    assert await store.get(KEY) == b"x"
    assert await keys_of(store) == [KEY]


async def test_nothing_is_there_before_the_first_put(store: FilesystemBlobStore) -> None:
    with pytest.raises(BlobNotFoundError, match="run/lease/0123: nothing is stored"):
        await store.get(KEY)
    assert not await store.exists(KEY)
    assert await keys_of(store) == []
    await store.delete(KEY)


async def test_a_deleted_blob_is_gone_with_the_directories_it_leaves_empty(store: FilesystemBlobStore) -> None:
    await store.put(KEY, b"x")
    await store.put(BlobKey("run/other"), b"x")
    await store.delete(KEY)
    await store.delete(KEY)
    assert not await store.exists(KEY)
    assert sorted(place.name for place in store.root.rglob("*")) == ["other,blob", "run"]


async def test_a_key_and_keys_below_it_live_side_by_side(store: FilesystemBlobStore) -> None:
    for key in ("a", "a/b", "a/b/c"):
        await store.put(BlobKey(key), key.encode())
    assert [await store.get(BlobKey(key)) for key in ("a", "a/b", "a/b/c")] == [b"a", b"a/b", b"a/b/c"]
    await store.delete(BlobKey("a/b/c"))
    assert await keys_of(store) == ["a", "a/b"]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing left": lambda _stored: b"",
    "the last byte lost": lambda stored: stored[:-1],
    "a byte too many": lambda stored: stored + b"x",
    "half a header": lambda stored: stored[:40],
    "a bit flipped": lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]),
    "another format": lambda stored: stored.replace(b"blob-1", b"blob-2"),
    "no header": lambda _stored: b"content",
}


@pytest.mark.fault(108)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_blob_is_never_taken_for_a_value(
    store: FilesystemBlobStore, damage: Callable[[bytes], bytes]
) -> None:
    await store.put(KEY, b"content")
    file_of(store).write_bytes(damage(file_of(store).read_bytes()))
    with pytest.raises(BlobCorruptError, match="are not those that were put"):
        await store.get(KEY)
    await store.put(KEY, b"content")
    assert await store.get(KEY) == b"content"


names = st.sampled_from(["a", "a-b", "a.b", "a0", "b", "B", "~", "%", ".x"])


@given(st.sets(st.lists(names, min_size=1, max_size=3).map("/".join), max_size=12), st.text("ab/.-", max_size=4))
@settings(max_examples=40)
def test_keys_are_listed_in_ascending_order_by_prefix(found: set[str], prefix: str) -> None:
    async def listed() -> list[str]:
        with tempfile.TemporaryDirectory() as directory:
            store = FilesystemBlobStore(directory)
            for key in found:
                await store.put(BlobKey(key), b"")
            return await keys_of(store, prefix)

    assert asyncio.run(listed()) == sorted(key for key in found if key.startswith(prefix))


async def test_blobs_may_be_deleted_while_they_are_listed(store: FilesystemBlobStore) -> None:
    for number in range(5):
        await store.put(BlobKey(f"{number}/x"), b"")
    seen: list[str] = []
    async for key in store.list():
        seen.append(key)
        for number in range(5):
            await store.delete(BlobKey(f"{number}/x"))
    assert seen == ["0/x"]


@pytest.mark.fault(108)
async def test_a_writer_that_died_leaves_nothing_that_is_read_or_listed(store: FilesystemBlobStore) -> None:
    await store.put(BlobKey("a/b"), b"x")
    leftover = store.root / "a" / f"{UNFINISHED}dead"
    leftover.write_bytes(b"half")
    assert await keys_of(store) == ["a/b"]
    now = datetime.fromtimestamp(leftover.stat().st_mtime, UTC)
    assert await store.remove_leftovers(now - timedelta(hours=1)) == 0
    assert await store.remove_leftovers(now + timedelta(hours=1)) == 1
    assert not leftover.exists()
    assert await store.get(BlobKey("a/b")) == b"x"


async def test_leftovers_of_an_otherwise_empty_directory_go_with_it(store: FilesystemBlobStore) -> None:
    directory = store.root / "run" / "lease"
    directory.mkdir(parents=True)
    (directory / f"{UNFINISHED}dead").write_bytes(b"half")
    assert await store.remove_leftovers(datetime(9000, 1, 1, tzinfo=UTC)) == 1
    assert list(store.root.iterdir()) == []


async def test_foreign_files_are_left_alone(store: FilesystemBlobStore) -> None:
    await store.put(KEY, b"x")
    (store.root / "README").write_text("mine")
    (store.root / "odd name").mkdir()
    (store.root / "odd name" / "a,blob").write_text("mine")
    assert await keys_of(store) == [KEY]
    await store.remove_leftovers(datetime(9000, 1, 1, tzinfo=UTC))
    assert (store.root / "README").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EROFS, ReadOnlyError),
        (errno.EACCES, ReadOnlyError),
        (errno.EIO, UnavailableError),
    ],
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
async def test_a_failed_put_tells_who_must_act_and_leaves_nothing(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch, call: str, number: int, error: type[PortError]
) -> None:
    await store.put(BlobKey("run/lease/other"), b"x")

    def failing(*_arguments: Any, **_options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(error, match=os.strerror(number)):
            await store.put(KEY, b"x")
    assert await keys_of(store) == ["run/lease/other"]
    assert sorted(place.name for place in (store.root / "run" / "lease").iterdir()) == ["other,blob"]
    await store.put(KEY, b"x")


async def test_a_file_in_place_of_the_root_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    store = FilesystemBlobStore(tmp_path / "root")
    with pytest.raises(UnavailableError, match="root: File exists"):
        await store.put(KEY, b"x")


async def test_the_root_may_be_a_link_to_a_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    await FilesystemBlobStore(tmp_path / "link").put(KEY, b"x")
    assert await FilesystemBlobStore(tmp_path / "real").get(KEY) == b"x"


async def test_a_relative_root_is_fixed_when_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FilesystemBlobStore("blobs")
    monkeypatch.chdir("/")
    await store.put(KEY, b"x")
    assert (tmp_path / "blobs" / "run").is_dir()


def _put_and_delete(root: str, mine: int) -> None:
    async def use() -> None:
        store = FilesystemBlobStore(root)
        for number in range(40):
            key = BlobKey(f"shared/{mine}-{number}")
            await store.put(key, b"x")
            assert await store.get(key) == b"x"
            await store.put(BlobKey("shared/deep/same"), b"same")
            await store.delete(key)
            await store.delete(BlobKey("shared/deep/same"))

    asyncio.run(use())


def test_processes_that_put_and_prune_the_same_directories_do_not_disturb_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put_and_delete, args=(str(tmp_path), number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_no_file_descriptor_is_left_open(store: FilesystemBlobStore) -> None:
    await store.put(KEY, b"x")
    before = _open_files()
    for _ in range(20):
        await store.put(KEY, b"x")
        await store.get(KEY)
        await store.exists(BlobKey("run/no/such"))
        await keys_of(store)
        await store.delete(BlobKey("no/such/key"))
    assert _open_files() == before
