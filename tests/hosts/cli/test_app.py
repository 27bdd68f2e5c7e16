"""The program as a whole: its help, its errors, and what starting it costs."""

import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.hosts.cli import exits
from mainspring.ports.errors import UnavailableError
from tests.hosts.cli import flows
from tests.hosts.cli.conftest import CommandLine
from tests.hosts.programs import Program

ROOT = Path(__file__).parents[3]
CANARY = "canary-9f3b"
URLS = [
    f"mysql://me:{CANARY}@host/db",
    f"postgresql://me:{CANARY}/with@odd@host/db",
    f"me:{CANARY}@host/db",
    f"postgresql:me:{CANARY}@host",
    f"sqlite://me:{CANARY}@host/db",
    f"nonsense://:{CANARY}@",
]


def test_version(cli: CommandLine) -> None:
    assert cli("--version").stdout.startswith("mainspring 0.")


def test_help_tells_the_exit_codes(cli: CommandLine) -> None:
    told = " ".join(cli("--help").stdout.split())
    assert exits.EXIT_CODES in told


@pytest.mark.parametrize("arguments", [("bogus",), ("runs", "bogus"), ("run",), ("worker",), ("--bogus",)])
def test_wrong_usage_exits_with_2(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert cli.document(*arguments, code=2)["error"]["type"] == "UsageError"


@pytest.mark.parametrize("command", [("runs", "list"), ("runs", "show", "x"), ("migrate",)])
@pytest.mark.parametrize("url", [*URLS, "", "sqlite://", "sqlite:///:memory:", "sqlite:////", "memory://", "http://a"])
def test_a_wrong_url_exits_with_2_and_no_secret(cli: CommandLine, command: tuple[str, ...], url: str) -> None:
    for result in (
        cli(*command, "--database", url),
        cli(*command, f"--database={url}", "--json"),
        cli(*command, MAINSPRING_DATABASE=url),
    ):
        if url:
            assert result.exit_code == 2, result.output
        assert CANARY not in result.output
        assert "Traceback" not in result.output


def test_a_server_that_is_not_there_is_unavailable_and_its_password_untold(cli: CommandLine) -> None:
    for command in (("runs", "list"), ("migrate",), ("worker", flows.__file__)):
        result = cli(*command, "--database", f"postgresql://me:{CANARY}@127.0.0.1:1/db")
        assert result.exit_code == 4, result.output
        assert CANARY not in result.output
        assert "127.0.0.1" in result.output


@pytest.mark.parametrize("url", URLS)
def test_running_on_a_wrong_url_tells_no_secret(cli: CommandLine, url: str) -> None:
    for command in (("run", f"{flows.__file__}:failing"), ("worker", flows.__file__)):
        result = cli(*command, "--database", url)
        assert result.exit_code == 2
        assert CANARY not in result.output


def test_a_bug_exits_with_70_and_its_traceback(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError(f"postgresql://me:{CANARY}@host/db")

    monkeypatch.setattr("mainspring.hosts.cli.migrate_command.migrate_store", broken)
    result = cli("migrate")
    assert result.exit_code == 70
    assert "this is a bug in Mainspring: KeyError" in result.stderr
    assert "Traceback" in result.stderr
    assert CANARY not in result.output
    assert cli.document("migrate", code=70)["error"]["type"] == "InternalError"


def test_a_failing_store_exits_with_4(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise UnavailableError("the store is away")

    monkeypatch.setattr("mainspring.hosts.cli.migrate_command.migrate_store", failing)
    result = cli("migrate")
    assert (result.exit_code, result.stderr) == (4, "error: the store is away\n")


def test_migrate_makes_a_store_that_can_be_read(cli: CommandLine) -> None:
    assert cli.document("migrate")["database"] == cli.url
    assert "the schema of" in cli("migrate").stderr
    assert cli.document("runs", "list") == {"runs": [], "next": None}


def test_a_newer_schema_is_refused_kindly(cli: CommandLine) -> None:
    import sqlite3

    cli("migrate")
    connection = sqlite3.connect(cli.folder / "runs.db")
    connection.execute("update mainspring_schema set version_num = '9999'")
    connection.commit()
    connection.close()
    for command in (("runs", "list"), ("migrate",), ("run", f"{flows.__file__}:failing"), ("worker", flows.__file__)):
        result = cli(*command)
        assert result.exit_code == 4
        assert "update Mainspring here" in result.stderr


def test_a_worker_refuses_what_it_cannot_serve(cli: CommandLine) -> None:
    assert "memory:// lives in one process" in cli("worker", flows.__file__, "--database", "memory://").stderr
    assert cli("worker", flows.__file__, "--lease", "0").exit_code == 2
    assert cli("worker", flows.__file__, "--concurrency", "0").exit_code == 2
    assert cli("worker", flows.__file__, MAINSPRING_LEASE="soon").exit_code == 2
    assert cli("worker", "nowhere.py").exit_code == 2


def test_a_worker_that_finds_nothing_to_do_ends_when_asked_to(cli: CommandLine) -> None:
    document = cli.document("worker", flows.__file__, "--until-idle", "--name", "me", "--no-uvloop")
    assert document.pop("worker").startswith("me-")
    assert document == {"attempts": 0, "exit": 0}


def test_a_worker_works_on_what_was_started(cli: CommandLine) -> None:
    run = cli.ask(lambda engine: engine.start(flows.graph, 3))
    document = cli.document("worker", flows.__file__, "--until-idle")
    assert (document["attempts"], document["exit"]) == (7, 0)
    assert cli.document("runs", "show", run.id)["status"] == "completed"


def imported_by(code: str, folder: Path) -> set[str]:
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(told.stdout.splitlines()[-1].split())


def command(*arguments: str) -> str:
    return f"from mainspring.hosts.cli.app import app\ntry: app({list(arguments)!r})\nexcept SystemExit: pass"


def test_help_imports_nothing_that_costs(tmp_path: Path) -> None:
    found = imported_by(command("--help"), tmp_path)
    assert not found & {"alembic", "sqlalchemy", "boto3", "aio_pika", "psycopg", "uvloop", "tenacity"}


def test_a_list_imports_no_migrations(cli: CommandLine, tmp_path: Path) -> None:
    cli("migrate")
    found = imported_by(command("runs", "list", "--database", cli.url), tmp_path)
    assert "alembic" not in found


async def test_python_m_mainspring_is_the_command_line(tmp_path: Path) -> None:
    hello = ("run", str(ROOT / "examples" / "hello.py"), "--input", '"world"')
    with Program(*hello, folder=tmp_path) as program:
        assert await program.ends() == 0
        assert program.output() == '"HELLO, WORLD!"\n'


def test_the_first_example_is_short() -> None:
    assert len((ROOT / "examples" / "hello.py").read_text().splitlines()) <= 20


def test_a_reader_that_leaves_is_no_error(cli: CommandLine, tmp_path: Path) -> None:
    cli("migrate")
    shell = f"{sys.executable} -m mainspring runs list --json --database {cli.url} | true; echo ${{PIPESTATUS[0]}}"
    told = subprocess.run(["bash", "-c", shell], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert told.stdout.strip() in {"0", "141"}
    assert not told.stderr
