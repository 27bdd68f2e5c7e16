"""Where a side keeps its rows while it is measured: a SQLite file, or a fresh database of a PostgreSQL cluster.

Rule: the bench's own questions never count. They carry a mark, or go to the maintenance database.
"""

import contextlib
import itertools
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import attrs
import psycopg

from benchmarks.server import Server

RUN = Path(__file__).parent / ".run"
OWN = "/*bench*/"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_numbers = itertools.count(1)


@attrs.frozen(kw_only=True)
class Mark:
    """What a database had done until a moment. None: it cannot tell."""

    statements: float | None = None  #: as pg_stat_statements counts them, BEGIN and COMMIT included
    transactions: float | None = None  #: this bench's own looks included
    wal: float | None = None  #: bytes
    cpu: float | None = None  #: seconds of the server's processes


class Place(Protocol):
    """A fresh database."""

    url: str

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """One read, as another process; a store's locks are waited for."""
        ...

    def mark(self) -> Mark:
        """What was done until now."""
        ...

    def left_bytes(self) -> float:
        """Bytes on disk as they were left. Everything that used it has ended."""
        ...

    def live_bytes(self) -> float:
        """Bytes of what is there, without what was deleted."""
        ...


class Store(Protocol):
    """A kind of database."""

    name: str
    every: float  #: seconds between two looks at whether a drain has ended

    def place(self) -> "contextlib.AbstractContextManager[Place]":
        """A fresh database; gone afterwards."""
        ...

    def versions(self) -> str:
        """What it is, and how it is set."""
        ...


@attrs.define
class SqlitePlace:
    """A file on the disk of this folder."""

    path: Path
    url: str = ""
    _reader: sqlite3.Connection | None = None

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """One read; each is a transaction of its own."""
        if self._reader is None:
            self._reader = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30, isolation_level=None)
        return self._reader.execute(query).fetchall()

    def mark(self) -> Mark:
        """SQLite counts nothing."""
        return Mark()

    def left_bytes(self) -> float:
        """The file after a checkpoint."""
        return self._after("pragma wal_checkpoint(truncate)")

    def live_bytes(self) -> float:
        """The file after a vacuum."""
        return self._after("vacuum", "pragma wal_checkpoint(truncate)")

    def _after(self, *statements: str) -> float:
        self.close()
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None, timeout=30)) as connection:
            for statement in statements:
                connection.execute(statement).fetchall()
        return self.path.stat().st_size

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class Sqlite:
    """SQLite files."""

    name, every = "sqlite", 0.005

    @contextlib.contextmanager
    def place(self) -> Iterator[SqlitePlace]:
        """A file that is not there yet, beside this module."""
        RUN.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=RUN) as folder:
            path = Path(folder) / "bench.db"
            place = SqlitePlace(path, f"sqlite:///{path}")
            try:
                yield place
            finally:
                place.close()

    def versions(self) -> str:
        """The library's version."""
        return f"SQLite {sqlite3.sqlite_version}"


