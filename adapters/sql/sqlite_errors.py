"""What SQLite's errors mean to a caller.

Rule: a message names the file and what to do, and never holds a statement's parameters.
"""

import sqlite3

from mainspring.ports.errors import (
    InvalidValueError,
    MainspringError,
    PortError,
    Problem,
    ReadOnlyError,
    SchemaError,
    SettingsError,
    StoreFullError,
    UnavailableError,
)

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
#: The store as a whole failed; which Change was being written has nothing to do with it.
_STORE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_ERROR,
    }
)


def code_of(error: BaseException) -> int:
    """SQLite's primary result code; 0 if the driver gave none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Another connection holds the lock: try again."""
    return isinstance(error, sqlite3.Error) and code_of(error) in _BUSY


def is_store_failure(error: BaseException) -> bool:
    """The file, the disk or the schema failed, not one row."""
    return isinstance(error, sqlite3.Error) and code_of(error) in _STORE


def translate(error: BaseException, path: str) -> BaseException:
    """The port's error for one of the driver's, with its cause set; anything else comes back as it is."""
    told = _told(error, path)
    if told is None:
        return error
    told.__cause__ = error
    return told


def _told(error: BaseException, path: str) -> MainspringError | None:
    if isinstance(error, sqlite3.IntegrityError):
        return PortError(f"the store {path} refused a row: {error}; nothing of the Change was written")
    if isinstance(error, sqlite3.Error) and code_of(error):
        return _by_code(error, path)
    if isinstance(error, (sqlite3.Error, UnicodeError, OverflowError)):
        # The driver refused a value before SQLite saw it. Its own words may quote the value, so they are not repeated.
        found = f"{type(error).__name__}; expected text without lone surrogates and integers of at most 64 bits"
        return InvalidValueError("Change", (Problem("$", f"the store cannot hold a value: {found}"),))
    return None


def _by_code(error: sqlite3.Error, path: str) -> MainspringError:
    match code_of(error):
        case sqlite3.SQLITE_FULL:
            return StoreFullError(f"no space is left for {path}: nothing was written; free some and go on")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return ReadOnlyError(
                f"{path} cannot be written ({error}): the file, its -wal and -shm neighbours and their directory"
                " must be writable by this user"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return UnavailableError(
                f"{path} is locked by another process for longer than the lock time-out; look for one that holds a"
                " transaction open (a shell, a backup), or raise the time-out"
            )
        case sqlite3.SQLITE_NOTADB:
            return SettingsError(f"{path} is not a SQLite database; choose another path or move that file away")
        case sqlite3.SQLITE_CORRUPT:
            return UnavailableError(f"{path} is damaged ({error}): stop all workers and restore it from a backup")
        case sqlite3.SQLITE_CANTOPEN:
            return UnavailableError(f"{path} cannot be opened ({error}): check that it exists and who may read it")
        case sqlite3.SQLITE_TOOBIG:
            return InvalidValueError("Change", (Problem("$", "a value is larger than SQLite can hold (1 GB)"),))
        case sqlite3.SQLITE_ERROR if "no such table" in str(error) or "no such column" in str(error):
            return SchemaError(f"the schema of {path} does not fit this code ({error}); run: mainspring migrate")
        case _:
            return UnavailableError(f"{path} failed: {error} ({getattr(error, 'sqlite_errorname', 'unknown code')})")
