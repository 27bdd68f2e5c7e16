"""The schema's history on PostgreSQL: what it promises on SQLite too, and beside workers that go on."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from mainspring.adapters.sql import schema, tables
from mainspring.adapters.sql.locking import Patience
from mainspring.adapters.sql.postgres_location import locate
from mainspring.adapters.sql.postgres_open import check, migrate_postgres
from mainspring.ports.errors import SchemaError, SettingsError, UnavailableError
from tests.migrations.revisions import EXPANDS, ONLINE, write
from tests.postgres.databases import Databases

HASTY = Patience(migrators=0.3, tables=0.05, tries=3, sleep=lambda _: None)


@pytest.fixture(params=["databases", "databases15"])
def each(request: pytest.FixtureRequest) -> Databases:
    found: Databases = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def empty(each: Databases) -> Iterator[str]:
    with each.fresh(migrated=False) as url:
        yield url


@pytest.fixture
def ready(each: Databases) -> Iterator[str]:
    with each.fresh() as url:
        yield url


def searching(url: str, name: str = "mainspring") -> Engine:
    """An engine for which the schema is the default one."""
    options = {"options": f"-c search_path={name}"}
    return create_engine(url, poolclass=NullPool, connect_args=options)


def asked(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True, options="-c search_path=mainspring") as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def version(url: str) -> str | None:
    if asked(url, "select to_regclass('mainspring.mainspring_schema')") == [(None,)]:
        return None
    rows = asked(url, schema.VERSION_QUERY)
    return str(rows[0][0]) if rows else None


def relations(url: str) -> set[str]:
    return {
        str(row[0])
        for row in asked(url, "select relname from pg_class where relnamespace::regnamespace::text = 'mainspring'")
    }


def definitions(url: str, name: str) -> tuple[list[object], list[object]]:
    """Every column and index as PostgreSQL keeps it, which is more than alembic compares."""
    columns = (
        "select table_name, column_name, data_type, is_nullable, column_default, collation_name from"
        f" information_schema.columns where table_schema = '{name}' and table_name <> 'mainspring_schema' order by 1, 2"
    )
    indexes = (
        f"select indexdef from pg_indexes where schemaname = '{name}' and tablename <> 'mainspring_schema' order by 1"
    )
    return tuple(  # type: ignore[return-value]
        [tuple(str(value).replace(f"{name}.", "") for value in row) for row in asked(url, statement)]
        for statement in (columns, indexes)
    )


def test_up_on_empty_reaches_the_newest_version_and_down_leaves_nothing(empty: str) -> None:
    migrate_postgres(empty)
    assert version(empty) == schema.NEWEST
    migrate_postgres(empty)
    migrate_postgres(empty, "base")
    assert relations(empty) <= {schema.VERSION_TABLE, f"{schema.VERSION_TABLE}_pkc"}
    assert asked(empty, "select proname from pg_proc where pronamespace::regnamespace::text = 'mainspring'") == []
    with pytest.raises(SchemaError, match="there is no Mainspring schema"):
        check(locate(empty), migrate=False)
    check(locate(empty), migrate=True)
    assert version(empty) == schema.NEWEST


def test_the_tables_are_what_the_revisions_make(ready: str) -> None:
    with searching(ready).connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "compare_server_default": True, "version_table": schema.VERSION_TABLE},
        )
        assert compare_metadata(context, tables.metadata) == []
        connection.execute(text("alter table jobs drop column worker"))
        assert [difference[0] for difference in compare_metadata(context, tables.metadata)] == ["add_column"]


def test_collations_defaults_and_predicates_are_the_same_too(ready: str) -> None:
    asked(ready, "create schema other")
    engine = searching(ready, "other")
    tables.metadata.create_all(engine)
    engine.dispose()
    assert definitions(ready, "mainspring") == definitions(ready, "other")
    assert len(definitions(ready, "other")[1]) > 20


MIGRATE = """
import sys
from mainspring.adapters.sql.postgres_open import migrate_postgres
sys.stdin.read()
migrate_postgres(sys.argv[1])
"""


@pytest.mark.fault(73)
def test_migrators_that_start_at_once_make_one_schema(empty: str) -> None:
    migrators = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, empty], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for one in migrators:
        assert one.stdin is not None
        one.stdin.close()
        one.stdin = None
    for one in migrators:
        _, said = one.communicate(timeout=60)
        assert one.returncode == 0, said
    assert asked(empty, f"select count(*) from {schema.VERSION_TABLE}") == [(1,)]


KILLED = """
import os, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from mainspring.adapters.sql.postgres_open import migrate_postgres

seen = 0

@event.listens_for(Engine, "before_cursor_execute")
def _(connection, cursor, statement, *rest):
    global seen
    seen += "CREATE" in statement.upper()
    if seen == 12:
        os.kill(os.getpid(), 9)

