"""Opening a SQLite file as a store: its settings, its schema, and whose it is.

Rule: after this the file is ready for the hot statements, or a typed error has said what is wrong with it.
"""

import sqlite3
from pathlib import Path

from mainspring.adapters.sql import schema
from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.sqlite_errors import translate
from mainspring.adapters.sql.sqlite_location import Location, check_place, host_id
from mainspring.adapters.sql.sqlite_lock import patiently
from mainspring.ports.errors import SettingsError

_NEEDED = (3, 35)
_HOST = "host"
_CACHE = 32 * 1024  # KiB of pages in memory
_LARGEST_WAL = 64 * 1024 * 1024  # bytes left of it after a checkpoint


def connect(location: Location, *, migrate: bool, lock_timeout: float) -> sqlite3.Connection:
    """Open the file, create it if need be, and check or bring about its schema.

    Raises:
        SettingsError: no store can be there, or the file is another host's or no database.
        SchemaError: its schema does not fit, and it was not to be migrated or is too new.
        ReadOnlyError, StoreFullError, UnavailableError: the file failed.
    """
    if sqlite3.sqlite_version_info < _NEEDED:
        needed = ".".join(map(str, _NEEDED))
        raise SettingsError(f"this Python has SQLite {sqlite3.sqlite_version}; Mainspring needs {needed} or newer")
    check_place(location.path)
    path = str(location.path)
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(
            path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        _configure(connection, path, lock_timeout)
        _fit_schema(connection, location.path, migrate=migrate, lock_timeout=lock_timeout)
        _stamp(connection, location, lock_timeout)
    except BaseException as error:
        if connection is not None:
            connection.close()
        told = translate(error, path)
        if told is error:
            raise
        raise told from error
    return connection


def _configure(connection: sqlite3.Connection, path: str, lock_timeout: float) -> None:
    mode = patiently(lambda: connection.execute("pragma journal_mode = wal").fetchone()[0], lock_timeout)
    if mode != "wal":
        raise SettingsError(f"SQLite cannot keep a write-ahead log beside {path} (it said {mode!r}); use a local disk")
    for setting in (
        "synchronous = full",  # durable when a commit returns, power loss included
        "foreign_keys = off",
        "temp_store = memory",
        f"cache_size = -{_CACHE}",
        f"journal_size_limit = {_LARGEST_WAL}",
    ):
        connection.execute(f"pragma {setting}").fetchall()


def _fit_schema(connection: sqlite3.Connection, path: Path, *, migrate: bool, lock_timeout: float) -> None:
    found = patiently(lambda: _version(connection), lock_timeout)
    if migrate and (found is None or found < schema.NEWEST):
        move_schema(path, "head")
        found = patiently(lambda: _version(connection), lock_timeout)
    schema.check_schema(found, f"sqlite:///{path}")


def move_schema(path: Path, revision: str) -> None:
    """Bring the file's schema to a revision. The path is handed over whole, whatever characters it holds."""
    from sqlalchemy import URL

    schema.migrate(URL.create("sqlite", database=str(path)), revision)


def _version(connection: sqlite3.Connection) -> str | None:
    try:
        row = connection.execute(schema.VERSION_QUERY).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return None if row is None else row[0]


def _stamp(connection: sqlite3.Connection, location: Location, lock_timeout: float) -> None:
    """Tell other hosts that this one uses the file: SQLite's locks do not reach from one machine to another."""
    here = host_id()
    row = connection.execute(sql.SETTING, (_HOST,)).fetchone()
    if row is not None and row[0] == here:
        return
    if row is not None and not location.allow_other_host:
        raise SettingsError(
            f"{location.path} was last opened on another host ({row[0]}, this one is {here}): two hosts on one SQLite"
            " file corrupt it. If no other host uses it any more (the file was moved, or a container got a new name),"
            " open it once with ?allow_other_host=true in its URL; for several hosts use PostgreSQL"
        )
    patiently(lambda: connection.execute(sql.SETTING_PUT, (_HOST, here)), lock_timeout)
