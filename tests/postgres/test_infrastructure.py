"""The servers that tests stand on: they stop and come back, stay apart, and outlive nobody."""

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.components import lacking
from tests.postgres.bouncer import Bouncer
from tests.postgres.databases import Databases
from tests.postgres.server import PostgresServer

#: Starts a server, says where it is, and does nothing until it is killed.
OWNER = """
import sys
from tests.postgres.server import bundled_18
with bundled_18() as server:
    print(server.address, server.directory, flush=True)
    sys.stdin.read()
"""


def listens(address: str) -> bool:
    try:
        socket.create_connection((urlsplit(address).hostname, urlsplit(address).port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("name", ["postgres", "postgres15"])
def test_a_server_keeps_its_address_and_what_was_committed_over_a_crash(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: PostgresServer = request.getfixturevalue(name)
    databases: Databases = request.getfixturevalue("databases" + name.removeprefix("postgres"))
    with databases.fresh(migrated=False) as url, psycopg.connect(url) as connection:
        connection.execute("create table kept (number int)")
        connection.execute("insert into kept values (7)")
        connection.commit()
        server.restart("immediate")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        with psycopg.connect(url) as again:
            assert again.execute("select number from kept").fetchall() == [(7,)]


def test_durability_is_as_delivered(postgres: PostgresServer, postgres15: PostgresServer) -> None:
    changed = "select name from pg_settings where setting <> boot_val and name in ('fsync', 'synchronous_commit')"
    for server in (postgres, postgres15):
        assert server.execute(changed) == []


def test_two_majors_are_tested(postgres: PostgresServer, postgres15: PostgresServer) -> None:
    versions = [str(server.execute("show server_version")[0][0]) for server in (postgres, postgres15)]
    assert [version.partition(".")[0] for version in versions] == ["18", "15"]


def test_databases_are_apart_and_hold_only_what_was_prepared(postgres: PostgresServer) -> None:
    def prepare(url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("create table prepared (number int)")

    databases = Databases(postgres, prepare)
    tables = "select tablename from pg_tables where schemaname = 'public'"
    with databases.fresh() as one, databases.fresh() as other, databases.fresh(migrated=False) as empty:
        with psycopg.connect(one) as connection:
            connection.execute("create table mine (number int)")
        found = [postgres.execute(tables, urlsplit(url).path[1:]) for url in (one, other, empty)]
    assert found == [[("prepared",), ("mine",)], [("prepared",)], []]
    databases.close()


def test_a_database_is_dropped_with_its_connections_on_a_server_that_was_left_stopped(databases: Databases) -> None:
    with databases.fresh(migrated=False) as url:
        databases.server.stop()
    with databases.fresh(migrated=False) as url:
        open_still = psycopg.connect(url)
    open_still.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_clients_of_the_bouncer_share_sessions_by_transaction(pgbouncer: Bouncer, empty_database: str) -> None:
    url = pgbouncer.url(empty_database)
    with psycopg.connect(url) as one, psycopg.connect(url) as other:
        sessions: set[int] = set()
        for client in (one, other):
            row = client.execute("select pg_backend_pid()").fetchone()
            client.commit()
            assert row is not None
            sessions.add(row[0])
    assert len(sessions) == 1


def test_clients_of_the_bouncer_wait_for_a_server_that_comes_back(
    postgres: PostgresServer, pgbouncer: Bouncer, empty_database: str
) -> None:
    def ask() -> object:
        with psycopg.connect(pgbouncer.url(empty_database)) as connection:
            return connection.execute("select 1").fetchone()

    assert ask() == (1,)
    with ThreadPoolExecutor(1) as other:
        postgres.stop()
        asked = other.submit(ask)
        postgres.start()
        assert asked.result(10) == (1,)


def test_a_killed_owner_leaves_no_server_and_no_files(postgres: PostgresServer) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        address, directory = owner.stdout.readline().split()
        assert listens(address)
        owner.kill()
    deadline = time.monotonic() + 8
    while listens(address) or Path(directory).exists():
        assert time.monotonic() < deadline, "the server is still there"
        time.sleep(0.02)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_component_fails_in_ci_and_is_skipped_elsewhere(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception), match="no such server") as caught:
        lacking("no such server")
    assert caught.type is outcome