migrate_postgres(sys.argv[1])
"""


@pytest.mark.fault(73)
def test_a_migrator_that_is_killed_half_way_leaves_nothing(empty: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, empty], capture_output=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr
    assert asked(empty, "select to_regnamespace('mainspring')") == [(None,)]
    migrate_postgres(empty)
    assert version(empty) == schema.NEWEST


@pytest.mark.fault(73)
def test_a_revision_that_fails_half_way_leaves_the_old_schema_whole(ready: str, tmp_path: Path) -> None:
    fails = {**EXPANDS, "up": EXPANDS["up"] + '; op.execute("select nothing from nowhere")'}
    before = relations(ready), definitions(ready, "mainspring")
    with pytest.raises(UnavailableError, match=r"nowhere.*nothing was changed"):
        schema.migrate(ready, script_locations=write(tmp_path / "later", fails))
    assert (relations(ready), definitions(ready, "mainspring")) == before
    schema.migrate(ready, script_locations=write(tmp_path / "later", EXPANDS))
    assert version(ready) == "0002"


@pytest.mark.fault(74)
def test_a_table_that_somebody_holds_ends_in_advice_and_changes_nothing(ready: str, tmp_path: Path) -> None:
    later = write(tmp_path / "later", EXPANDS)
    pauses: list[float] = []
    patience = Patience(tables=0.05, tries=3, sleep=pauses.append)
    with psycopg.connect(ready) as other:
        other.execute("select count(*) from mainspring.jobs")
        with pytest.raises(UnavailableError) as caught:
            schema.migrate(ready, script_locations=later, patience=patience)
    told = str(caught.value)
    assert "tried 3 times, 0.05 s each: a transaction goes on for long" in told
    assert "pg_stat_activity" in told
    assert told.endswith("nothing was changed")
    assert len(pauses) == 2
    assert version(ready) == "0001"
    schema.migrate(ready, script_locations=later, patience=patience)
    assert version(ready) == "0002"


@pytest.mark.fault(74)
def test_a_table_that_comes_free_is_changed_at_another_try(ready: str, tmp_path: Path) -> None:
    with psycopg.connect(ready) as other:
        other.execute("select count(*) from mainspring.jobs")
        patience = Patience(tables=0.05, sleep=lambda _: other.rollback())
        schema.migrate(ready, script_locations=write(tmp_path / "later", EXPANDS), patience=patience)
    assert version(ready) == "0002"


def test_who_waits_too_long_for_another_migrator_is_told_so(ready: str) -> None:
    with psycopg.connect(ready) as other:
        other.execute("select pg_advisory_xact_lock(627384601, hashtext('mainspring'))")
        with pytest.raises(UnavailableError, match=r"another migrator.*nothing was changed"):
            schema.migrate(ready, "base", patience=HASTY)
    assert version(ready) == "0001"


def valid(url: str) -> list[tuple[object, ...]]:
    return asked(url, "select indisvalid from pg_index where indexrelid = to_regclass('jobs_worker')")


@pytest.mark.fault(74)
def test_an_index_is_made_while_a_worker_holds_the_table_and_another_migrator_waits(ready: str, tmp_path: Path) -> None:
    """Whoever writes goes on; the second migrator does not make the first one wait for it."""
    later = write(tmp_path / "later", EXPANDS, ONLINE)
    errors: list[BaseException] = []

    def move() -> None:
        try:
            schema.migrate(ready, script_locations=later)
        except BaseException as error:  # noqa: BLE001  told by the test's own thread
            errors.append(error)

    schema.migrate(ready, "0002", script_locations=later)
    movers = [threading.Thread(target=move) for _ in range(2)]
    with psycopg.connect(ready) as worker:
        worker.execute("update mainspring.jobs set worker = 'w'")  # the index waits for this transaction
        for mover in movers:
            mover.start()
        while asked(ready, "select 1 from pg_stat_progress_create_index where phase ~ 'waiting'") == []:
            assert not errors
        worker.execute("update mainspring.jobs set worker = 'w'")
        assert asked(ready, "update mainspring.jobs set worker = 'other' returning 1") == []
    for mover in movers:
        mover.join()
    assert errors == []
    assert (version(ready), valid(ready)) == ("0003", [(True,)])
    schema.migrate(ready, "0001", script_locations=later)
    assert (version(ready), valid(ready)) == ("0001", [])


@pytest.mark.fault(73, 74)
def test_an_index_that_was_left_unfinished_is_made_anew(ready: str, tmp_path: Path) -> None:
    later = write(tmp_path / "later", ONLINE)
    with psycopg.connect(ready) as other:
        other.execute("update mainspring.jobs set worker = 'w'")
        hasty = Patience(online=0.1, tries=2, sleep=lambda _: None)
        with pytest.raises(
            UnavailableError, match=r"revision 0002 is not done, workers go on as before; run this again"
        ):
            schema.migrate(ready, script_locations=later, patience=hasty)
    assert (version(ready), valid(ready)) == ("0001", [(False,)])
    schema.migrate(ready, script_locations=later)
    assert (version(ready), valid(ready)) == ("0002", [(True,)])


def test_an_online_revision_is_an_ordinary_one_on_sqlite(tmp_path: Path) -> None:
    later, url = write(tmp_path / "later", ONLINE, EXPANDS), f"sqlite:///{tmp_path}/store.db"
    schema.migrate(url, script_locations=later)
    with create_engine(url, poolclass=NullPool).connect() as connection:
        assert connection.execute(text("select count(*) from sqlite_master where name = 'jobs_worker'")).scalar() == 1
    schema.migrate(url, "base", script_locations=later)


def test_an_online_revision_is_refused_behind_a_pooler_and_changes_nothing(
    bouncer: str, database: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="through a pooler: run mainspring migrate with the URL of the server"):
        schema.migrate(bouncer, script_locations=write(tmp_path / "later", ONLINE))
    assert version(database) == "0001"
    schema.migrate(bouncer, script_locations=write(tmp_path / "other", EXPANDS))
    assert version(database) == "0002"


def test_a_newer_schema_is_refused_unless_it_says_that_it_serves_this_code(ready: str, tmp_path: Path) -> None:
    later = write(tmp_path / "later", EXPANDS, {**EXPANDS, "up": "pass", "down": "pass", "says": "serves = None"})
    location = locate(ready)
    schema.migrate(ready, "0002", script_locations=later)
    check(location, migrate=False)
    schema.migrate(ready, "0003", script_locations=later)
    with pytest.raises(SchemaError, match="newer than 0001 which this code knows; update Mainspring here"):
        check(location, migrate=False)
    schema.migrate(ready, "0002", script_locations=later)
    check(location, migrate=False)
