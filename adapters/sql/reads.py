"""Reads that are composed from filters, as SQLAlchemy Core: written once, compiled once per shape and dialect.

Rule: a filter's values are always parameters. What varies the text is only which fields of the filter are set.
"""

from functools import lru_cache
from typing import Any

import attrs
from sqlalchemy import Dialect, Select, bindparam, select, text
from sqlalchemy.dialects import postgresql, sqlite

from mainspring.adapters.sql.moments import to_micros
from mainspring.adapters.sql.predicates import RUN_IS_NOTABLE
from mainspring.adapters.sql.rows import RUN_COLUMNS, listed
from mainspring.adapters.sql.tables import run_tags, runs
from mainspring.ports.names import RunId
from mainspring.ports.records import RunFilter, RunStatus


@attrs.frozen(kw_only=True)
class _Shape:
    """Which fields of a filter are set."""

    workflow: bool
    statuses: int
    notable: bool
    tag: bool
    key: bool
    created_after: bool
    created_before: bool
    rerun_of: bool
    before: bool


def sqlite_runs(where: RunFilter, *, limit: int, before: RunId | None) -> tuple[str, dict[str, Any]]:
    """The statement and parameters that list matching runs, newest first."""
    statement, constants = _sqlite_text(_shape(where, before))
    return statement, {**constants, **_values(where, limit, before)}


def postgres_runs(where: RunFilter, *, limit: int, before: RunId | None) -> tuple[bytes, list[Any]]:
    """The same for PostgreSQL, whose parameters are numbered."""
    statement, names = _postgres_text(_shape(where, before))
    values = _values(where, limit, before)
    return statement, [values[name] for name in names]


def _shape(where: RunFilter, before: RunId | None) -> _Shape:
    return _Shape(
        workflow=where.workflow is not None,
        statuses=len(where.status),
        notable=bool(where.status) and RunStatus.COMPLETED not in where.status,
        tag=where.tag is not None,
        key=where.key is not None,
        created_after=where.created_after is not None,
        created_before=where.created_before is not None,
        rerun_of=where.rerun_of is not None,
        before=before is not None,
    )


def _values(where: RunFilter, limit: int, before: RunId | None) -> dict[str, Any]:
    values: dict[str, Any] = {
        "workflow": where.workflow,
        "tag": where.tag,
        "key": where.key,
        "created_after": to_micros(where.created_after),
        "created_before": to_micros(where.created_before),
        "rerun_of": where.rerun_of,
        "before": before,
    }
    given = {name: value for name, value in values.items() if value is not None}
    statuses = {f"status_{place}": status.value for place, status in enumerate(where.status)}
    return {**given, **statuses, "limit": limit}


@lru_cache(maxsize=256)
def _sqlite_text(shape: _Shape) -> tuple[str, dict[str, Any]]:
    """The text, and the parameters that the compiler added (SQLite's dialect writes an offset of 0)."""
    compiled = _runs(shape).compile(dialect=sqlite.dialect(paramstyle="named"))
    return str(compiled), {name: value for name, value in compiled.params.items() if value is not None}


@lru_cache(maxsize=256)
def _postgres_text(shape: _Shape) -> tuple[bytes, list[str]]:
    """The text, and the names of its parameters in their order."""
    dialect: Dialect = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
    compiled = _runs(shape).compile(dialect=dialect)
    return str(compiled).encode(), list(compiled.positiontup or ())


def _runs(shape: _Shape) -> Select[Any]:
    statement = select(*(runs.c[name] for name in listed(RUN_COLUMNS)))
    by = runs.c.id
    if shape.tag:
        # Walk the tag's runs, not all runs: a rare tag among a million costs what it finds.
        by = run_tags.c.run_id
        statement = statement.join_from(run_tags, runs, runs.c.id == run_tags.c.run_id)
        statement = statement.where(run_tags.c.tag == bindparam("tag"))
    if shape.workflow:
        statement = statement.where(runs.c.workflow == bindparam("workflow"))
    if shape.statuses:
        statement = statement.where(runs.c.status.in_([bindparam(f"status_{n}") for n in range(shape.statuses)]))
    if shape.notable:
        statement = statement.where(text(RUN_IS_NOTABLE))
    if shape.key:
        statement = statement.where(runs.c.key == bindparam("key"))
    if shape.created_after:
        statement = statement.where(runs.c.created_at >= bindparam("created_after"))
    if shape.created_before:
        statement = statement.where(runs.c.created_at < bindparam("created_before"))
    if shape.rerun_of:
        statement = statement.where(runs.c.rerun_of == bindparam("rerun_of"))
    if shape.before:
        statement = statement.where(by < bindparam("before"))
    return statement.order_by(by.desc()).limit(bindparam("limit"))
