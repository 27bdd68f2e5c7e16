"""A PostgreSQL cluster of the bench's own: made in a temporary folder, default durability, stopped and gone at the end.

Rule: only what this module started is stopped. ``MAINSPRING_BENCH_POSTGRES_URL`` names another cluster to use instead;
its user must be allowed to create databases.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

ELSEWHERE = "MAINSPRING_BENCH_POSTGRES_URL"
USER = "postgres"  # as root the server runs as this user of the system; its superuser has that name, too


@attrs.frozen(kw_only=True)
class Server:
    """A running cluster."""

    url: str  #: of its maintenance database
    pid: int | None  #: of the postmaster; None: not ours, perhaps on another machine


@contextlib.contextmanager
def cluster() -> Iterator[Server]:
    """The cluster to measure on.

    Raises:
        RuntimeError: no PostgreSQL is installed, or it did not start.
    """
    if elsewhere := os.environ.get(ELSEWHERE):
        yield Server(url=elsewhere, pid=None)
        return
    programs, port = _programs(), _free_port()
    folder = Path(tempfile.mkdtemp(prefix="mainspring-bench-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        data = folder / "data"
        _run(programs / "initdb", "-D", data, "-A", "trust", "-U", USER, "--encoding=UTF8", "--locale=C.UTF-8")
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        if _has_statistics(programs):
            settings += " -c shared_preload_libraries=pg_stat_statements"
        _run(programs / "pg_ctl", "-D", data, "-o", settings, "-l", folder / "log", "-w", "start")
        try:
            pid = int((data / "postmaster.pid").read_text().split()[0])
            yield Server(url=f"postgresql://{USER}@127.0.0.1:{port}/postgres", pid=pid)
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "fast", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder of initdb and pg_ctl: the newest of Debian's, or the one on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if debian:
        return debian[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise RuntimeError(f"no PostgreSQL is installed (postgresql-15 of Debian will do); or give {ELSEWHERE}")


def _has_statistics(programs: Path) -> bool:
    found = subprocess.run([programs / "pg_config", "--pkglibdir"], capture_output=True, text=True, check=False)
    return (Path(found.stdout.strip() or "/nowhere") / "pg_stat_statements.so").exists()


def _run(*command: str | Path) -> None:
    """Run a program of the server's, as a user that the server accepts. Its output goes to a file: it outlives it."""
    before = ("runuser", "-u", USER, "--") if os.geteuid() == 0 else ()
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run([*before, *command], cwd="/", stdout=output, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            output.seek(0)
            raise RuntimeError(f"{Path(command[0]).name} failed ({done.returncode}):\n{output.read()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
