"""``mainspring doctor``: what it says, its exit codes, and what it finds of a SQLite store."""

import sqlite3
from pathlib import Path

import pytest

from mainspring.adapters.sql import sqlite_location
from mainspring.adapters.sql.sqlite_doctor import examine_sqlite
from mainspring.ports.diagnosis import Check, Verdict
from tests.hosts.cli import flows
from tests.hosts.cli.conftest import CommandLine

OK, WARNING, FAILURE = Verdict.OK, Verdict.WARNING, Verdict.FAILURE
MIB = 1024 * 1024


def enough(_: Path) -> int:
    return 2048 * MIB


def found(cli: CommandLine, options: str = "") -> dict[str, Check]:
    return {check.name: check for check in examine_sqlite(cli.url + options, enough)}


def change(cli: CommandLine, statement: str) -> None:
    connection = sqlite3.connect(cli.folder / "runs.db")
    with connection:
        connection.execute(statement)
    connection.close()


def test_a_sound_store_exits_with_0(cli: CommandLine) -> None:
    assert cli("run", f"{flows.__file__}:greeting", "--input", '"a"').exit_code == 0
    document = cli.document("doctor")
    assert (document["database"], document["ok"]) == (cli.url, True)
    verdicts = {check["name"]: check["verdict"] for check in document["checks"]}
    verdicts.pop("disk space")  # the machine's
    names = ("place", "schema", "durability", "host", "blobs", "leases", "routes", "outbox")
    assert verdicts == dict.fromkeys(names, "ok")
    lines = cli("doctor").stdout.splitlines()
    assert lines[0].startswith("ok       place        ")
    assert len(lines) >= len(names)


def test_a_failure_exits_with_1_and_says_what_to_do(cli: CommandLine) -> None:
    result = cli("doctor")
    assert result.exit_code == 1
    assert "failure  place        there is no file" in result.stdout
    assert f"→ start a run or a worker on it, or: mainspring migrate --database {cli.url}" in result.stdout
    assert not (cli.folder / "runs.db").exists()
    document = cli.document("doctor", code=1)
    assert document["ok"] is False
    assert {check["name"] for check in document["checks"]} == {"place", "disk space", "blobs"}


def test_what_is_no_store_exits_with_2(cli: CommandLine) -> None:
    for url in ("memory://", "http://a", "sqlite://", "postgresql://h/db?schema=No"):
        assert cli("doctor", "--database", url).exit_code == 2


def test_a_server_is_examined_too(cli: CommandLine, database: str) -> None:
    document = cli.document("doctor", "--database", database)
    assert (document["database"], document["ok"]) == (database, True)
    warnings = {check["name"] for check in document["checks"] if check["verdict"] != "ok"}
    assert warnings == {"restraint", "blobs"}  # a superuser, and nothing for large payloads
    assert {"leases", "routes", "outbox"} <= {check["name"] for check in document["checks"]}
    away = cli.document("doctor", "--database", "postgresql://me:canary@127.0.0.1:1/db", code=1)
    assert away["checks"][0]["verdict"] == "failure"
    assert "canary" not in str(away)


def test_a_route_that_nobody_serves_is_a_warning(cli: CommandLine) -> None:
    cli.ask(lambda engine: engine.start(flows.graph, 1))
    document = cli.document("doctor")
    assert document["ok"] is True
    (check,) = (check for check in document["checks"] if check["name"] == "routes")
    assert check["verdict"] == "warning"
    assert "/graph@1#" in check["found"]


def test_a_place_that_cannot_hold_a_store_is_told(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = examine_sqlite("sqlite:////nowhere/a.db", enough)
    assert [(check.verdict, check.remedy) for check in missing] == [(FAILURE, "create it first")]
    cli("migrate")
    mounts = cli.folder / "mounts"
    mounts.write_text("server:/ / nfs4 rw 0 0\n")
    monkeypatch.setattr(sqlite_location, "_MOUNTS", mounts)
    check = found(cli)["place"]
    assert (check.verdict, "network file system (nfs4)" in check.found) == (FAILURE, True)
    assert check.remedy == "use a local disk, or PostgreSQL for several hosts"


def test_a_schema_that_does_not_fit_is_told(cli: CommandLine) -> None:
    cli("migrate")
    assert found(cli)["schema"].verdict is OK
    change(cli, "update mainspring_schema set version_num = '0000'")
    assert "older" in found(cli)["schema"].found
    change(cli, "update mainspring_schema set version_num = '9999'")
    check = found(cli)["schema"]
    assert (check.verdict, check.remedy) == (FAILURE, "update Mainspring here (nothing was changed)")
    change(cli, "drop table mainspring_schema")
    assert found(cli)["schema"].remedy == f"run: mainspring migrate --database {cli.url}"


def test_a_file_that_is_no_database_fails_every_check_of_its_content(cli: CommandLine) -> None:
    (cli.folder / "runs.db").write_text("no database at all, though long enough to be one" * 20)
    checks = found(cli)
    assert [checks[name].verdict for name in ("place", "schema", "host")] == [OK, FAILURE, FAILURE]
    assert "is not a SQLite database" in checks["schema"].found


def test_another_journal_mode_is_told_and_left_as_it_is(cli: CommandLine) -> None:
    cli("migrate")
    change(cli, "pragma journal_mode = delete")
    assert [found(cli)["durability"].verdict for _ in range(2)] == [WARNING, WARNING]


def test_a_file_of_another_host_is_told(cli: CommandLine) -> None:
    cli("migrate")
    assert found(cli)["host"].found == "none has opened it yet"
    cli("runs", "list")
    assert found(cli)["host"].verdict is OK
    change(cli, "update settings set value = 'elsewhere' where name = 'host'")
    assert (found(cli)["host"].verdict, "allow_other_host" in found(cli)["host"].remedy) == (FAILURE, True)
    assert found(cli, "?allow_other_host=true")["host"].verdict is WARNING


@pytest.mark.parametrize(("free", "verdict"), [(99, FAILURE), (1023, WARNING), (1024, OK)])
def test_a_disk_that_fills_up_is_told(cli: CommandLine, free: int, verdict: Verdict) -> None:
    cli("migrate")
    (check,) = (one for one in examine_sqlite(cli.url, lambda _: free * MIB) if one.name == "disk space")
    assert (check.verdict, check.found) == (verdict, f"{free:,} MiB are free")
