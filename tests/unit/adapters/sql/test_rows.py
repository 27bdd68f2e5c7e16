"""Positions are the whole protocol between statements and records: here they are compared with the tables."""

from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Table
from sqlalchemy.types import BigInteger, Integer

from mainspring.adapters.sql import rows, tables
from mainspring.adapters.sql.rows import failure_text, listed, read_failure
from mainspring.ports.records import Failure

LISTS = [
    (tables.runs, rows.RUN_COLUMNS, {"event_count"}),
    (tables.stages, rows.STAGE_COLUMNS, set[str]()),
    (tables.attempts, rows.ATTEMPT_COLUMNS, set[str]()),
    (tables.jobs, rows.JOB_COLUMNS, {"announce_at"}),
    (tables.signals, rows.SIGNAL_COLUMNS, set[str]()),
    (tables.answers, rows.ANSWER_COLUMNS, {"answered_at"}),
    (tables.outbox, rows.EVENT_COLUMNS, {"id", "sink", "postponed_until"}),
    (tables.workers, rows.WORKER_COLUMNS, set[str]()),
]


@pytest.mark.parametrize(("table", "columns", "kept_apart"), LISTS, ids=lambda value: getattr(value, "name", ""))
def test_a_column_list_names_every_column_of_its_table(table: Table, columns: str, kept_apart: set[str]) -> None:
    assert set(listed(columns)) | kept_apart == {column.name for column in table.columns}


def test_moments_are_integers_and_ids_are_uuids_where_there_is_such_a_type() -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    moment = tables.runs.c.created_at.type
    known = (sqlite.dialect(), postgresql.dialect())  # type: ignore[no-untyped-call]
    assert [moment.compile(dialect=dialect) for dialect in known] == ["BIGINT", "BIGINT"]
    assert [tables.runs.c.id.type.compile(dialect=dialect) for dialect in known] == ["TEXT", "UUID"]
    assert isinstance(tables.runs.c.revision.type, Integer)
    assert isinstance(tables.jobs.c.token.type, BigInteger)


def test_the_moment_type_is_exact_both_ways() -> None:
    from sqlalchemy.dialects import sqlite

    moment, dialect = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC), sqlite.dialect()
    bound = tables.Moment().process_bind_param(moment, dialect)
    assert isinstance(bound, int)
    assert tables.Moment().process_result_value(bound, dialect) == moment


@given(
    st.builds(Failure, code=st.text(), message=st.text(), type=st.none() | st.text(), traceback=st.none() | st.text())
)
def test_a_failure_comes_back_whatever_its_texts_hold(failure: Failure) -> None:
    text = failure_text(failure)
    assert text is not None
    assert text.isascii()
    assert read_failure(text) == failure


def test_a_failure_with_lone_surrogates_and_nul_comes_back() -> None:
    failure = Failure(code="failed", message="\udcff\0")
    assert read_failure(failure_text(failure)) == failure


def test_every_field_of_a_failure_is_stored() -> None:
    fields = {field.name: field.name for field in attrs.fields(Failure)}
    assert read_failure(failure_text(Failure(**fields))) == Failure(**fields)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_failure_written_by_newer_code_is_read() -> None:
    assert read_failure('{"code": "failed", "message": "m", "later": 1}') == Failure(code="failed", message="m")
