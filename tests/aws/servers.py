"""Servers for tests that answer as AWS does: moto and MiniStack, or somebody else's that is only used.

Both hold other versions of boto3 back, so each lives in a virtual environment of its own inside ``.venv``, made when
the first test asks for it. Rules: a server listens on 127.0.0.1 alone, is up only for the process that asked for it,
and does not outlive that process, however it ends: a shell waits at a pipe whose other end only that process holds.
Tests share a server, so each makes queues and buckets under names of its own (``AwsServer.name``).
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs

from tests.components import lacking
from tests.postgres.daemons import free_port

REGION = "eu-central-1"

_HERE = Path(__file__).resolve().parent
_ENVIRONMENTS = (_HERE.parents[1] / ".venv").resolve() / "servers"
_PATIENCE = 60.0  # seconds until a server must answer: it is up in half of one, on a machine that is not busy

#: Arguments: the directory, then the server's command. The server leads a group, which ends whole.
_KEEPER = """
directory=$1; shift
setsid "$@" > log 2>&1 < /dev/null &
cat
kill -s KILL -- "-$!"
rm -rf "$directory"
"""


@attrs.define
class AwsServer:
    """One that runs: where it is, and clients for it."""

    endpoint: str
    _clients: dict[str, Any] = attrs.field(factory=dict[str, Any])

    def url(self, scheme: str, name: str, **options: str) -> str:
        """A URL of Mainspring's for a thing there: ``url("sqs", queue)``, ``url("s3", "bucket/prefix")``."""
        return f"{scheme}://{name}?{urlencode({'region': REGION, 'endpoint': self.endpoint, **options})}"

    def client(self, service: str) -> Any:
        """boto3's client, the same each time: for what a test arranges and looks at."""
        if service not in self._clients:
            import boto3  # type: ignore[import-untyped]

            make: Any = boto3.client  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            self._clients[service] = make(
                service,
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
        return self._clients[service]

    def name(self, kind: str) -> str:
        """A name that nothing there has yet, good for a queue, a bucket or a bus."""
        return f"{kind}-{uuid.uuid4().hex[:16]}"

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextmanager
def using(endpoint: str) -> Generator[AwsServer]:
    """A server that others run."""
    server = AwsServer(endpoint)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def moto() -> Generator[AwsServer]:
    """moto: strict about what AWS refuses; never fires a schedule, runs no function."""
    program = _environment("moto") / "bin" / "moto_server"
    port = free_port()
    command = [str(program), "-H", "127.0.0.1", "-p", str(port)]
    with _running("moto", command, port, "/moto-api/", {}) as endpoint, using(endpoint) as server:
        yield server


@contextmanager
def ministack() -> Generator[AwsServer]:
    """MiniStack: fires schedules and runs functions; lets some things pass that AWS refuses."""
    program = _environment("ministack") / "bin" / "ministack"
    port = free_port()
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "STATE_DIR": "state"}
    with (
        _running("ministack", [str(program)], port, "/_ministack/health", settings) as endpoint,
        using(endpoint) as server,
    ):
        yield server


def install() -> None:
    """Make both environments now, so that no test has to wait for it."""
    for name in ("moto", "ministack"):
        _environment(name)


@contextmanager
def _running(name: str, command: Sequence[str], port: int, health: str, settings: dict[str, str]) -> Generator[str]:
    """Its endpoint; it is gone, with all that it started, after the block."""
    directory = Path(tempfile.mkdtemp(prefix=f"mainspring-test-{name}-"))
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "keeper", directory, *command],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8", **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to our process group is not for it
    )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _await(endpoint + health, directory / "log")
        yield endpoint
    finally:
        keeper.communicate(timeout=30)


def _await(address: str, log: Path) -> None:
    """Wait until it answers.

    Raises:
        RuntimeError: it does not; with the end of its log.
    """
    limit = time.monotonic() + _PATIENCE
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError as error:
            if time.monotonic() > limit:
                said = log.read_text()[-4000:] if log.exists() else ""
                raise RuntimeError(f"{address} does not answer: {error}\n{said}") from error
        time.sleep(0.05)


def _environment(name: str) -> Path:
    """The virtual environment with that server; made once per machine and per list of versions."""
    wanted = _HERE / f"constraints-{name}.txt"
    place = _ENVIRONMENTS / name
    stamp = place / "made-of"
    content = hashlib.sha256(f"{sys.version} {place} {wanted.read_text()}".encode()).hexdigest()
    _ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (_ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != content:
            shutil.rmtree(place, ignore_errors=True)
            _make(place, wanted)
            stamp.write_text(content)
    return place


def _make(place: Path, wanted: Path) -> None:
    # Constraints of the project's own environment are not for this one.
    variables = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    pip = (sys.executable, "-m", "pip", "--python", place / "bin" / "python", "--quiet")
    for command in (
        (sys.executable, "-m", "venv", "--without-pip", place),
        (*pip, "install", "--no-deps", "--requirement", wanted),
    ):
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lacking(f"{place.name} cannot be installed into {place}: {done.stderr[-1000:]}")
