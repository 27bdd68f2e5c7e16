"""The tables, as SQLAlchemy Core sees them. One metadata for every dialect; alembic migrates it.

Rule: nothing here runs on the hot path. The hot statements name the same columns in the order of
:mod:`mainspring.adapters.sql.rows`, and a test compares the two.

Moments are integers: microseconds since the epoch, UTC. Payloads are text. Ids of runs and leases are ``uuid`` where
there is such a type, other texts sort by their code points everywhere.
There are no foreign keys: rows are written by guarded Changes only, and checking references would double the work.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

from mainspring.adapters.sql.moments import from_micros, to_micros
from mainspring.adapters.sql.predicates import (
    JOB_IS_HELD,
    JOB_IS_LEASED,
    JOB_IS_READY,
    RUN_HAS_KEY,
    RUN_HAS_PARENT,
    RUN_IS_ACTIVE,
    RUN_IS_NOTABLE,
    RUN_IS_RERUN,
    RUN_IS_TERMINAL,
)

metadata = MetaData()

#: Sorted by code points, as Python and SQLite do, whatever the database's own order is.
_TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_ID = Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, exact to the microsecond on every dialect."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002  all are alike
        """What the driver is given."""
        return to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """What a reader gets."""
        return None if value is None else from_micros(value)


def _text(name: str, *, null: bool = False, key: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=null, primary_key=key)


def _id(name: str, *, null: bool = False, key: bool = False) -> Column[str]:
    return Column(name, _ID, nullable=null, primary_key=key)


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=False, primary_key=key, autoincrement=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _moment(name: str, *, null: bool = False) -> Column[datetime]:
    return Column(name, Moment, nullable=null)


#: A b-tree of its primary key alone: one page walk per row. Not for runs: wide rows.
_CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False}


def _where(predicate: str) -> dict[str, Any]:
    return {"sqlite_where": text(predicate), "postgresql_where": text(predicate)}


runs = Table(
    "runs",
    metadata,
    _id("id", key=True),
    _text("workflow"),
    _text("version"),
    _text("fingerprint"),
    _text("queue"),
    _text("status"),
    _number("revision"),
    _number("priority"),
    _text("key", null=True),
    _text("request_hash"),
    _text("input"),
    _text("config", null=True),
    _text("tags", null=True),
    _text("metadata", null=True),
    _moment("created_at"),
    _moment("start_at", null=True),
    _moment("started_at", null=True),
    _moment("finished_at", null=True),
    _moment("deadline", null=True),
    _text("output", null=True),
    _text("failure", null=True),
    _text("cancel_reason", null=True),
    _id("parent_run", null=True),
    _text("parent_step", null=True),
    _id("rerun_of", null=True),
    _text("rerun_from", null=True),
    _count("event_count"),
)
Index("runs_key", runs.c.workflow, runs.c.key, unique=True, **_where(RUN_HAS_KEY))
Index("runs_by_workflow", runs.c.workflow, runs.c.id)
Index("runs_by_status", runs.c.status, runs.c.id, **_where(RUN_IS_NOTABLE))
Index("runs_deadline", runs.c.deadline, **_where(RUN_IS_ACTIVE))
Index("runs_finished", runs.c.finished_at, **_where(RUN_IS_TERMINAL))
Index("runs_parent", runs.c.parent_run, **_where(RUN_HAS_PARENT))
Index("runs_rerun", runs.c.rerun_of, **_where(RUN_IS_RERUN))

run_tags = Table("run_tags", metadata, _text("tag", key=True), _id("run_id", key=True), **_CLUSTERED)

stages = Table(
    "stages",
    metadata,
    _id("run_id", key=True),
    _text("stage", key=True),
    _number("idx", key=True),
    _text("status"),
    _number("attempt"),
    _text("worker", null=True),
    _moment("started_at", null=True),
    _moment("finished_at"),
    _text("output", null=True),
    _text("failure", null=True),
    _text("artifacts", null=True),
    **_CLUSTERED,
)

attempts = Table(
    "attempts",
    metadata,
    _id("run_id", key=True),
    _text("stage", key=True),
    _number("idx", key=True),
    _number("attempt"),
    _id("lease_id", key=True),
    _text("worker"),
    _moment("started_at"),
    _moment("ended_at"),
    _text("failure", null=True),
    **_CLUSTERED,
)

jobs = Table(
    "jobs",
    metadata,
    _id("run_id", key=True),
    _text("stage", key=True),
    _number("idx", key=True),
    _text("route"),
    _text("phase"),
    _number("priority"),
    _moment("available_at", null=True),
    _moment("announce_at", null=True),
    _moment("not_before", null=True),
    _number("attempt"),
    _number("max_attempts"),
    _number("wakes"),
    Column("token", BigInteger, nullable=False),
    _id("lease_id", null=True),
    _text("worker", null=True),
    _moment("lease_until", null=True),
    _moment("claimed_at", null=True),
    _text("input", null=True),
    _text("progress", null=True),
    _text("polling", null=True),
    **_CLUSTERED,
)
Index("jobs_ready", jobs.c.route, jobs.c.priority, jobs.c.available_at, **_where(JOB_IS_READY))
Index("jobs_unheard", jobs.c.announce_at, **_where(JOB_IS_READY))
Index("jobs_leased", jobs.c.lease_until, **_where(JOB_IS_LEASED))
Index("jobs_held", jobs.c.phase, jobs.c.route, **_where(JOB_IS_HELD))

signals = Table(
    "signals",
    metadata,
    _id("run_id", key=True),
    _number("seq", key=True),
    _text("id"),
    _text("name"),
    _text("payload"),
    _moment("sent_at"),
    **_CLUSTERED,
)
Index("signals_id", signals.c.run_id, signals.c.id, unique=True)

answers = Table(
    "answers",
    metadata,
    _text("command", key=True),
    _text("key", key=True),
    _text("request_hash"),
    _text("result"),
    _moment("answered_at"),
    **_CLUSTERED,
)

Index("answers_given", answers.c.answered_at)

graphs = Table("graphs", metadata, _text("fingerprint", key=True), _text("shape"), **_CLUSTERED)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, nullable=False),  # PostgreSQL draws it from ``mainspring_events``
    _moment("at"),
    _id("run_id", key=True),
    _number("seq", key=True),
    _number("sink", key=True),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    _text("type"),
    _text("data"),
    _moment("postponed_until", null=True),
    **_CLUSTERED,
)
Index("outbox_order", outbox.c.sink, outbox.c.id)
Index("outbox_postponed", outbox.c.sink, outbox.c.postponed_until, **_where("postponed_until is not null"))

dead_letters = Table(
    "dead_letters",
    metadata,
    _id("run_id", key=True),
    _number("seq", key=True),
    _number("sink", key=True),
    _text("type"),
    _moment("at"),
    _text("data"),
    _number("tries"),
    _text("error"),
    _moment("died_at"),
    **_CLUSTERED,
)
Index("dead_letters_died", dead_letters.c.sink, dead_letters.c.died_at)

sinks = Table(
    "sinks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _text("name"),
    _text("types", null=True),
)
Index("sinks_name", sinks.c.name, unique=True)

leases = Table("leases", metadata, _text("name", key=True), _id("lease_id"), _moment("until"), **_CLUSTERED)

workers = Table(
    "workers",
    metadata,
    _text("id", key=True),
    _text("routes", null=True),
    _text("build"),
    _moment("started_at"),
    _moment("seen_at"),
    **_CLUSTERED,
)

settings = Table("settings", metadata, _text("name", key=True), _text("value"), **_CLUSTERED)

_value = Column("value", BigInteger, nullable=False)
counters = Table("counters", metadata, _text("name", key=True), _value, **_CLUSTERED)
