"""Examining a SQLite store: whether the file is where and how it should be.

Rule: nothing is written, nothing is created, and each check stands alone, so that one that fails hides no other.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import attrs

from mainspring.adapters.sql.schema import VERSION_QUERY, check_schema
from mainspring.adapters.sql.sqlite_errors import translate
from mainspring.adapters.sql.sqlite_location import Location, check_place, host_id, locate
from mainspring.ports.diagnosis import Check, failed, passed, warned
from mainspring.ports.errors import MainspringError, SchemaError

_LITTLE = 100 * 1024 * 1024  # bytes: the log of a busy store alone may take as much
_LOW = 1024 * 1024 * 1024
_HOST = "select value from settings where name = 'host'"

#: Bytes that are free where a file is.
Free: TypeAlias = Callable[[Path], int]


def _free(place: Path) -> int:
    return shutil.disk_usage(place).free


@attrs.frozen
class _Patient:
    connection: sqlite3.Connection
    location: Location


def examine_sqlite(url: str, free: Free = _free) -> list[Check]:
    """Look at a store. Blocks for some milliseconds.

    Args:
        url: as for :func:`mainspring.adapters.sql.sqlite.open_sqlite`.
        free: tells the bytes that are left at a place.

    Raises:
        SettingsError: the URL names no store.
    """
    location = locate(url)
    path = location.path
    try:
        check_place(path)
    except MainspringError as error:
        told, _, remedy = str(error).rpartition("; ")
        return [failed("place", told or remedy, remedy)]
    if not path.exists():
        told, remedy = f"there is no file {path}", f"mainspring migrate --database sqlite:///{path}"
        return [failed("place", told, f"start a run or a worker on it, or: {remedy}"), _space(path, free)]
    found = [passed("place", f"{path}, {path.stat().st_size:,} bytes, on a local file system")]
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return [*found, *_examined(_Patient(connection, location)), _space(path, free)]


def _examined(patient: _Patient) -> Iterator[Check]:
    for name, checking in (("schema", _schema), ("durability", _durability), ("host", _host)):
        try:
            yield checking(patient)
        except sqlite3.Error as error:
            told = translate(error, str(patient.location.path))
            yield failed(name, str(told), "mend what it says, then run this again")


def _schema(patient: _Patient) -> Check:
    try:
        row = patient.connection.execute(VERSION_QUERY).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        row = None
    found = None if row is None else row[0]
    try:
        check_schema(found, f"sqlite:///{patient.location.path}")
    except SchemaError as error:
        told, _, remedy = str(error).rpartition("; ")
        return failed("schema", told, remedy)
    return passed("schema", f"is at revision {found}")


def _durability(patient: _Patient) -> Check:
    (mode,) = patient.connection.execute("pragma journal_mode").fetchone()
    told = f"journal_mode = {mode}; every connection of Mainspring sets synchronous = full"
    if mode == "wal":
        return passed("durability", told)
    remedy = "workers set it to wal when they open the file; find out what has changed it, and keep that away from it"
    return warned("durability", told, remedy)


def _host(patient: _Patient) -> Check:
    row, here = patient.connection.execute(_HOST).fetchone(), host_id()
    if row is None:
        return passed("host", "none has opened it yet")
    if row[0] == here:
        return passed("host", f"this one ({here})")
    told = f"it was last opened on another host ({row[0]}, this one is {here})"
    if patient.location.allow_other_host:
        return warned("host", told, "make sure that no process of the other host uses it any more")
    return failed(
        "host",
        f"{told}: two hosts on one SQLite file corrupt it",
        "if no other host uses it any more, open it once with ?allow_other_host=true; for several hosts use PostgreSQL",
    )


def _space(path: Path, free: Free) -> Check:
    left = free(path.parent)
    told, remedy = f"{left / 1024 / 1024:,.0f} MiB are free", f"free some of the disk that {path.parent} is on"
    if left < _LITTLE:
        return failed("disk space", told, remedy)
    return warned("disk space", told, remedy) if left < _LOW else passed("disk space", told)
