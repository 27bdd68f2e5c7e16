"""One migrator at a time: a transaction takes its lock when it begins; the second one waits, then finds it done.

Rule: who waits on PostgreSQL looks again and again, each time in a transaction of its own: an index that is made
concurrently waits for every transaction that it has seen at work, and would wait for the one who waits for it.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import Any

import attrs
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, retry_if_exception_type, stop_after_attempt, wait_fixed
from tenacity import wait_random_exponential as growing

#: Any number that nothing else in a PostgreSQL database locks.
_POSTGRESQL_LOCK = 627_384_601
_LOOK_EVERY = 0.25  # seconds
#: A lock did not come in time, or two waited for each other.
_LOCKED = frozenset({"55P03", "40P01"})


class BusyError(Exception):
    """Another migrator is at work."""


@attrs.frozen(kw_only=True)
class Patience:
    """How long a migrator waits for what; in seconds."""

    migrators: float = 60  #: for another migrator
    tables: float = 5  #: for those who use a table that is to be changed: all who come after wait behind it
    tries: int = 5  #: to get such a table, with growing pauses between
    online: float = 900  #: for transactions that began before an index is made concurrently; nobody waits behind that
    sleep: Callable[[float], None] = time.sleep

    def turns(self) -> Retrying:
        """Looks again until another migrator is done."""
        return Retrying(
            sleep=self.sleep,
            stop=stop_after_attempt(1 + round(self.migrators / _LOOK_EVERY)),
            wait=wait_fixed(_LOOK_EVERY),
            retry=retry_if_exception_type(BusyError),
            reraise=True,
        )

    def again(self) -> Retrying:
        """Repeats what found a table held by others."""
        return Retrying(
            sleep=self.sleep,
            stop=stop_after_attempt(self.tries),
            wait=growing(multiplier=1, max=10),
            retry=retry_if_exception(is_locked),
            reraise=True,
        )


def is_locked(error: BaseException) -> bool:
    """Somebody else holds what was to be changed."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _LOCKED


def lock_on_begin(engine: Engine, schema: str | None, patience: Patience) -> None:
    """Make every transaction of this engine exclusive among migrators, its DDL included; or its beginning a BusyError.

    Connections that commit by themselves are left alone: somebody else holds the lock for them.

    Args:
        engine: of the store.
        schema: of PostgreSQL, a checked name: created if need be, and searched.
        patience: how long to wait.
    """
    if engine.dialect.name == "sqlite":

        def opened(connection: Any, _record: Any) -> None:
            _plain_transactions(connection, patience)

        event.listen(engine, "connect", opened)
        event.listen(engine, "begin", _begin_immediate)
        return

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            _lock_schema(connection, schema or "mainspring", patience)

    event.listen(engine, "begin", begin)


def _plain_transactions(connection: Any, patience: Patience) -> None:
    """Python's driver would commit before each CREATE TABLE: take its hands off."""
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None
        connection.execute(f"pragma busy_timeout = {round(patience.migrators * 1000)}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("begin immediate")


def _lock_schema(connection: Connection, schema: str, patience: Patience) -> None:
    """Locked for the transaction, so that a pooler that parts transactions does no harm."""
    ask = connection.exec_driver_sql
    ask("set transaction isolation level read committed")  # no snapshot stays between two statements
    ask("set transaction read write")
    for name in ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"):
        if ask("select current_setting(%s, true) is not null", (name,)).scalar():
            ask(f"set local {name} = 0")
    ask(f"set local lock_timeout = '{round(patience.tables * 1000)}ms'")
    if not ask("select pg_try_advisory_xact_lock(%s, hashtext(%s))", (_POSTGRESQL_LOCK, schema)).scalar():
        raise BusyError
    if ask("select to_regnamespace(%s) is null", (schema,)).scalar():
        ask(f'create schema "{schema}"')
    ask(f'set local search_path = "{schema}"')
