"""`make demo`: analyse documents with two workers, kill one half-way, and see that nothing is lost.

    python examples/demo.py [FOLDER]      FOLDER (or the variable DOCS): analyse its documents, not this repository's

Exit status: 0 all is well · 1 something is off · 2 there is nothing to analyse, or no place to work in · 130 Ctrl-C.
"""

import argparse
import asyncio
import fcntl
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import structlog
from analysis.documents import SUFFIXES, FolderError, find
from demo_output import Output, Takeover
from demo_workers import WorkerProcess, WorkerProcessError, Workers
from document_analysis import Report, analysis

from mainspring import Mainspring, RunHandle, RunStatus
from mainspring.ports.records import Job, StageStatus

ROOT = Path(__file__).resolve().parent.parent
OWN_DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs")
OWN_CODE = ("kernel", "ports", "adapters", "hosts")
MOST = 400
"""Documents of a folder that are analysed."""

LEASE = 2.0
REAP = 0.5
SLOTS = 2
WATCHED = 3.0
"""Seconds that reading would take two workers which nobody kills."""

PATIENCE = 60.0
"""Seconds after which the demo gives up on any of its parts."""


class DemoError(Exception):
    """What should have happened did not."""


@attrs.frozen(kw_only=True)
class Kill:
    """A worker that was killed while it held leases."""

    worker: WorkerProcess
    at: datetime  #: the store's time
    orphans: list[Job]  #: the jobs it holds in the store though it is dead


@attrs.frozen(kw_only=True)
class Place:
    """Where the demo keeps its files."""

    folder: Path

    @property
    def database(self) -> Path:
        """The store."""
        return self.folder / "demo.db"

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.json"

    @property
    def url(self) -> str:
        """The store's URL."""
        return f"sqlite:///{self.database}"

    def prepare(self) -> Any:
        """Make the folder, or empty it of an earlier demo's files; returns what keeps a second demo out.

        Raises:
            FolderError: another demo is at work there, or the folder is not a demo's.
        """
        mark = self.folder / ".mainspring-demo"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not mark.exists() and any(self.folder.iterdir()):
                raise FolderError(f"{self.folder} holds files that no demo made; give another --into")
            lock = mark.open("a")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in self.folder.iterdir():
                if path != mark:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            (self.folder / ".gitignore").write_text("*\n")
        except BlockingIOError as error:
            raise FolderError(f"another demo is at work in {self.folder}; wait for it, or give another --into") from error
        except OSError as error:
            raise FolderError(f"{self.folder} cannot be used: {error.strerror}") from error
        return lock


