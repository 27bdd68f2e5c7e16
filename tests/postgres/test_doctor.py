"""The doctor finds on a real server what would keep workers from working, or the store from keeping its word."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mainspring.adapters.filesystem.examining import examine_absence, examine_directory
from mainspring.adapters.sql import postgres_doctor
from mainspring.adapters.sql.postgres import open_postgres
from mainspring.adapters.sql.postgres_doctor import examine_postgres
from mainspring.adapters.sql.postgres_privileges import grant_worker
from mainspring.adapters.system import SystemClock
from mainspring.hosts.cli.leftovers import leftovers
from mainspring.ports.diagnosis import Check, Verdict
from mainspring.ports.errors import SettingsError
from tests.postgres.server import PostgresServer, PrivateServer

ALL = [
    *("reachable", "server", "schema", "durability", "clock", "connections", "time-outs"),
    *("rights", "restraint", "pooler"),
]
OK, WARNING, FAILURE = Verdict.OK, Verdict.WARNING, Verdict.FAILURE


class FastClock:
    """Five seconds ahead."""

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(seconds=5)


def examined(url: str) -> dict[str, Check]:
    return {check.name: check for check in examine_postgres(url, SystemClock())}


def found(url: str, name: str) -> tuple[Verdict, str, str]:
    check = examined(url)[name]
    return check.verdict, check.found, check.remedy


def name_of(url: str) -> str:
    return urlsplit(url).path[1:]


@pytest.fixture
def setting(postgres: PostgresServer) -> "Iterator[Setting]":
    """Settings of the whole server, taken back after the test."""
    made = Setting(postgres)
    yield made
    made.undo()


class Setting:
    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._changed: list[str] = []

    def __call__(self, name: str, value: str) -> None:
        self._changed.append(name)
        self._server.execute(f"alter system set {name} = {value}")
        self._load(name, value)

    def undo(self) -> None:
        for name in self._changed:
            self._server.execute(f"alter system reset {name}")
            self._load(name, "on")

    def _load(self, name: str, value: str) -> None:
        self._server.execute("select pg_reload_conf()")
        while self._server.execute(f"show {name}") != [(value,)]:
            pass


@pytest.fixture
def role(postgres: PostgresServer) -> Iterator[str]:
    """A role that may log in, and nothing else."""
    name = "doctors_patient"
    postgres.execute(f"create role {name} login")
    yield name
    for (database,) in postgres.execute("select datname from pg_database where datname like 'test%' and datallowconn"):
        postgres.execute(f"drop owned by {name}", database)
    postgres.execute(f"drop role {name}")


def as_role(url: str, name: str) -> str:
    return url.replace("postgres@", f"{name}@")


def test_a_sound_store_passes_every_check(database: str, role: str) -> None:
    grant_worker(database, role)
    checks = examined(as_role(database, role))
    assert {name: check.verdict for name, check in checks.items()} == dict.fromkeys(ALL, OK)
    assert all(check.found and not check.remedy for check in checks.values())


def test_the_oldest_server_is_examined_too(database15: str) -> None:
    verdicts = {check.verdict for check in examined(database15).values()} - {WARNING}
    assert verdicts == {OK}
    assert found(database15, "server")[1].startswith("PostgreSQL 15.")


def test_a_server_that_cannot_be_reached_is_told_without_its_password() -> None:
    (check,) = examine_postgres("postgresql://me:canary@127.0.0.1:1/db", SystemClock())
    assert (check.name, check.verdict) == ("reachable", FAILURE)
    assert "canary" not in check.found + check.remedy
    with pytest.raises(SettingsError):
        examine_postgres("mysql://host/db", SystemClock())


def test_a_server_that_is_too_old_is_told(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_doctor, "OLDEST_SERVER", 990000)
    assert found(database, "server")[::2] == (FAILURE, "upgrade it to 99 or newer")


def test_a_store_that_only_reads_is_told(postgres: PostgresServer, database: str) -> None:
    postgres.execute(f"alter database {name_of(database)} set default_transaction_read_only = on")
    verdict, told, remedy = found(database, "server")
    assert (verdict, "read_only = on" in told, "reset" in remedy) == (FAILURE, True, True)


def test_a_standby_is_told(postgres: PostgresServer, database: str) -> None:
    postgres.stop()
    assert isinstance(postgres, PrivateServer)
    mark = postgres.directory / "data" / "standby.signal"
    mark.touch()
    try:
        postgres.start()
        assert found(database, "server")[::2] == (FAILURE, "name the primary in the URL")
    finally:
        postgres.stop()
        mark.unlink()
        postgres.start()
    assert found(database, "server")[0] is OK


def test_a_missing_and_a_newer_schema_are_told(postgres: PostgresServer, empty_database: str, database: str) -> None:
    verdict, told, remedy = found(empty_database, "schema")
    assert (verdict, "there is no Mainspring schema" in told) == (FAILURE, True)
    assert remedy == f"run: mainspring migrate --database {empty_database}"
    postgres.execute("update mainspring.mainspring_schema set version_num = '0000'", name_of(database))
    assert "older than 0001" in found(database, "schema")[1]
    postgres.execute("update mainspring.mainspring_schema set version_num = '9999'", name_of(database))
    verdict, told, remedy = found(database, "schema")
    assert (verdict, "newer than" in told, remedy[:6]) == (FAILURE, True, "update")


@pytest.mark.parametrize(
    ("name", "verdict"), [("fsync", FAILURE), ("synchronous_commit", FAILURE), ("full_page_writes", WARNING)]
)
def test_settings_that_lose_commits_are_told(setting: Setting, database: str, name: str, verdict: Verdict) -> None:
    setting(name, "off")
    told = found(database, "durability")
    assert (told[0], f"{name} = off" in told[1], f"{name} = on" in told[2]) == (verdict, True, True)


def test_clocks_that_differ_are_told(database: str) -> None:
    checks = {check.name: check for check in examine_postgres(database, FastClock())}
    assert checks["clock"].verdict is WARNING
    assert checks["clock"].found.startswith(("this machine is 5.0", "this machine is 4.9"))
    assert "ahead of" in checks["clock"].found
    assert "NTP" in checks["clock"].remedy


@pytest.mark.parametrize(("limit", "verdict"), [(8, FAILURE), (20, WARNING), (200, OK)])
def test_connections_that_run_out_are_told(
    postgres: PostgresServer, database: str, role: str, limit: int, verdict: Verdict
) -> None:
    postgres.execute(f"alter role {role} connection limit {limit}")
    grant_worker(database, role)
    told = found(as_role(database, role), "connections")
    assert told[0] is verdict
    if limit < 100:
        assert told[1].startswith(f"{limit - 1} left, 1 of this database are Mainspring's; a worker may use 8")


def test_the_connections_of_a_database_and_of_the_server_count_too(
    postgres: PostgresServer, database: str, role: str
) -> None:
    assert 50 < int(found(database, "connections")[1].split()[0]) <= 97
    postgres.execute(f"alter database {name_of(database)} connection limit 10")
    assert found(database, "connections")[0] is WARNING


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("statement_timeout", "500", WARNING),
        ("statement_timeout", "5000", OK),
        ("idle_in_transaction_session_timeout", "10", WARNING),
        ("idle_session_timeout", "60000", WARNING),
        ("transaction_timeout", "10000", FAILURE),
    ],
)
def test_time_outs_that_would_end_work_are_told(
    postgres: PostgresServer, database: str, name: str, value: str, verdict: Verdict
) -> None:
    postgres.execute(f"alter database {name_of(database)} set {name} = {value}")
    told = found(database, "time-outs")
    assert (told[0], f"{name} = {value} ms" in told[1]) == (verdict, True)
    assert (f"set {name} = 0" in told[2]) is (verdict is not OK)


@pytest.mark.parametrize(
    ("taken", "lacks"),
    [
        ("usage on schema mainspring", "USAGE on schema mainspring"),
        ("delete on mainspring.jobs", "DELETE on jobs"),
        ("select on mainspring.mainspring_schema", "SELECT on mainspring_schema"),
        ("usage on sequence mainspring.mainspring_tokens", "USAGE on sequence mainspring_tokens"),
        ("execute on function mainspring.mainspring_now()", "EXECUTE on function mainspring_now"),
    ],
)
def test_rights_that_a_worker_lacks_are_told(
    postgres: PostgresServer, database: str, role: str, taken: str, lacks: str
) -> None:
    grant_worker(database, role)
    postgres.execute(f"revoke {taken} from {role}, public", name_of(database))
    verdict, told, remedy = found(as_role(database, role), "rights")
    assert (verdict, told) == (FAILURE, f"{role} lacks {lacks}")
    assert f"--worker-role {role}" in remedy


def test_a_role_without_any_rights_is_told_in_short(database: str, role: str) -> None:
    checks = examined(as_role(database, role))
    assert checks["schema"].verdict is FAILURE
    assert checks["rights"].found.endswith("more")
    assert len(checks) == 10


@pytest.mark.parametrize("right", ["create on schema mainspring", "postgres"])
def test_a_worker_that_may_change_tables_is_told(
    postgres: PostgresServer, database: str, role: str, right: str
) -> None:
    grant_worker(database, role)
    postgres.execute(f"grant {right} to {role}", name_of(database))
    verdict, told, remedy = found(as_role(database, role), "restraint")
    assert (verdict, told) == (WARNING, f"{role} may change and drop tables")
    assert "--worker-role" in remedy
    if right == "postgres":
        postgres.execute(f"revoke postgres from {role}")


def test_a_pooler_is_told_whether_the_url_says_so_or_not(bouncer: str, database: str) -> None:
    verdict, _, remedy = found(bouncer, "pooler")
    assert (verdict, "pgbouncer=transaction" in remedy) == (FAILURE, True)
    verdict, told, _ = found(f"{bouncer}?pgbouncer=transaction", "pooler")
    assert (verdict, "nobody can LISTEN" in told) == (WARNING, True)
    verdict, told, _ = found(f"{database}?pgbouncer=transaction", "pooler")
    assert (verdict, "there is none" in told) == (WARNING, True)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    assert examine_directory(tmp_path, shared=True).verdict is OK
    assert list(tmp_path.iterdir()) == []
    assert examine_directory(tmp_path / "later", shared=False).verdict is OK
    assert examine_directory(tmp_path / "unmounted", shared=True).verdict is WARNING
    (tmp_path / "file").touch()
    assert examine_directory(tmp_path / "file", shared=True).verdict is FAILURE
    assert examine_directory(Path("/proc/self"), shared=True).verdict is FAILURE
    assert examine_absence().verdict is WARNING


_RUN = "019a0000-0000-7000-8000-000000000000"
_LEFT = f"""
insert into mainspring.runs (id, workflow, version, fingerprint, queue, status, revision, priority, request_hash, input,
  created_at) values ('{_RUN}', 'w', '1', 'f', 'q', 'running', 0, 0, 'h', '{{}}', 0);
