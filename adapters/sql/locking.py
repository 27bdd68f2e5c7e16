"""One migrator at a time: a transaction takes its lock when it begins; the second one waits, then finds it done."""

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, event

#: How long a migrator waits for another one, in seconds.
PATIENCE = 60

#: Any number that nothing else in a PostgreSQL database locks.
_POSTGRESQL_LOCK = 6_273_846_011


def lock_on_begin(engine: Engine) -> None:
    """Make every transaction of this engine exclusive among migrators, its DDL included."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _plain_transactions)
        event.listen(engine, "begin", _begin_immediate)
    else:
        event.listen(engine, "begin", _advisory_lock)


def _plain_transactions(connection: Any, _record: Any) -> None:
    """Python's driver would commit before each CREATE TABLE: take its hands off."""
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None
        connection.execute(f"pragma busy_timeout = {PATIENCE * 1000}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("begin immediate")


def _advisory_lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"select pg_advisory_xact_lock({_POSTGRESQL_LOCK})")
