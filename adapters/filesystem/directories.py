"""Directories under the root of a store, opened so that no symbolic link is ever followed.

Each one is opened from its parent's descriptor, so that nothing can be exchanged between a check and its use.
For this package only; blocking.
"""

import errno
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mainspring.ports.errors import BlobCorruptError, PortError, ReadOnlyError, StoreFullError, UnavailableError

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
_LINK: Final = (errno.ELOOP, errno.ENOTDIR)


@contextmanager
def translated(place: Path, *, writing: bool) -> Generator[None]:
    """Turn what the operating system says into errors of the port; a missing file stays a FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _translate(error, place, writing=writing) from error


def _translate(error: OSError, place: Path, *, writing: bool) -> PortError:
    said = f"{place}: {error.strerror}"
    if error.errno in _FULL:
        return StoreFullError(f"{said}; nothing was stored, free some space")
    if writing and error.errno in _READ_ONLY:
        return ReadOnlyError(f"{said}; make the directory writable for this process")
    if error.errno in _LINK:
        return BlobCorruptError(f"{said}; a symbolic link or foreign file is in the way, and the store follows none")
    return UnavailableError(said)


@contextmanager
def opened(root: Path, names: Sequence[str], *, create: bool = False) -> Generator[int]:
    """A descriptor of the directory; its missing ancestors are created, durably, if asked for.

    Raises:
        FileNotFoundError: it is not there (any more).
        OSError: what else can go wrong.
    """
    if create:
        _make_root(root)
    present = os.open(root, _DIRECTORY)
    try:
        for name in names:
            below = _child(present, name, create=create)
            os.close(present)
            present = below
        yield present
    finally:
        os.close(present)


def _make_root(root: Path) -> None:
    missing = [place for place in (root, *root.parents) if not place.exists()]
    root.mkdir(parents=True, exist_ok=True)
    for place in missing:
        with opened(place.parent, ()) as descriptor:
            os.fsync(descriptor)


def _child(parent: int, name: str, *, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        os.fsync(parent)  # also if another process made it: it may not have come to this yet
    return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)


def prune(root: Path, names: Sequence[str]) -> None:
    """Remove the directory and its ancestors below the root, as long as they are empty."""
    for depth in range(len(names), 0, -1):
        try:
            with opened(root, names[: depth - 1]) as parent:
                os.rmdir(names[depth - 1], dir_fd=parent)
        except OSError:  # not empty, or gone, or not ours to remove
            return
