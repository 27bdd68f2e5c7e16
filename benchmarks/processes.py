"""Child processes of a measurement: started, asked, measured through /proc, and ended by their own pid."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.stores import RUN

ROOT = Path(__file__).parent.parent
PATIENCE = 900.0
"""Seconds after which a child is given up."""


@attrs.frozen
class Side:
    """An engine under measurement: how its runner is called, and what it cannot do."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = attrs.Factory(dict)
    #: SQL: one row if any run has not ended yet, and the count of those that completed
    open_runs: str = "select 1 from jobs limit 1"
    completed: str = "select count(*) from runs where status = 'completed'"
    needs_setup: bool = True
    fills: str = "start_many"  #: the mode that enqueues fastest
    stores: frozenset[str] = frozenset({"postgres", "sqlite"})
    cannot: frozenset[str] = frozenset()  #: cells
    slow: bool = False  #: measured with fewer samples where waiting is all it does

    @property
    def is_ours(self) -> bool:
        """Whether this is Mainspring."""
        return self.name.startswith("mainspring")

    def with_(self, **environment: str) -> "Side":
        """The same side, told more."""
        return attrs.evolve(self, environment=self.environment | environment)

    def call(self, mode: str, url: str, *arguments: object) -> dict[str, Any]:
        """Run one mode to its end; its answer."""
        done = subprocess.run(
            [*self.command, mode, url, *map(str, arguments)],
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        for line in done.stdout.splitlines():
            if line.startswith("RESULT "):
                return dict(json.loads(line.removeprefix("RESULT ")))
        if done.returncode or mode != "setup":
            raise RuntimeError(
                f"{self.name} {mode}: exit {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-3000:]}"
            )
        return {}

    def _environment(self) -> dict[str, str]:
        # psycopg and others never see the caller's Python path: each side has its own packages
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MAINSPRING"))}
        if "MAINSPRING_BLOBS" in os.environ:
            kept["MAINSPRING_BLOBS"] = os.environ["MAINSPRING_BLOBS"]
        return {**kept, **self.environment, "PYTHONUNBUFFERED": "1"}

    @contextlib.contextmanager
    def workers(self, url: str, count: int = 1, *more: str) -> "Iterator[list[Worker]]":
        """Worker processes that begin at one moment, all imports done."""
        RUN.mkdir(exist_ok=True)
        go = RUN / f"go-{os.getpid()}"
        go.unlink(missing_ok=True)
        started: list[Worker] = []
        errors = (RUN / "worker.err").open("w")
        try:
            for number in range(count):
                environment = {"BENCH_GO": str(go), "DBOS_EXEC": "local" if number == 0 else f"x{number}"}
                process = subprocess.Popen(
                    [*self.command, "worker", url, *more],
                    cwd=ROOT,
                    env=self._environment() | environment,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
                started.append(Worker(process))
            for worker in started:
                worker.line("WARM")
            go.touch()
            for worker in started:
                worker.ready = float(worker.line("READY").split()[1])
            yield started
        finally:
            for worker in started:
                worker.stop()
            go.unlink(missing_ok=True)
            errors.close()


@attrs.define(eq=False)
class Worker:
    """One worker process."""

    process: "subprocess.Popen[str]"
    ready: float = 0.0  #: when it was ready, on the monotonic clock that all processes share

    def line(self, word: str) -> str:
        """The next line of its output that begins with the word."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(word):
                return line
        raise RuntimeError(
            f"the worker ended before it said {word} (exit {self.process.wait(5)}); see {RUN}/worker.err"
        )

    def statements(self) -> int:
        """How many statements it has asked its store (started with ``count``)."""
        self.process.send_signal(signal.SIGUSR1)
        return int(json.loads(self.line("RESULT").removeprefix("RESULT "))["statements"])

    def cpu(self) -> float:
        """Seconds its threads have run on a CPU, to the nanosecond."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def memory(self, field: str = "VmRSS") -> float:
        """MB of resident memory now, or at its peak (``VmHWM``)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"no {field}")

    def stop(self) -> None:
        """Ask it to end; make it end."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def interpreter(arguments: Sequence[str]) -> tuple[str, ...]:
    """This Python with arguments."""
    return (sys.executable, *arguments)


def wait_until(end: "Any", every: float = 0.005) -> float:
    """Ask until the answer is true; the monotonic time at which it was."""
    limit = time.monotonic() + PATIENCE
    while not end():
        if time.monotonic() > limit:
            raise RuntimeError("it did not end")
        time.sleep(every)
    return time.monotonic()
