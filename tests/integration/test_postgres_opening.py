"""Opening a PostgreSQL store: what would break its promises is refused, and every refusal says what to do."""

import traceback
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from mainspring import Context, Mainspring, workflow
from mainspring.adapters.sql import postgres_open
from mainspring.adapters.sql.postgres import open_postgres
from mainspring.ports.change import Change, RunPatch
from mainspring.ports.errors import (
    MainspringError,
    PortError,
    ReadOnlyError,
    SchemaError,
    SettingsError,
    UnavailableError,
)
from mainspring.ports.sinks import Sink
from tests.integration.postgres_stores import SOON, openings, rows, world_of
from tests.postgres.server import PostgresServer

CANARY = "c4n4ry"


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


def name_of(url: str) -> str:
    return urlsplit(url).path[1:]


def test_a_database_that_confirms_what_it_may_lose_is_refused(database: str) -> None:
    rows(database, f"alter database {name_of(database)} set synchronous_commit = off")
    with pytest.raises(SettingsError, match="synchronous_commit = on"):
        open_postgres(database)
    rows(database, f"alter database {name_of(database)} set synchronous_commit = local")
    open_postgres(database)


@pytest.mark.fault(70)
def test_a_server_that_does_not_flush_is_warned_of(database: str, postgres: PostgresServer) -> None:
    with capture_logs() as quiet:
        open_postgres(database)
    assert quiet == []
    postgres.execute("alter system set fsync = off")
    postgres.execute("select pg_reload_conf()")
    try:
        with capture_logs() as warned:
            while not warned:  # the reload takes effect in new sessions soon
                open_postgres(database)
        assert (warned[0]["event"], warned[0]["log_level"]) == ("store_not_durable", "warning")
        assert "fsync" in warned[0]["why"]
    finally:
        postgres.execute("alter system reset fsync")
        postgres.execute("select pg_reload_conf()")


@pytest.mark.fault(54, 56)
def test_a_standby_is_refused(database: str) -> None:
    """The server's own function is hidden by one that says what a standby would."""
    rows(database, "create schema standby")
    rows(database, "create function standby.pg_is_in_recovery() returns bool language sql as 'select true'")
    rows(database, f"alter database {name_of(database)} set search_path = standby, pg_catalog")
    with pytest.raises(SettingsError, match="name the primary"):
        open_postgres(database)


@pytest.mark.fault(54)
async def test_a_store_that_became_read_only_says_so_until_it_can_be_written_again(database: str) -> None:
    async with world_of(database) as world:
        run = await world.created()
        change = Change(run=RunPatch(run_id=run.id, revision=0))
        read_only = f"alter database {name_of(database)} set default_transaction_read_only ="
        rows(database, f"{read_only} on")
        async with openings(database) as [(store, _)]:
            assert await store.run(run.id) == run
            with pytest.raises(ReadOnlyError, match="standby"):
                await store.commit(change)
            with pytest.raises(ReadOnlyError):
                await store.add_sink(Sink())
        assert await world.other.run(run.id) == run
        rows(f"{database}?options=-cdefault_transaction_read_only%3Doff", f"{read_only} off")
        async with openings(database) as [(store, _)]:
            await store.commit(change)


def test_a_server_that_is_too_old_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_open, "OLDEST_SERVER", 990_000)
    with pytest.raises(SettingsError, match="needs 14 or newer"):
        open_postgres(database)


def test_a_missing_schema_is_told_with_the_command_to_run(empty_database: str) -> None:
    with pytest.raises(SchemaError, match="mainspring migrate --database postgresql://") as told:
        open_postgres(empty_database)
    assert empty_database in str(told.value)
    with pytest.raises(SchemaError, match="schema=elsewhere"):
        open_postgres(f"{empty_database}?schema=elsewhere")


@pytest.mark.fault(72)
@pytest.mark.parametrize(("version", "said"), [("0000", "mainspring migrate"), ("9999", "update Mainspring")])
def test_a_schema_of_another_release_is_refused_with_what_to_do(database: str, version: str, said: str) -> None:
    rows(database, "update mainspring_schema set version_num = %s", [version])
    with pytest.raises(SchemaError, match=said):
        open_postgres(database)
    assert rows(database, "select version_num from mainspring_schema") == [(version,)]


async def test_a_table_that_is_gone_while_we_work_is_told_with_the_command_to_run(database: str) -> None:
    async with world_of(database) as world:
        run = await world.created()
        rows(database, "alter table jobs rename column wakes to awakenings")
        with pytest.raises(SchemaError, match="mainspring migrate"):
            await world.store.jobs(run.id)
        with pytest.raises(SchemaError, match="mainspring migrate"):
            await world.store.commit(Change(jobs=(world.job(run),)))


@pytest.mark.fault("S6")
@pytest.mark.parametrize("broken", ["port", "database", "user", "option"])
async def test_a_password_is_in_no_message_no_log_and_no_traceback(database: str, broken: str) -> None:
    parts = urlsplit(database)
    place = f"postgres:{CANARY}@127.0.0.1:{1 if broken == 'port' else parts.port}"
    url = parts._replace(netloc=place).geturl()
    url = {"database": f"{url}x", "option": f"{url}?nonsense=1"}.get(broken, url)
    url = url.replace("postgres:", "nobody_here:") if broken == "user" else url
    with capture_logs() as logs, pytest.raises(MainspringError) as told:
        open_postgres(url)
    shown = "".join(traceback.format_exception(told.value, chain=False)) + repr(told.value) + repr(logs)
    assert CANARY not in shown
    assert CANARY not in str(told.value.__cause__)
    assert isinstance(told.value, UnavailableError | SettingsError)


@pytest.mark.fault("S6")
async def test_a_password_is_in_no_message_while_we_work(database: str, postgres: PostgresServer) -> None:
    parts = urlsplit(database)
    url = parts._replace(netloc=f"postgres:{CANARY}@127.0.0.1:{parts.port}").geturl()
    async with openings(url) as [(store, transport)]:
        assert CANARY not in repr(vars(store)) + repr(vars(transport)) + str(store)
        rows(database, "drop schema mainspring cascade")
        with pytest.raises(PortError) as told:
            await store.workers()
        assert CANARY not in f"{told.value!r} {told.value} {told.value.__cause__}"
        postgres.stop()
        try:
            with pytest.raises(PortError) as told:
                await store.workers()
        finally:
            postgres.start()
        assert CANARY not in f"{told.value!r} {told.value} {told.value.__cause__}"


@pytest.mark.fault("S16")
async def test_a_worker_needs_no_right_to_change_the_schema(database: str) -> None:
    for statement in (
        "create role least login",
        "grant usage on schema mainspring to least",
        "grant select, insert, update, delete on all tables in schema mainspring to least",
        "grant usage on all sequences in schema mainspring to least",
    ):
        rows(database, statement)
    try:
        url = database.replace("postgres@", "least@")
        async with Mainspring(url, workflows=[hello]) as engine:
            assert await engine.run(hello, "x", timeout=SOON) == "hello x"
        async with openings(url) as [(store, _)]:
            rows(database, "revoke all on jobs from least")
            with pytest.raises(PortError, match="grant this user"):
                await store.next_upkeep()
    finally:
        rows(database, "drop owned by least")
        rows(database, "drop role least")
