"""The schema's history: up on empty, down again, the same as the tables, and every revision safe to interrupt."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, create_engine, inspect
from sqlalchemy.pool import NullPool

from mainspring.adapters.sql import schema, tables
from mainspring.adapters.sql.sqlite import migrate_sqlite
from mainspring.ports.errors import SchemaError, UnavailableError

SECOND = '''
"""A second revision, as a later release may bring one."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("announced_at", sa.BigInteger(), nullable=True))
    op.execute("update runs set queue = 'moved'")


def downgrade() -> None:
    op.drop_column("jobs", "announced_at")
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def engine(file: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """Where the second revision lies."""
    folder = tmp_path / "later"
    folder.mkdir()
    (folder / "0002_second.py").write_text(SECOND)
    return folder


def version(file: Path) -> str | None:
    connection = sqlite3.connect(file)
    try:
        row = connection.execute(schema.VERSION_QUERY).fetchone()
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()
    return None if row is None else str(row[0])


def with_a_run(file: Path) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(
            "insert into runs"
            " (id, workflow, version, fingerprint, queue, status, revision, priority, request_hash, input, created_at)"
            " values ('r', 'w', '1', 'f', 'q', 'pending', 0, 0, 'h', '{}', 0)"
        )
    connection.close()


def queues(file: Path) -> list[str]:
    connection = sqlite3.connect(file)
    try:
        return [row[0] for row in connection.execute("select queue from runs")]
    finally:
        connection.close()


def test_up_on_empty_reaches_the_newest_version_this_code_knows(file: Path) -> None:
    migrate_sqlite(file)
    assert version(file) == schema.NEWEST


def test_up_twice_changes_nothing(file: Path) -> None:
    migrate_sqlite(file)
    with_a_run(file)
    migrate_sqlite(file)
    assert queues(file) == ["q"]


def test_down_leaves_nothing_and_up_again_works(file: Path, engine: Engine) -> None:
    migrate_sqlite(file)
    migrate_sqlite(file, "base")
    assert set(inspect(engine).get_table_names()) <= {schema.VERSION_TABLE}
    migrate_sqlite(file)
    assert version(file) == schema.NEWEST


def test_the_tables_are_what_the_revisions_make(file: Path, engine: Engine) -> None:
    migrate_sqlite(file)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "compare_server_default": True, "version_table": schema.VERSION_TABLE},
        )
        assert compare_metadata(context, tables.metadata) == []


def definitions(file: Path) -> dict[str, str]:
    """Every table and index as SQLite keeps it, which is more than alembic compares."""
    connection = sqlite3.connect(file)
    rows = connection.execute("select name, sql from sqlite_master where sql is not null").fetchall()
    connection.close()
    return {name: _plain(sql) for name, sql in rows if name != schema.VERSION_TABLE}


def _plain(sql: str) -> str:
    return " ".join(sql.replace(" (", "(").replace("( ", "(").replace(" )", ")").split())


def test_predicates_row_ids_and_defaults_are_the_same_too(file: Path, tmp_path: Path) -> None:
    migrate_sqlite(file)
    other = tmp_path / "from-metadata.db"
    engine = create_engine(f"sqlite:///{other}", poolclass=NullPool)
    tables.metadata.create_all(engine)
    engine.dispose()
    assert definitions(file) == definitions(other)


def test_a_difference_between_tables_and_revisions_would_be_seen(file: Path, engine: Engine) -> None:
    from sqlalchemy import Column, Integer

    migrate_sqlite(file)
    changed = MetaData()
    for table in tables.metadata.tables.values():
        table.to_metadata(changed)
    changed.tables["jobs"].append_column(Column("planted", Integer))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        found: list[Any] = compare_metadata(context, changed)
    assert [difference[0] for difference in found] == ["add_column"]


def test_a_second_revision_upgrades_a_store_with_runs_in_it_and_goes_down_again(file: Path, later: Path) -> None:
    migrate_sqlite(file)
    with_a_run(file)
    schema.migrate(f"sqlite:///{file}", script_locations=[later])
    assert version(file) == "0002"
    assert queues(file) == ["moved"]
    schema.migrate(f"sqlite:///{file}", "0001", script_locations=[later])
    assert version(file) == "0001"
    assert queues(file) == ["moved"]