@attrs.define
class PostgresPlace:
    """A database of a cluster."""

    url: str
    name: str
    server: Server
    admin: "psycopg.Connection[tuple[Any, ...]]"
    _reader: "psycopg.Connection[tuple[Any, ...]] | None" = None
    _empty: float = 0.0

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """One read, with every side's schema in the path."""
        if self._reader is None:
            self._reader = psycopg.connect(self.url, autocommit=True, prepare_threshold=1)
            self._reader.execute(f"set {OWN} search_path = mainspring, dbos, absurd, public")
        marked = query.replace("select ", f"select {OWN} ", 1)
        return self._reader.execute(marked.encode()).fetchall()

    def mark(self) -> Mark:
        """What the cluster counted; asked in another database."""
        row = self.admin.execute("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')").fetchone()
        assert row is not None
        return Mark(
            statements=self._statements(), transactions=self._transactions(), wal=float(row[0]), cpu=self._cpu()
        )

    def top(self, count: int) -> list[tuple[Any, ...]]:
        """The dearest statements: calls, milliseconds of execution, rows, text. Empty without the extension."""
        if not has_statistics(self.admin):
            return []
        return self.admin.execute(
            "select calls, total_exec_time, s.rows, regexp_replace(query, '\\s+', ' ', 'g') from pg_stat_statements s"
            " join pg_database d on d.oid = s.dbid where datname = %s and query not like %s"
            " order by total_exec_time desc limit %s",
            (self.name, f"%{OWN}%", count),
        ).fetchall()

    def forget(self) -> None:
        """Count this database's statements anew."""
        if has_statistics(self.admin):
            query = "select pg_stat_statements_reset(0, oid, 0) from pg_database where datname = %s"
            self.admin.execute(query, (self.name,))

    def set_up(self) -> None:
        """The side has made its tables: what comes from now on is measured."""
        self.admin.execute("checkpoint")
        self._empty = self._size()

    def left_bytes(self) -> float:
        """Tables and indexes, dead rows and all, less what they took when they were empty."""
        return self._size() - self._empty

    def live_bytes(self) -> float:
        """Tables and indexes after ``vacuum full``, less what they took when they were empty."""
        self.ask("select 1")
        assert self._reader is not None
        self._reader.execute(f"vacuum {OWN} full")
        return self._size() - self._empty

    def close(self) -> None:
        """Let go of the database."""
        if self._reader is not None:
            self._reader.close()

    def _size(self) -> float:
        rows = self.ask(
            "select coalesce(sum(pg_total_relation_size(c.oid)), 0) from pg_class c join pg_namespace n"
            " on n.oid = c.relnamespace where c.relkind in ('r', 'm')"
            " and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg_toast%'"
        )
        return float(rows[0][0])

    def _statements(self) -> float | None:
        if not has_statistics(self.admin):
            return None
        row = self.admin.execute(
            "select coalesce(sum(calls), 0) from pg_stat_statements s join pg_database d on d.oid = s.dbid"
            " where datname = %s and query not like %s",
            (self.name, f"%{OWN}%"),
        ).fetchone()
        return float(row[0]) if row else None

    def _transactions(self) -> float:
        query = "select xact_commit + xact_rollback from pg_stat_database where datname = %s"
        row = self.admin.execute(query, (self.name,)).fetchone()
        return float(row[0]) if row else 0.0

    def _cpu(self) -> float | None:
        """Of the postmaster and its children, those that ended included."""
        if self.server.pid is None:
            return None
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()
        total = 0
        for pid in (str(self.server.pid), *children):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += sum(map(int, fields[11:15] if pid == str(self.server.pid) else fields[11:13]))
        return total / CLOCK_TICKS


@attrs.define
class Postgres:
    """Databases of one cluster."""

    server: Server
    name: str = "postgres"
    every: float = 0.01

    @contextlib.contextmanager
    def place(self) -> Iterator[PostgresPlace]:
        """A database that nothing used before."""
        name = f"bench_{os.getpid()}_{next(_numbers)}"
        url = urlunsplit(urlsplit(self.server.url)._replace(path="/" + name))
        with psycopg.connect(self.server.url, autocommit=True) as admin:
            admin.execute(f"create database {name}".encode())
            place = PostgresPlace(url, name, self.server, admin)
            try:
                yield place
            finally:
                place.close()
                admin.execute(f"drop database {name} with (force)".encode())

    def versions(self) -> str:
        """The server's version and the settings that decide about durability."""
        with psycopg.connect(self.server.url, autocommit=True) as admin:
            asked = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_connections")
            told = [f"{name} = {admin.execute('select current_setting(%s)', (name,)).fetchone()[0]}" for name in asked]  # type: ignore[index]
            version = admin.info.parameter_status("server_version")
            counted = "with" if has_statistics(admin) else "without"
        return f"PostgreSQL {version} ({', '.join(told)}; {counted} pg_stat_statements)"


def has_statistics(admin: "psycopg.Connection[tuple[Any, ...]]") -> bool:
    """Whether the cluster counts statements; the extension is made in the maintenance database if it can be."""
    if admin.execute("select 1 from pg_extension where extname = 'pg_stat_statements'").fetchone():
        return True
    row = admin.execute("select current_setting('shared_preload_libraries') like '%pg_stat_statements%'").fetchone()
    if not (row and row[0]):
        return False
    admin.execute("create extension pg_stat_statements")
    return True
