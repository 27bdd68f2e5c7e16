"""Plans, not times: what a statement touches says how it grows with the store."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.reads import sqlite_runs
from mainspring.adapters.sql.rows import JOB_COLUMNS, listed
from mainspring.ports.names import RunId, WorkflowId
from mainspring.ports.records import JobPhase, RunFilter, RunStatus

VERBS = {"select", "insert", "update", "delete", "replace"}
ALL = {
    name: text
    for name, text in vars(sql).items()
    if isinstance(text, str) and name.isupper() and name[0] != "_" and text.split()[0] in VERBS
}

#: Read their whole small table on purpose.
WHOLE = {"WORKERS", "SINKS"}


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def parameters(statement: str) -> int:
    """How many values it wants: a plain mark is numbered one above the highest before it."""
    highest = 0
    for mark in re.findall(r"\?(\d*)", statement):
        highest = max(highest, int(mark)) if mark else highest + 1
    return highest


def plan(connection: sqlite3.Connection, statement: str, values: object = None) -> list[str]:
    given = values if values is not None else (None,) * parameters(statement)
    return [row[3] for row in connection.execute(f"explain query plan {statement}", given)]  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_the_statements_are_found() -> None:
    assert len(ALL) > 50


@pytest.mark.parametrize("name", sorted(set(ALL) - WHOLE))
def test_no_statement_scans_a_table_or_sorts_in_a_temporary_one(connection: sqlite3.Connection, name: str) -> None:
    steps = plan(connection, ALL[name])
    scans = [step for step in steps if step.startswith("SCAN") and "json_each" not in step and "level" not in step]
    # The first of an index in its order is a walk that ends at once.
    scans = [step for step in scans if name not in {"LEASE_FIRST", "DEADLINE_FIRST"} or "INDEX" not in step]
    assert not scans, steps
    if name not in {"ATTEMPTS", "STAGES_ONLY", "RUNS_OVERDUE"}:  # a run's own few rows; RUNS_OVERDUE is looked at below
        assert not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.parametrize("name", ["DUE_PROBE", "DUE_ROWS"])
def test_a_claim_walks_the_ready_index_only(connection: sqlite3.Connection, name: str) -> None:
    jobs = [step for step in plan(connection, ALL[name]) if "jobs" in step]
    assert jobs
    assert all("INDEX jobs_ready (route=?" in step for step in jobs), jobs


def test_a_claim_steps_over_what_sleeps_and_what_others_serve(connection: sqlite3.Connection) -> None:
    """Counted in steps of SQLite's machine, so that a slow computer is no slow claim."""
    marks = ", ".join("?" for _ in listed(JOB_COLUMNS))
    rest = [None] * (len(listed(JOB_COLUMNS)) - 12)
    sleeping = [("mine", priority, 10**15) for priority in range(5) for _ in range(2_000)]
    others = [("theirs", 0, 0)] * 10_000
    connection.execute("begin")
    for number, (route, priority, at) in enumerate([*sleeping, *others, ("mine", 2, 5)]):
        row = (f"{number:036}", "s", 0, route, JobPhase.READY.value, priority, at, None, 0, 1, 0, 0, *rest)
        connection.execute(f"insert into jobs ({JOB_COLUMNS}) values ({marks})", row)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 1)
    priority, found = 1 << 62, list[tuple[int, int]]()
    while (row := connection.execute(sql.DUE_PROBE, ("mine", priority)).fetchone()) is not None:
        priority = row[0]
        found.append(row)
    connection.set_progress_handler(None, 0)
    assert found == [(4, 10**15), (3, 10**15), (2, 5), (1, 10**15), (0, 10**15)]
    assert steps < 6 * 120, "the probes read rows they need not read"


def test_overdue_runs_are_found_by_their_deadline(connection: sqlite3.Connection) -> None:
    steps = plan(connection, sql.RUNS_OVERDUE)
    assert any("INDEX runs_deadline (deadline>? AND deadline<?)" in step for step in steps), steps


@pytest.mark.parametrize(
    ("where", "index"),
    [
        (RunFilter(), "sqlite_autoindex_runs_1"),
        (RunFilter(workflow=WorkflowId("w")), "runs_by_workflow"),
        (RunFilter(status=(RunStatus.FAILED,)), "runs_by_status"),
        (RunFilter(workflow=WorkflowId("w"), key="k"), "runs_key"),
        (RunFilter(tag="t"), "run_tags"),
    ],
)
def test_a_listing_pages_through_an_index_in_its_order(
    connection: sqlite3.Connection, where: RunFilter, index: str
) -> None:
    for before in (None, RunId("x")):
        statement, values = sqlite_runs(where, limit=10, before=before)
        steps = plan(connection, statement, values)
        assert any(index in step for step in steps), steps
        if index != "runs_key":
            assert not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.fault("S3")
def test_a_filters_values_are_always_parameters() -> None:
    hostile = "'; drop table runs; --"
    where = RunFilter(workflow=WorkflowId(hostile), tag=hostile, key=hostile, status=(RunStatus.RUNNING,))
    statement, values = sqlite_runs(where, limit=1, before=RunId(hostile))
    assert hostile not in statement
    assert hostile in values.values()
