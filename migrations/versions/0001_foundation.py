"""The foundation: runs, stages, jobs, signals, the outbox, and what keeps them together."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def _text(name: str, *, null: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, _TEXT, nullable=null)


def _id(name: str, *, null: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, _ID, nullable=null)


def _number(name: str) -> "sa.Column[Any]":
    return sa.Column(name, sa.Integer(), nullable=False, autoincrement=False)


def _moment(name: str, *, null: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, sa.BigInteger(), nullable=null)


def _keyed(name: str, *columns: "sa.Column[Any]", key: tuple[str, ...], rowid: bool = False) -> None:
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key), sqlite_with_rowid=rowid)


def _index(name: str, table: str, columns: list[str], where: str | None = None, *, unique: bool = False) -> None:
    predicate: dict[str, Any] = {}
    if where is not None:
        predicate = {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}
    op.create_index(name, table, columns, unique=unique, **predicate)


#: The store's time, said in one place; it goes on while a transaction waits for a lock.
_NOW = """
create function mainspring_now() returns bigint language sql volatile parallel safe
as 'select (extract(epoch from clock_timestamp()) * 1000000)::bigint'"""


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(_NOW)
        op.execute("create sequence mainspring_tokens start 2 cache 1")  # 1: of a job that is made leased
        op.execute("create sequence mainspring_events cache 1")
    _runs()
    _stages()
    _jobs()
    _messages()
    _outbox()
    _keeping()


def _runs() -> None:
    _keyed(
        "runs",
        _id("id"),
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
        sa.Column("event_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        key=("id",),
        rowid=True,
    )
    _index("runs_key", "runs", ["workflow", "key"], "key is not null", unique=True)
    _index("runs_by_workflow", "runs", ["workflow", "id"])
    _index("runs_by_status", "runs", ["status", "id"], "status <> 'completed'")
    active = "deadline is not null and status not in ('cancelled', 'completed', 'failed')"
    _index("runs_deadline", "runs", ["deadline"], active)
    _index("runs_finished", "runs", ["finished_at"], "status in ('cancelled', 'completed', 'failed')")
    _index("runs_parent", "runs", ["parent_run"], "parent_run is not null")
    _index("runs_rerun", "runs", ["rerun_of"], "rerun_of is not null")
    _keyed("run_tags", _text("tag"), _id("run_id"), key=("tag", "run_id"))


def _stages() -> None:
    _keyed(
        "stages",
        _id("run_id"),
        _text("stage"),
        _number("idx"),
        _text("status"),
        _number("attempt"),
        _text("worker", null=True),
        _moment("started_at", null=True),
        _moment("finished_at"),
        _text("output", null=True),
        _text("failure", null=True),
        _text("artifacts", null=True),
        key=("run_id", "stage", "idx"),
    )
    _keyed(
        "attempts",
        _id("run_id"),
        _text("stage"),
        _number("idx"),
        _number("attempt"),
        _id("lease_id"),
        _text("worker"),
        _moment("started_at"),
        _moment("ended_at"),
        _text("failure", null=True),
        key=("run_id", "stage", "idx", "lease_id"),
    )


def _jobs() -> None:
    _keyed(
        "jobs",
        _id("run_id"),
        _text("stage"),
        _number("idx"),
        _text("route"),
        _text("phase"),
        _number("priority"),
        _moment("available_at", null=True),
        _moment("announce_at", null=True),
        _moment("not_before", null=True),
        _number("attempt"),
        _number("max_attempts"),
        _number("wakes"),
        sa.Column("token", sa.BigInteger(), nullable=False),
        _id("lease_id", null=True),
        _text("worker", null=True),
        _moment("lease_until", null=True),
        _moment("claimed_at", null=True),
        _text("input", null=True),
        _text("progress", null=True),
        _text("polling", null=True),
        key=("run_id", "stage", "idx"),
    )
    ready = "lease_id is null and phase = 'ready' and available_at is not null"
    _index("jobs_ready", "jobs", ["route", "priority", "available_at"], ready)
    _index("jobs_unheard", "jobs", ["announce_at"], ready)
    _index("jobs_leased", "jobs", ["lease_until"], "lease_until is not null")
    _index("jobs_held", "jobs", ["phase", "route"], "phase <> 'ready'")


def _messages() -> None:
    _keyed(
        "signals",
        _id("run_id"),
        _number("seq"),
        _text("id"),
        _text("name"),
        _text("payload"),
        _moment("sent_at"),
        key=("run_id", "seq"),
    )
    _index("signals_id", "signals", ["run_id", "id"], unique=True)
    _keyed(
        "answers",
        _text("command"),
        _text("key"),
        _text("request_hash"),
        _text("result"),
        _moment("answered_at"),
        key=("command", "key"),
    )
    _index("answers_given", "answers", ["answered_at"])
    _keyed("graphs", _text("fingerprint"), _text("shape"), key=("fingerprint",))


def _outbox() -> None:
    _keyed(
        "outbox",
        sa.Column("id", sa.BigInteger(), nullable=False),
        _moment("at"),
        _id("run_id"),
        _number("seq"),
        _number("sink"),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _text("type"),
        _text("data"),
        _moment("postponed_until", null=True),
        key=("run_id", "seq", "sink"),
    )
    _index("outbox_order", "outbox", ["sink", "id"])
    _index("outbox_postponed", "outbox", ["sink", "postponed_until"], "postponed_until is not null")
    _keyed(
        "dead_letters",
        _id("run_id"),
        _number("seq"),
        _number("sink"),
        _text("type"),
        _moment("at"),
        _text("data"),
        _number("tries"),
        _text("error"),
        _moment("died_at"),
        key=("run_id", "seq", "sink"),
    )
    _index("dead_letters_died", "dead_letters", ["sink", "died_at"])
    op.create_table(
        "sinks",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        _text("name"),
        _text("types", null=True),
    )
    _index("sinks_name", "sinks", ["name"], unique=True)


def _keeping() -> None:
    _keyed("leases", _text("name"), _id("lease_id"), _moment("until"), key=("name",))
    _keyed(
        "workers",
        _text("id"),
        _text("routes", null=True),
        _text("build"),
        _moment("started_at"),
        _moment("seen_at"),
        key=("id",),
    )
    _keyed("settings", _text("name"), _text("value"), key=("name",))
    _keyed("counters", _text("name"), sa.Column("value", sa.BigInteger(), nullable=False), key=("name",))


def downgrade() -> None:
    for table in (
        "counters",
        "settings",
        "workers",
        "leases",
        "sinks",
        "dead_letters",
        "outbox",
        "graphs",
        "answers",
        "signals",
        "jobs",
        "attempts",
        "stages",
        "run_tags",
        "runs",
    ):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute("drop sequence mainspring_tokens")
        op.execute("drop sequence mainspring_events")
        op.execute("drop function mainspring_now()")