def test_a_store_of_newer_code_is_refused_and_left_alone(file: Path, later: Path) -> None:
    migrate_sqlite(file)
    schema.migrate(f"sqlite:///{file}", script_locations=[later])
    with pytest.raises(SchemaError, match="update Mainspring here"):
        migrate_sqlite(file)
    assert version(file) == "0002"


def test_a_revision_that_does_not_exist_is_refused(file: Path) -> None:
    with pytest.raises(SchemaError, match="cannot migrate"):
        migrate_sqlite(file, "0404")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "there is no Mainspring schema in sqlite:///a.db; run: mainspring migrate --database sqlite:///a.db"),
        ("0000", "older than 0001 which this code needs; run: mainspring migrate --database sqlite:///a.db"),
        ("0002", "newer than 0001 which this code knows; update Mainspring here"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused_kindly(found: str | None, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schema.check_schema(found, "sqlite:///a.db")
    assert message in str(caught.value)


def test_the_schema_that_fits_passes() -> None:
    schema.check_schema(schema.NEWEST, "sqlite:///a.db")
    schema.check_schema(schema.OLDEST, "sqlite:///a.db")


def test_the_newest_version_is_the_last_revision_and_ids_are_numbers() -> None:
    versions = Path(schema.__file__).resolve().parents[2] / "migrations" / "versions"
    numbers = sorted(file.name.split("_")[0] for file in versions.glob("*.py") if file.name != "__init__.py")
    assert numbers[-1] == schema.NEWEST
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


@pytest.mark.fault(73)
def test_an_interrupted_migration_leaves_nothing_and_is_re_runnable(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    half = SECOND.replace("op.execute(", "op.execute('select nothing from nowhere'); op.execute(")
    (broken / "0002_broken.py").write_text(half)
    migrate_sqlite(file)
    with_a_run(file)
    before = definitions(file)
    with pytest.raises(UnavailableError, match="nothing was changed"):
        schema.migrate(f"sqlite:///{file}", script_locations=[broken])
    assert version(file) == "0001"
    assert definitions(file) == before
    (broken / "0002_broken.py").write_text(SECOND)
    schema.migrate(f"sqlite:///{file}", script_locations=[broken])
    assert version(file) == "0002"


KILLED = """
import os, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from mainspring.adapters.sql.sqlite import migrate_sqlite

seen = 0

@event.listens_for(Engine, "before_cursor_execute")
def _(connection, cursor, statement, *rest):
    global seen
    seen += "CREATE" in statement.upper()
    if seen == 12:
        os.kill(os.getpid(), 9)

migrate_sqlite(Path(sys.argv[1]))
"""


@pytest.mark.fault(73)
def test_a_migrator_that_is_killed_half_way_leaves_nothing(file: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], capture_output=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr
    assert version(file) is None
    assert definitions(file) == {}
    migrate_sqlite(file)
    assert version(file) == schema.NEWEST


OPEN = """
import asyncio, sys
from pathlib import Path
from mainspring.adapters.memory import ManualClock, SeededIds
from mainspring.adapters.sql.sqlite import open_sqlite
from mainspring.ports.sinks import Sink
sys.stdin.read()
clock = ManualClock()
store, transport = open_sqlite(Path(sys.argv[1]), clock=clock, ids=SeededIds(clock, 1))
asyncio.run(store.add_sink(Sink()))
"""


@pytest.mark.fault(73)
def test_processes_that_open_a_new_file_at_once_all_get_it(file: Path) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(file)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.close()
    for opener in openers:
        assert opener.wait(timeout=60) == 0, opener.stderr.read() if opener.stderr else ""
        if opener.stderr:
            opener.stderr.close()
    assert version(file) == schema.NEWEST
    connection = sqlite3.connect(file)
    assert connection.execute(f"select count(*) from {schema.VERSION_TABLE}").fetchone() == (1,)
    connection.close()
