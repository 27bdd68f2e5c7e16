"""Real processes for tests: started, waited for by what they say, killed at the end whatever happens."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager


class Processes:
    """The processes of one test."""

    def __init__(self) -> None:
        self.alive: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``python -m …`` and wait until it says that it is ready."""
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ}
        )
        self.alive.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.strip() == "ready", f"the process said {line!r} and exited with {process.poll()}"
        return process

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL, and wait until it is gone."""
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()
        self.alive.remove(process)


@contextmanager
def processes() -> Generator[Processes]:
    """Processes that do not outlive the block."""
    started = Processes()
    try:
        yield started
    finally:
        for process in list(started.alive):
            started.kill(process)