class Demo:
    """One demo, from the start of its run to the report."""

    def __init__(self, root: Path, paths: Sequence[str], place: Place, engine: Mainspring, workers: Workers) -> None:
        self._root = root
        self._paths = list(paths)
        self._place = place
        self._engine = engine
        self._workers = workers
        self._out = Output(paths)
        self._store = engine.parts.store

    async def play(self) -> None:
        """All of it.

        Raises:
            DemoError: something did not happen as it should.
        """
        began = time.monotonic()
        run = await self._start()
        kill = await self._kill_half_way(run)
        await self._take_over(run, kill)
        await self._finish(run, kill)
        seconds = time.monotonic() - began
        self._farewell(run, seconds)

    async def _start(self) -> RunHandle[Report]:
        pause = min(1.0, WATCHED * 2 * SLOTS / len(self._paths))
        config = {"read": {"root": str(self._root), "pause": pause}, "report": {"file": str(self._place.report)}}
        run = await self._engine.start(analysis, self._paths, key="demo", config=config)
        self._out.heading("Documents are analysed by two workers; one is killed half-way")
        self._out.facts(
            [
                ("documents", f"{len(self._paths)} files of {_near(self._root)}"),
                ("store", f"{_near(self._place.database)}, the embedded one (SQLite)"),
                ("run", f"{run.id}, durable from now on, though no worker is there yet"),
                ("stages", "read (one instance per file) -> keywords | readability | links | duplicates -> report"),
                ("for you", f"each file is read after a pause of {pause * 1000:.0f} ms, or there would be little to see;"),
                ("", f"the lease is {LEASE:g} s (default: 30 s), dead workers are looked for every {REAP:g} s (5 s)"),
            ]
        )
        self._out.heading(f"1  Two workers, {SLOTS} files at a time each")
        for name in ("worker-a", "worker-b"):
            worker = self._workers.start(name)
            self._out.say(f"{name}  pid {worker.pid}")
        return run

    # -- the kill --------------------------------------------------------------------------------------------------

    async def _kill_half_way(self, run: RunHandle[Report]) -> Kill:
        half = max(1, len(self._paths) // 2) if len(self._paths) > 1 else 0
        await self._until(run, lambda done, _: done >= half, total=len(self._paths))
        for name in ("worker-c", "worker-d", ""):
            kill = await self._kill(run)
            if kill.orphans:
                self._tell_kill(kill)
                return kill
            self._out.say(f"{kill.worker.name} was killed in between two leases; starting {name} to try once more")
            if name:
                self._workers.start(name)
        raise DemoError("three workers were killed, each in between two leases")

    async def _kill(self, run: RunHandle[Report]) -> Kill:
        """Kill the worker that holds most leases; the store tells which."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._workers.check()
            jobs = await self._store.jobs(run.id)
            held = Counter(worker.name for job in jobs for worker in self._workers.alive if worker.owns(job.worker))
            if held:
                name = held.most_common(1)[0][0]
                victim = next(worker for worker in self._workers.alive if worker.name == name)
                at = await self._store.now()
                self._workers.kill(victim)
                left = await self._store.jobs(run.id)
                orphans = [job for job in left if victim.owns(job.worker) and job.lease_id is not None]
                return Kill(worker=victim, at=at, orphans=orphans)
            if (await run.status()) is not RunStatus.RUNNING:
                break
            await asyncio.sleep(0.02)
        raise DemoError("no worker held a lease that could have been taken from it")

    def _tell_kill(self, kill: Kill) -> None:
        self._out.heading("2  kill -9")
        self._out.facts(
            [
                ("killed", f"{kill.worker.name}, pid {kill.worker.pid}, with signal {signal.SIGKILL.value} (SIGKILL)"),
                ("exit status", f"{kill.worker.process.returncode}"),
            ]
        )
        self._out.say("\nThe process is gone; the store has not noticed. What it has of it:")
        self._out.leases(kill.orphans, kill.at)

    # -- the take-over ---------------------------------------------------------------------------------------------

    async def _take_over(self, run: RunHandle[Report], kill: Kill) -> None:
        others = " and ".join(worker.name for worker in self._workers.alive)
        self._out.heading(f"3  {others} takes over")
        lost = {job.key for job in kill.orphans}
        await self._until(
            run, lambda _, active: not (active & lost), total=len(self._paths), jobs_too=True
        )
        reaped = {one.lease_id: one for one in await self._store.attempts(run.id)}
        done = {(one.stage, one.index): one for one in await self._store.stages(run.id)}
        takeovers = [
            Takeover(lost=job, reaped=reaped[job.lease_id], done=done[job.stage, job.index])
            for job in kill.orphans
            if job.lease_id in reaped and (job.stage, job.index) in done
        ]
        self._out.takeovers(takeovers, kill.at)
        for one in takeovers:
            if one.done.attempt < 2 or kill.worker.owns(one.done.worker):
                raise DemoError(f"{one.lost.key} was recorded by attempt {one.done.attempt} of {one.done.worker}")
        if len(takeovers) < len(kill.orphans):
            raise DemoError(f"of {len(kill.orphans)} lost jobs only {len(takeovers)} were taken over")
        last = max(one.done.finished_at for one in takeovers)
        self._out.good(f"all that was lost was made again {(last - kill.at).total_seconds():.1f} s after the kill")

    async def _until(
        self,
        run: RunHandle[Report],
        enough: Callable[[int, set[Any]], bool],
        *,
        total: int,
        jobs_too: bool = False,
    ) -> None:
        """Watch the run until there is enough to see, or it has ended."""
        deadline = time.monotonic() + PATIENCE
        state = await self._store.run_state(run.id)
        with self._out.bar(total, _read(state)) as bar:
            while time.monotonic() < deadline:
                self._workers.check()
                state = await self._store.run_state(run.id)
                active = {job.key for job in await self._store.jobs(run.id)} if jobs_too else set[Any]()
                bar.show(_read(state))
                if enough(_read(state), active):
                    return
                if state is not None and state.run.status in {RunStatus.FAILED, RunStatus.CANCELLED}:
                    raise DemoError(f"the run {state.run.status}: {state.run.failure}")
                await asyncio.sleep(0.05)
        raise DemoError(f"nothing more happened for {PATIENCE:g} s")
