"""Blobs as files: blocking, called in threads. For this package only.

A blob is written under another name, synced, and renamed: readers see all of it or nothing. It begins with a line that
tells its hash, so that what a disk has lost or a hand has changed is never taken for a value.
"""

import hashlib
import os
import stat
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from mainspring.adapters.filesystem.directories import opened, prune, translated
from mainspring.adapters.filesystem.keys import ENDING, UNFINISHED, is_segment
from mainspring.ports.errors import BlobCorruptError, BlobNotFoundError, UnavailableError

_MAGIC: Final = b"mainspring-blob-1 "
_HEADER: Final = len(_MAGIC) + 64 + 1  # the hash in hexadecimal, and a new line
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe of that name must not block us
_TRIES: Final = 20  # a directory may be pruned by another process between its making and its use


def put(root: Path, names: list[str], content: bytes) -> None:
    """Store the content, durably, in place of what is there."""
    header = _MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n"
    with translated(root, writing=True):
        for _ in range(_TRIES):
            try:
                with opened(root, names[:-1], create=True) as directory:
                    _write(directory, names[-1] + ENDING, header, content)
                    return
            except FileNotFoundError:
                continue
    raise UnavailableError(f"{root}: directories vanish as fast as they are made")


def get(root: Path, names: list[str]) -> bytes:
    """The content.

    Raises:
        BlobNotFoundError: nothing is there.
        BlobCorruptError: it is not what was put.
    """
    key = "/".join(names)
    try:
        with translated(root, writing=False), opened(root, names[:-1]) as directory:
            file = os.open(names[-1] + ENDING, _READ, dir_fd=directory)
            with os.fdopen(file, "rb") as stream:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise BlobCorruptError(f"{key}: there is something that is no file")
                stored = stream.read()
    except FileNotFoundError as error:
        raise BlobNotFoundError(f"{key}: nothing is stored under {root}") from error
    content = stored[_HEADER:]
    if stored[:_HEADER] != _MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n":
        raise BlobCorruptError(f"{key}: {len(stored)} bytes under {root} are not those that were put")
    return content


def exists(root: Path, names: list[str]) -> bool:
    """Whether a file is there, whatever it holds."""
    try:
        with translated(root, writing=False), opened(root, names[:-1]) as directory:
            found = os.stat(names[-1] + ENDING, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode)


def delete(root: Path, names: list[str]) -> None:
    """Remove the file, and the directories it leaves empty."""
    try:
        with translated(root, writing=True), opened(root, names[:-1]) as directory:
            os.unlink(names[-1] + ENDING, dir_fd=directory)
    except FileNotFoundError:
        return
    prune(root, names[:-1])


def entries(root: Path, directory: str) -> list[str]:
    """Keys and directories (with a slash at the end) directly in a directory; none if it is gone."""
    found: list[str] = []
    try:
        with (
            translated(root, writing=False),
            opened(root, directory.split("/")[:-1]) as descriptor,
            os.scandir(descriptor) as present,
        ):
            for entry in present:
                if entry.is_dir(follow_symlinks=False) and is_segment(entry.name):
                    found.append(f"{directory}{entry.name}/")
                name = entry.name.removesuffix(ENDING)
                if name != entry.name and is_segment(name) and entry.is_file(follow_symlinks=False):
                    found.append(directory + name)
    except FileNotFoundError:
        return []
    return found


def remove_leftovers(root: Path, before: float) -> int:
    """Delete unfinished files last written before this moment (seconds since 1970); how many."""
    removed = 0
    waiting = [""]
    while waiting:
        present = waiting.pop()
        waiting.extend(name for name in entries(root, present) if name.endswith("/"))
        removed += _remove_leftovers_in(root, present, before)
    return removed


def _remove_leftovers_in(root: Path, directory: str, before: float) -> int:
    removed = 0
    with suppress(FileNotFoundError), translated(root, writing=True):
        names = directory.split("/")[:-1]
        with opened(root, names) as descriptor, os.scandir(descriptor) as present:
            for entry in present:
                if entry.name.startswith(UNFINISHED) and entry.stat(follow_symlinks=False).st_mtime < before:
                    os.unlink(entry.name, dir_fd=descriptor)
                    removed += 1
        if removed:
            prune(root, names)
    return removed


def _write(directory: int, name: str, header: bytes, content: bytes) -> None:
    """Write the file beside its place, sync it, move it there, and sync the directory."""
    unfinished = f"{UNFINISHED}{uuid.uuid4().hex}"
    try:
        with os.fdopen(os.open(unfinished, _NEW, 0o600, dir_fd=directory), "wb") as stream:
            stream.write(header)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished, dir_fd=directory)
        raise
    os.fsync(directory)
