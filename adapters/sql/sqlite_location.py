"""Where a SQLite store lives, and whether that is a place where it can.

Rule: everything that can be known before the file is opened is refused here, with what to do instead.
"""

import hashlib
import os
import platform
from pathlib import Path
from urllib.parse import parse_qsl

import attrs

from mainspring.ports.errors import ReadOnlyError, SettingsError

_SCHEME = "sqlite://"
_OTHER_HOST = "allow_other_host"
_TRUE = frozenset({"1", "true", "yes", "on"})

_MOUNTS = Path("/proc/mounts")

#: File systems whose locks or shared memory do not reach, or cannot be trusted between, several machines.
_NETWORK = frozenset(
    {
        "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.davfs2", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
        "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb2", "smb3", "smbfs",
    }
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Location:
    """A file, and whether another host may have written it."""

    path: Path
    allow_other_host: bool = False


def locate(place: str | Path) -> Location:
    """The file that a URL or path names.

    ``sqlite:///relative.db`` and ``sqlite:////absolute.db``; ``?allow_other_host=true`` takes over a file that another
    host has used. A plain path stands for itself.

    Raises:
        SettingsError: it names no file, or says what is not understood.
    """
    if isinstance(place, Path):
        return Location(path=place)
    if "://" in place and not place.startswith(_SCHEME):
        scheme = place.split("://", 1)[0]
        raise SettingsError(
            f"{scheme}:// is not a SQLite URL; expected sqlite:///relative.db or sqlite:////absolute.db"
        )
    if not place.startswith(_SCHEME):
        return Location(path=_file(place))
    rest, _, query = place.removeprefix(_SCHEME).partition("?")
    if rest and not rest.startswith("/"):
        raise SettingsError(
            f"a SQLite URL has no host, found {rest.split('/', 1)[0]!r}; expected three slashes for a relative path"
            " (sqlite:///relative.db), four for an absolute one (sqlite:////absolute.db)"
        )
    return Location(path=_file(rest[1:]), allow_other_host=_options(query))


def _file(name: str) -> Path:
    if name in {"", ":memory:"} or name.startswith("file:"):
        raise SettingsError(
            "a SQLite store is a file, so that other processes can open it: expected sqlite:///relative.db or"
            " sqlite:////absolute.db; for a store in memory use memory://"
        )
    if "\0" in name:
        raise SettingsError("a SQLite store's path holds a NUL character; expected a plain path")
    return Path(name)


def _options(query: str) -> bool:
    allow = False
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != _OTHER_HOST:
            raise SettingsError(f"a SQLite URL knows no option {name!r}; it knows {_OTHER_HOST}=true")
        allow = value.lower() in _TRUE
    return allow


def check_place(path: Path) -> None:
    """Refuse a path where no store can be.

    Raises:
        SettingsError: its directory does not exist, it is a directory, or it is on a network file system.
        ReadOnlyError: the file or its directory may not be written.
    """
    folder = path.parent
    if not folder.is_dir():
        raise SettingsError(f"the directory of the store does not exist: {folder}; create it first")
    if path.is_dir():
        raise SettingsError(f"the store's path is a directory: {path}; expected a file in it")
    system = file_system(folder, _MOUNTS)
    if system in _NETWORK:
        raise SettingsError(
            f"{path} is on a network file system ({system}): its locks do not protect a SQLite file, and commits may be"
            " lost; use a local disk, or PostgreSQL for several hosts"
        )
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ReadOnlyError(f"{path} cannot be written: the file and its directory must be writable by this user")


def file_system(folder: Path, mounts: Path) -> str | None:
    """The type of the file system a directory is on; None where the system does not tell (only Linux does)."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = folder.resolve()
    found: tuple[int, str] | None = None
    for line in lines:
        _, point, system, *_ = [*line.split(" "), "", ""]
        mounted = Path(point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        # The longest mount point above the place is the one it is on; of equals the last is mounted over the others.
        if place.is_relative_to(mounted) and (found is None or len(mounted.parts) >= found[0]):
            found = (len(mounted.parts), system)
    return None if found is None else found[1]


def host_id() -> str:
    """A name for this machine, stable over reboots. Hashed: a machine's id is not for everybody to read.

    In a container without ``/etc/machine-id`` this is the host name, which may change with every container; such a
    store is opened with ``allow_other_host``.
    """
    for source in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            known = source.read_text(encoding="ascii").strip()
        except (OSError, UnicodeError):
            continue
        if known and known != "uninitialized":
            return _hashed(known)
    return _hashed(platform.node())


def _hashed(name: str) -> str:
    return hashlib.sha256(b"mainspring:" + name.encode()).hexdigest()[:16]
