"""A role that ``mainspring migrate --worker-role`` made fit for work does all that workers do, and changes no table."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from typer.testing import CliRunner, Result

from mainspring import Mainspring, Workflow
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.adapters.sql import schema
from mainspring.errors import RunCancelledError, RunFailedError
from mainspring.hosts.cli.app import app
from mainspring.ports.records import RunStatus
from tests.hosts.cli import flows
from tests.migrations.revisions import EXPANDS, write
from tests.postgres.server import PostgresServer

ROLE = "Only works"  # a name that must be quoted
NOT_FOR_ALL = "alter default privileges revoke execute on functions from public"


@pytest.fixture
def role(postgres: PostgresServer) -> Iterator[str]:
    postgres.execute(f'create role "{ROLE}" login')
    yield ROLE
    for (database,) in postgres.execute("select datname from pg_database where datname like 'test%' and datallowconn"):
        postgres.execute(f'drop owned by "{ROLE}"', database)
    postgres.execute(f'drop role "{ROLE}"')


def migrate(url: str, *more: str) -> Result:
    return CliRunner().invoke(app, ["migrate", "--database", url, *more])


def restrained(url: str) -> str:
    return url.replace("postgres@", "Only%20works@")


async def test_a_whole_workflow_runs_under_it(postgres: PostgresServer, empty_database: str, role: str) -> None:
    postgres.execute(NOT_FOR_ALL, urlsplit(empty_database).path[1:])
    assert migrate(empty_database, "--worker-role", role).exit_code == 0
    url = restrained(empty_database)
    workflows: list[Workflow[Any, Any]] = [flows.graph, flows.failing, flows.waiting]
    async with Mainspring(url, workflows=workflows, sink=MemoryEventSink()) as engine:
        store = engine.parts.store
        run = await engine.start(flows.graph, 3, key="once")
        await run.result(timeout=30)
        assert (await engine.start(flows.graph, 3, key="once")).id == run.id
        failed = await engine.start(flows.failing)
        with pytest.raises(RunFailedError):
            await failed.result(timeout=30)
        waiting = await engine.start(flows.waiting)
        await waiting.cancel()
        with pytest.raises(RunCancelledError):
            await waiting.result(timeout=30)
        statuses = [await one.status() for one in (run, failed, waiting)]
        while await store.unpublished(1):
            await asyncio.sleep(0.01)
        swept = await store.sweep(runs=timedelta(0), answers=timedelta(0), limit=10)
        assert {run.id, failed.id, waiting.id} == set(swept.runs)
        await store.lift_tombstones(swept.runs)
    assert statuses == [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED]


@pytest.mark.parametrize(
    "statement",
    [
        "create table mainspring.mine (id int)",
        "drop table mainspring.jobs",
        "truncate mainspring.jobs",
        "alter table mainspring.jobs add column mine int",
        "create index mine on mainspring.jobs (stage)",
        "drop function mainspring.mainspring_now()",
        "create or replace function mainspring.mainspring_now() returns bigint language sql as 'select 0::bigint'",
        "alter sequence mainspring.mainspring_tokens restart",
        "select setval('mainspring.mainspring_tokens', 1)",
        "update mainspring.mainspring_schema set version_num = '9999'",
        "delete from mainspring.mainspring_schema",
        "drop schema mainspring cascade",
    ],
)
def test_it_can_change_nothing_but_rows(postgres: PostgresServer, database: str, role: str, statement: str) -> None:
    postgres.execute(f'grant create on schema mainspring to "{role}"', urlsplit(database).path[1:])
    assert migrate(database, "--worker-role", role).exit_code == 0
    with psycopg.connect(restrained(database)) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement.encode())


def test_it_may_use_what_later_revisions_make(
    postgres: PostgresServer, database: str, role: str, tmp_path: Path
) -> None:
    assert migrate(database, "--worker-role", role).exit_code == 0
    function = "create function later_now() returns int language sql return 1"
    made = f'op.execute("create table later (id serial)"); op.execute("{function}")'
    makes = {**EXPANDS, "up": made, "down": 'op.drop_table("later")'}
    postgres.execute(NOT_FOR_ALL, urlsplit(database).path[1:])
    schema.migrate(database, script_locations=write(tmp_path / "later", makes))
    with psycopg.connect(restrained(database)) as connection:
        connection.execute("insert into mainspring.later default values")
        connection.execute("select mainspring.later_now()")


def test_it_cannot_migrate_or_grant(postgres: PostgresServer, database: str, empty_database: str, role: str) -> None:
    assert migrate(database, "--worker-role", role).exit_code == 0
    assert migrate(restrained(empty_database)).exit_code == 4
    postgres.execute("create role another")
    try:
        told = migrate(restrained(database), "--worker-role", "another")
    finally:
        postgres.execute("drop role another")
    assert (told.exit_code, "may not grant" in told.stderr) == (4, True)


def test_a_role_that_does_not_exist_is_told_with_how_to_make_it(database: str, tmp_path: Path) -> None:
    told = migrate(database, "--worker-role", 'no"body')
    assert told.exit_code == 2
    assert 'make it first: create role "no""body" login' in told.stderr
    told = migrate(f"sqlite:///{tmp_path}/a.db", "--worker-role", "me")
    assert (told.exit_code, "is for PostgreSQL" in told.stderr) == (2, True)