insert into mainspring.jobs (run_id, stage, idx, route, phase, priority, available_at, attempt, max_attempts, wakes,
  token, lease_id, lease_until)
values ('{_RUN}', 'due', 0, 'q/w@1#f', 'ready', 0, mainspring.mainspring_now() - 1, 0, 3, 0, 0, null, null),
  ('{_RUN}', 'held', 0, 'q/w@1#f', 'ready', 0, 0, 1, 3, 0, 1, '{_RUN}', mainspring.mainspring_now() - 100000000);
insert into mainspring.sinks (id, name, types) values (1, 'default', '') on conflict do nothing;
insert into mainspring.outbox (id, sink, run_id, seq, type, at, data)
values (1, 1, '{_RUN}', 1, 'run.created', mainspring.mainspring_now() - 100000000, '{{}}')"""
_CARED_FOR = """
update mainspring.jobs set lease_until = mainspring.mainspring_now() - 1000000 where lease_until is not null;
update mainspring.outbox set at = mainspring.mainspring_now() - 1000000;
insert into mainspring.workers (id, routes, build, started_at, seen_at)
values ('w', '["q/w@1#f"]', '', mainspring.mainspring_now(), mainspring.mainspring_now())"""


def left(url: str) -> dict[str, Check]:
    async def look() -> list[Check]:
        store, transport = open_postgres(url)
        try:
            return await leftovers(store)
        finally:
            await transport.close()
            await store.close()

    return {check.name: check for check in asyncio.run(look())}


def test_what_nobody_cares_for_is_told(postgres: PostgresServer, database: str) -> None:
    assert [check.verdict for check in left(database).values()] == [OK] * 3
    for statement in _LEFT.split(";"):
        postgres.execute(statement, name_of(database))
    told = left(database)
    assert {check.verdict for check in told.values()} == {WARNING}
    assert told["leases"].found.startswith("1 ran out more than 60 s ago")
    assert told["routes"].found.endswith("q/w@1#f (1 due)")
    assert told["outbox"].found.startswith("1 events wait, the oldest for 10")
    for statement in _CARED_FOR.split(";"):
        postgres.execute(statement, name_of(database))
    assert [check.verdict for check in left(database).values()] == [OK] * 3
    postgres.execute("update mainspring.workers set seen_at = seen_at - 91000000", name_of(database))
    assert left(database)["routes"].verdict is WARNING
