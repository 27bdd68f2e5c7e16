"""What PostgreSQL's errors mean to a caller.

Rule: a message names the store and what to do, and never holds a statement's parameters: of the server's own words only
the primary message is repeated, for its detail may quote a row.
"""

import psycopg
from psycopg import errors

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

#: Another transaction was in the way, and nothing was written: the same statement may be asked again.
REPEATABLE = frozenset({"40001", "40P01", "55P03"})
#: Of one row, not of the store.
_OF_A_ROW = frozenset({"22", "23"})


def is_repeatable(error: BaseException) -> bool:
    """A race with another transaction: serialization, a deadlock, a lock that did not come in time."""
    return isinstance(error, psycopg.Error) and error.sqlstate in REPEATABLE


def is_of_a_row(error: BaseException) -> bool:
    """A value that the store refuses: whoever else is in the batch has nothing to do with it."""
    if isinstance(error, (UnicodeError, OverflowError)):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.DataError)
    return error.sqlstate[:2] in _OF_A_ROW or error.sqlstate in {"54000", "21000", "P0002"}


def translate(error: BaseException, shown: str) -> MainspringError:
    """The port's error for one of the driver's, to be raised from it."""
    if isinstance(error, MainspringError):
        return error
    if isinstance(error, (UnicodeError, OverflowError)) or (
        isinstance(error, psycopg.DataError) and error.sqlstate is None
    ):
        found = f"{type(error).__name__}; expected text without NUL or lone surrogates and integers of at most 64 bits"
        return InvalidValueError("Change", (Problem("$", f"the store cannot hold a value: {found}"),))
    if not isinstance(error, psycopg.Error):
        return UnavailableError(f"{shown} failed: {type(error).__name__}")
    return _by_state(error, shown)


def _by_state(error: psycopg.Error, shown: str) -> MainspringError:
    words = (error.diag.message_primary or type(error).__name__).strip()
    state = error.sqlstate or ""
    match state[:2]:
        case "22" | "54":
            return InvalidValueError("Change", (Problem("$", f"the store cannot hold a value: {words}"),))
        case "23":
            return PortError(f"the store {shown} refused a row: {words}; nothing of the Change was written")
        case "42" if isinstance(error, errors.InsufficientPrivilege):
            return ReadOnlyError(f"{shown}: {words}; grant this user what docs/operations.md lists")
        case "42" | "3F":
            return SchemaError(f"the schema of {shown} does not fit this code ({words}); run: mainspring migrate")
        case "25" if isinstance(error, errors.ReadOnlySqlTransaction):
            return ReadOnlyError(f"{shown} refuses writes ({words}): a standby, or default_transaction_read_only")
        case "28" | "3D":
            return SettingsError(f"{shown} refuses us: {words}")
        case "53" if isinstance(error, errors.DiskFull):
            return StoreFullError(f"no space is left for {shown}: nothing was written; free some and go on")
        case _:
            pass
    if not state:
        told = str(error).strip().splitlines()
        words = told[0] if told else type(error).__name__
    return UnavailableError(f"{shown} failed: {words} ({state or type(error).__name__})")
