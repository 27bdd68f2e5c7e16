"""Real processes of ``mainspring``: started, signalled, and waited for by what they write."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 60.0  # seconds: far more than anything here takes, on a machine that is busy with other things


class Program:
    """One process of the command line, its log kept in a file. Killed at the end, if it is still there."""

    def __init__(
        self, *arguments: str, folder: Path, environment: Mapping[str, str] | None = None, stderr: int | None = None
    ) -> None:
        self._log = folder / f"program-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mainspring", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log if stderr is None else stderr,
                cwd=folder,
                env={**os.environ, **(environment or {})},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far, where it logs JSON."""
        whole = [line for line in self.log.splitlines(keepends=True) if line.endswith("\n") and line.startswith("{")]
        return [json.loads(line) for line in whole]

    def has_told(self, event: str) -> bool:
        return any(line["event"] == event for line in self.lines)

    async def tells(self, event: str) -> dict[str, Any]:
        """Wait for a log line."""
        await until(lambda: self.has_told(event) or self.ended, f"{event}, found: {self.log}")
        return next(line for line in self.lines if line["event"] == event)

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    async def ends(self, signal: int | None = None) -> int:
        """Wait for the end, after this signal if there is one; the exit code."""
        if signal is not None:
            self.process.send_signal(signal)
        await until(lambda: self.ended, f"the end of a process, which told: {self.log}")
        return self.process.returncode

    async def hurries(self, signal: int) -> int:
        """Signal until it has heard the second one; the exit code."""

        def heard() -> bool:
            if not self.has_told("giving_back"):
                self.process.send_signal(signal)
            return self.has_told("giving_back")

        await until(heard, f"a worker to hurry, which told: {self.log}")
        return await self.ends()

    def output(self) -> str:
        """What it has written to stdout, once it has ended."""
        return self.process.communicate(timeout=PATIENCE)[0].decode()


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for the condition, which other processes bring about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:g} s for {what}")
        await asyncio.sleep(0.02)
