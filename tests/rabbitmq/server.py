"""RabbitMQ brokers for tests: one of our own that may be stopped, or somebody else's that is only used.

Rule: nothing but loopback is listened at, and nothing outlives the tests: the broker's name server (epmd) is ours too,
on a port of its own. Tests keep apart by the names of their queues.
"""

import os
import signal
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from tests.components import lacking
from tests.postgres.daemons import Home, free_port, home

#: Where Debian installs it.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")

#: ``term`` says goodbye to clients; ``kill`` is a crash.
StopMode = Literal["term", "kill"]

_PATIENCE = 60.0

#: The name server in the foreground, and the end of both: the keeper of the home ends this script.
KEEP_NAMES = """
echo $$ > pid
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 > epmd.log 2>&1 &
names=$!
end() { [ -e broker.pid ] && kill -s KILL "$(cat broker.pid)"; kill $names; rm -f pid; exit; }
trap end TERM
wait
"""

_SETTINGS = """
loopback_users.guest = true
vm_memory_high_watermark.absolute = 400MB
disk_free_limit.absolute = 1MB
log.console = true
log.console.level = warning
log.file = false
"""


class RabbitServer:
    """A broker that others run: it can be used, not stopped."""

    def __init__(self, address: str) -> None:
        """Args: address: the URL of its virtual host, with user and password."""
        self.address = address

    def url(self, **options: object) -> str:
        """The URL with options of ours."""
        if not options:
            return self.address
        return f"{self.address}{'&' if '?' in self.address else '?'}{urlencode(options)}"

    def start(self) -> None:
        """Start it where it does not run, and return when it listens."""
        lacking("a broker of somebody else's cannot be started")

    def stop(self, mode: StopMode = "term") -> None:
        """Stop it; its address stays its own."""
        lacking("a broker of somebody else's cannot be stopped")

    def control(self, *words: str) -> str:
        """What ``rabbitmqctl`` prints; it takes two seconds."""
        lacking("a broker of somebody else's cannot be told what to do")

    def close_connections(self) -> None:
        """End every client's connection, as an administrator does."""
        self.control("eval", '[rabbit_networking:close_connection(P, "test") || P <- rabbit_networking:connections()].')


class PrivateRabbit(RabbitServer):
    """A broker of our own."""

    def __init__(self, place: Home) -> None:
        self.directory = place.path
        self._place = place
        self._port, self._distribution, self._names = free_port(), free_port(), free_port()
        super().__init__(f"amqp://guest:guest@127.0.0.1:{self._port}/")
        place.write("enabled_plugins", "[].\n")
        place.write("rabbitmq.conf", _SETTINGS)
        place.write("environment", self._environment())
        place.write("names", KEEP_NAMES)
        self._run("sh names > /dev/null 2>&1 &")
        _listening(self._names)

    @property
    def _pid_file(self) -> Path:
        return self._place.path / "broker.pid"

    def start(self) -> None:
        self._pid_file.unlink(missing_ok=True)
        self._run("rabbitmq-server >> log 2>&1 &")
        deadline = time.monotonic() + _PATIENCE
        while not _listens(self._port):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the broker does not start:\n{self._place.log()[-4000:]}")
            time.sleep(0.02)

    def stop(self, mode: StopMode = "term") -> None:
        pid = int(self._pid_file.read_text())
        os.kill(pid, signal.SIGTERM if mode == "term" else signal.SIGKILL)
        deadline = time.monotonic() + _PATIENCE
        while _runs(pid) or _listens(self._port):  # the last thread closes the port
            if time.monotonic() > deadline:
                raise RuntimeError(f"the broker does not stop:\n{self._place.log()[-4000:]}")
            time.sleep(0.02)

    def pause(self) -> None:
        """Let it hang: it answers nothing, and its connections stay."""
        os.kill(int(self._pid_file.read_text()), signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        os.kill(int(self._pid_file.read_text()), signal.SIGCONT)

    def control(self, *words: str) -> str:
        self._place.write("words", "\n".join(words))
        quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
        return self._run(f"rabbitmqctl -q {quoted}")

    def _run(self, line: str) -> str:
        return self._place.run("/bin/sh", "-c", f". ./environment; {line}")

    def _environment(self) -> str:
        """Loopback only, without the plugins: management listens on all interfaces, and stops slowly."""
        place = self._place.path
        values = {
            "HOME": place,
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "ERL_EPMD_PORT": self._names,
            "RABBITMQ_ALLOW_INPUT": "1",  # the script makes room for the broker itself: one process, one id
            "RABBITMQ_CONFIG_FILE": place / "rabbitmq.conf",
            "RABBITMQ_DIST_PORT": self._distribution,
            "RABBITMQ_ENABLED_PLUGINS_FILE": place / "enabled_plugins",
            "RABBITMQ_LOG_BASE": place,
            "RABBITMQ_MNESIA_BASE": place / "data",
            "RABBITMQ_NODENAME": f"test{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self._port,
            "RABBITMQ_PID_FILE": place / "broker.pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
        }
        return "".join(f"export {name}='{value}'\n" for name, value in values.items())


@contextmanager
def private_rabbit() -> Generator[PrivateRabbit]:
    """Debian's RabbitMQ, running; it, its name server and its data are gone after the block."""
    if not (PROGRAMS / "rabbitmq-server").exists():
        lacking("RabbitMQ is not here; run: apt-get install --no-install-recommends rabbitmq-server")
    with home("pid", "TERM") as place:
        server = PrivateRabbit(place)
        server.start()
        yield server


def _runs(pid: int) -> bool:
    """A process that ended and that nobody has asked after does not run."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


def _listening(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _listens(port):
        if time.monotonic() > deadline:
            raise RuntimeError("epmd does not start")
        time.sleep(0.01)
