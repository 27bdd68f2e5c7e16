"""Daemons of our own for tests, in a directory of their own, under an account that may run them.

Rule: no daemon outlives the process that started it, however that process ends. A shell waits at a pipe whose other
end only that process holds; when the pipe breaks it stops the daemon and removes the directory.
"""

import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import attrs

#: Arguments: the directory, the daemon's pid file, the signal that stops the daemon. A daemon that was paused has to go
#: on to hear it. It is gone when its pid file is (the process table may show it longer, to no parent); one that does
#: not go is killed.
KEEPER = """
cat
if pid=$(head -n 1 "$2") && kill -s "$3" "$pid"; then
    kill -s CONT "$pid"
    tries=0
    while [ -e "$2" ] && [ $tries -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
    [ -e "$2" ] && kill -s KILL "$pid"
fi
rm -rf "$1" &
"""

#: Below the range from which systems take the ports of outgoing connections: one that a stopped daemon leaves must
#: still be free when it starts again.
PORTS = range(15_000, 32_000)


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@attrs.frozen
class Account:
    """Who runs the daemons: we ourselves, or for root, whom PostgreSQL refuses, somebody else."""

    entry: pwd.struct_passwd | None

    @classmethod
    def choose(cls) -> "Account":
        """The account ``postgres`` or ``nobody`` for root; nothing is added to the machine."""
        if os.geteuid() != 0:
            return cls(None)
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        return cls(known.get("postgres") or known["nobody"])

    @property
    def identity(self) -> _Identity:
        """As ``subprocess`` takes it."""
        if self.entry is None:
            return {}
        return {"user": self.entry.pw_uid, "group": self.entry.pw_gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        if self.entry is not None:
            os.chown(path, self.entry.pw_uid, self.entry.pw_gid)


@attrs.frozen
class Home:
    """A directory for one daemon, and how commands are run for it."""

    path: Path
    account: Account

    def run(self, *command: str | Path) -> str:
        """What the command prints.

        Raises:
            RuntimeError: it failed; with its output and the end of the daemon's log.
        """
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.path,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **self.account.identity,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command} exited with {done.returncode}:\n{done.stdout}\n{self.log()[-4000:]}")
        return done.stdout

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.write_text(text)
        self.account.give(path)
        return path

    def log(self) -> str:
        """What the daemon has written into the file ``log``."""
        log = self.path / "log"
        return log.read_text() if log.exists() else ""

    def borrow(self, programs: Path, *libraries: Path) -> Path:
        """A folder with the programs of ``programs`` (a ``bin``) that the account reaches: the same, or a copy.

        Args:
            programs: the folder; what stands beside it belongs to it.
            libraries: folders which the programs find by the way from theirs; they are kept in place to each other.
        """
        try:
            self.run(next(programs.iterdir()), "--version")
        except PermissionError:  # somewhere below root's home
            root = os.path.commonpath([programs.parent, *libraries]) if libraries else programs.parent.parent
            for folder in (programs.parent, *libraries):
                shutil.copytree(folder, self.path / "programs" / folder.relative_to(root))
            return self.path / "programs" / programs.relative_to(root)
        return programs


@contextmanager
def home(pid_file: str, stop_signal: str) -> Generator[Home]:
    """A home for the daemon that writes its process id into ``pid_file``.

    After the block the daemon is gone, and its directory is being removed.
    """
    account = Account.choose()
    path = Path(tempfile.mkdtemp(prefix="mainspring-test-", dir=_place()))  # short: it holds a socket
    account.give(path)
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", KEEPER, "keeper", path, path / pid_file, stop_signal],
        cwd=path.parent,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to our process group is not for it
    )
    try:
        yield Home(path, account)
    finally:
        keeper.communicate(timeout=30)


def free_port() -> int:
    """A port of 127.0.0.1 at which nobody listens."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _place() -> Path | None:
    """Memory, where it is large enough and TMPDIR does not say otherwise.

    A database is made and dropped in 40 ms there, on a disk in up to 400. Processes that are killed lose nothing on
    either; what a power failure would leave cannot be tested by either.
    """
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not memory.is_dir():
        return None
    state = os.statvfs(memory)
    fits = state.f_bavail * state.f_frsize > 2**30 and not state.f_flag & os.ST_NOEXEC  # see Home.borrow
    return memory if fits else None


def _environment() -> dict[str, str]:
    """Without PGHOST and the like, which would send the tools elsewhere; messages in English."""
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
