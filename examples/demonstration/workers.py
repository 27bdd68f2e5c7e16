"""The demo's worker processes: started, watched, killed, and never left behind."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs


class WorkerProcessError(Exception):
    """A worker process ended that should not; the message ends with the last lines of its log."""


@attrs.frozen(kw_only=True)
class WorkerProcess:
    """One ``mainspring worker``."""

    name: str  #: its id in the store begins with it and the process id
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """The operating system's name for it."""
        return self.process.pid

    def owns(self, worker_id: str | None) -> bool:
        """Whether an id in the store is this process's."""
        return worker_id is not None and worker_id.startswith(f"{self.name}-pid{self.pid}-")

    def kill(self) -> int:
        """``kill -9``: the process gets no chance to say or save anything. Returns its exit status, -9."""
        os.kill(self.pid, signal.SIGKILL)
        return self.process.wait()

    def stop(self, grace: float) -> int:
        """Ask it to finish (SIGTERM), wait, and give its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            return self.process.wait(grace)
        except subprocess.TimeoutExpired:
            return self.kill()


class Workers:
    """The workers of one demo; a context manager whose end ends every process."""

    def __init__(self, folder: Path, command: list[str], environment: dict[str, str]) -> None:
        self._folder = folder
        self.command = command
        self._environment = {**os.environ, **environment}
        self.all: list[WorkerProcess] = []
        self.killed: set[str] = set()

    def start(self, name: str) -> WorkerProcess:
        """Start a worker. A process group of its own: Ctrl-C reaches the demo, which then ends its workers."""
        log = self._folder / f"{name}.log"
        named = ["sh", "-c", 'exec "$@" --name "$0-pid$$"', name, sys.executable, "-m", *self.command]
        with log.open("wb") as output:
            process = subprocess.Popen(
                named,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        worker = WorkerProcess(name=name, log=log, process=process)
        self.all.append(worker)
        return worker

    @property
    def alive(self) -> list[WorkerProcess]:
        """Those that were not killed."""
        return [worker for worker in self.all if worker.name not in self.killed]

    def kill(self, worker: WorkerProcess) -> int:
        """Kill one with -9; ``check`` does not miss it."""
        self.killed.add(worker.name)
        return worker.kill()

    def check(self) -> None:
        """See that every worker that was not killed is there.

        Raises:
            WorkerProcessError: one ended by itself.
        """
        for worker in self.alive:
            status = worker.process.poll()
            if status is not None:
                tail = "\n".join(worker.log.read_text(errors="replace").splitlines()[-15:])
                raise WorkerProcessError(f"{worker.name} ended by itself with status {status}. Its log ends:\n{tail}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.alive:
            with contextlib.suppress(ProcessLookupError):
                worker.process.terminate()
        for worker in self.alive:
            worker.stop(grace=3.0)
