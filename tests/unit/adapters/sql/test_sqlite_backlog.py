"""Plans, not times: no count for operators walks the table of jobs."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring.adapters.sql import sqlite_backlog

INDEXES = {
    "NEXT_ROUTE": "INDEX jobs_ready (route>?)",
    "COUNT_DUE": "INDEX jobs_ready (route=? AND priority=? AND available_at",
    "COUNT_LATER": "INDEX jobs_ready (route=? AND priority=? AND available_at",
    "COUNT_LEASED": "INDEX jobs_leased",
    "COUNT_HELD": "INDEX jobs_held (phase=?",
}


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


@pytest.mark.parametrize("name", INDEXES)
def test_a_count_walks_its_index(connection: sqlite3.Connection, name: str) -> None:
    statement: str = getattr(sqlite_backlog, name)
    marks = (None,) * statement.count("?")
    steps = [row[3] for row in connection.execute(f"explain query plan {statement}", marks)]
    (step,) = (step for step in steps if " jobs " in f"{step} ")
    assert INDEXES[name] in step
