import sqlite3

import pytest

from mainspring.adapters.sql.sqlite_errors import is_busy, is_store_failure, translate
from mainspring.ports.errors import (
    InvalidValueError,
    PortError,
    ReadOnlyError,
    SchemaError,
    SettingsError,
    StoreFullError,
    UnavailableError,
)


def failed(code: int, kind: type[sqlite3.Error] = sqlite3.OperationalError, text: str = "text") -> sqlite3.Error:
    error = kind(text)
    error.sqlite_errorcode = code
    error.sqlite_errorname = "NAME"
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (failed(sqlite3.SQLITE_FULL), StoreFullError),
        (failed(sqlite3.SQLITE_READONLY), ReadOnlyError),
        (failed(sqlite3.SQLITE_READONLY_DIRECTORY), ReadOnlyError),
        (failed(sqlite3.SQLITE_BUSY), UnavailableError),
        (failed(sqlite3.SQLITE_BUSY_SNAPSHOT), UnavailableError),
        (failed(sqlite3.SQLITE_LOCKED), UnavailableError),
        (failed(sqlite3.SQLITE_CANTOPEN), UnavailableError),
        (failed(sqlite3.SQLITE_IOERR_FSYNC), UnavailableError),
        (failed(sqlite3.SQLITE_CORRUPT, sqlite3.DatabaseError), UnavailableError),
        (failed(sqlite3.SQLITE_NOTADB, sqlite3.DatabaseError), SettingsError),
        (failed(sqlite3.SQLITE_ERROR, text="no such table: runs"), SchemaError),
        (failed(sqlite3.SQLITE_TOOBIG, sqlite3.DataError), InvalidValueError),
        (failed(sqlite3.SQLITE_CONSTRAINT, sqlite3.IntegrityError), PortError),
        (sqlite3.ProgrammingError("type 'object' is not supported: canary"), InvalidValueError),
        (UnicodeEncodeError("utf-8", "canary\udcff", 6, 7, "surrogates not allowed"), InvalidValueError),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), InvalidValueError),
    ],
    ids=str,
)
def test_each_error_of_the_driver_becomes_one_of_the_ports(error: Exception, kind: type[Exception]) -> None:
    told = translate(error, "/the/file.db")
    assert type(told) is kind
    assert told.__cause__ is error
    assert "canary" not in str(told)


def test_what_is_no_error_of_the_driver_comes_back_as_it_is() -> None:
    for error in (KeyError("a bug"), StoreFullError("told already")):
        assert translate(error, "/the/file.db") is error


def test_a_locked_file_is_busy_and_a_full_disk_is_not() -> None:
    assert is_busy(failed(sqlite3.SQLITE_BUSY_SNAPSHOT))
    assert not is_busy(failed(sqlite3.SQLITE_FULL))
    assert not is_busy(ValueError())


def test_a_refused_row_is_no_failure_of_the_store() -> None:
    assert is_store_failure(failed(sqlite3.SQLITE_FULL))
    assert not is_store_failure(failed(sqlite3.SQLITE_CONSTRAINT, sqlite3.IntegrityError))
    assert not is_store_failure(sqlite3.ProgrammingError("no code"))
