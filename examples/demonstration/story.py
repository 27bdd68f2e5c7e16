"""The demo's story: a run, two workers, a kill, a take-over, and the proof from the store that nothing was lost."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import attrs

from demonstration.output import Output, Takeover
from demonstration.place import Corpus, Place, near
from demonstration.workers import WorkerProcess, Workers
from document_analysis import Report, analysis
from mainspring import Mainspring, RunHandle, RunStatus
from mainspring.ports.names import StageId
from mainspring.ports.records import Job, StageStatus

LEASE = 2.0
REAP = 0.5
READING = 3.0
"""Seconds that reading takes two workers which nobody kills."""

PATIENCE = 60.0
"""Seconds after which any part of the story is given up."""

READ = StageId("read")
KEY = "demo"


class StoryError(Exception):
    """What should have happened did not."""


def slots(corpus: Corpus) -> int:
    """How many files a worker reads at a time: so few that half of them can be seen."""
    return 2 if len(corpus.paths) >= 16 else 1


@attrs.frozen(kw_only=True)
class Kill:
    """A worker that was killed."""

    worker: WorkerProcess
    at: datetime  #: the store's time
    orphans: tuple[Job, ...]  #: the jobs the store still holds as leased to it


class Story:
    """One run from its start to its report."""

    def __init__(self, corpus: Corpus, place: Place, engine: Mainspring, workers: Workers, output: Output) -> None:
        self._corpus = corpus
        self._slots = slots(corpus)
        self._place = place
        self._engine = engine
        self._workers = workers
        self._out = output
        self._store = engine.parts.store

    async def play(self) -> None:
        """All of it.

        Raises:
            StoryError: something did not happen as it should.
            WorkerProcessError: a worker ended that nobody killed.
        """
        began = time.monotonic()
        run = await self._start()
        kill = await self._kill_half_way(run)
        await self._see_takeover(run, kill)
        await self._see_result(run, kill)
        self._out.farewell(self._place, run.id, time.monotonic() - began)

    async def _start(self) -> RunHandle[Report]:
        paths, config = list(self._corpus.paths), self._config()
        more = f"; {self._corpus.left_out} more are left out" if self._corpus.left_out else ""
        self._out.heading("Two workers analyse documents. One of them is killed half-way.")
        watching = (
            f"the demo pauses {self._pause() * 1000:.0f} ms before each file; its lease is {LEASE:g} s (the default is "
            f"30 s), and it looks for dead workers every {REAP:g} s (the default is 5 s)"
        )
        self._out.facts(
            ("documents", f"{len(paths)} files of {self._corpus.root}{more}"),
            ("workflow", "read (one instance per file) → keywords | readability | links | duplicates → report"),
            ("store", f"{near(self._place.database)} (SQLite, the embedded default)"),
            ("to watch it", watching),
        )
        self._out.heading(f"1. Two workers, {self._slots} file{'s' if self._slots > 1 else ''} at a time each")
        started = [self._workers.start(name) for name in ("worker-a", "worker-b")]

        async def both_are_there() -> bool:
            there = await self._store.workers()
            return all(any(worker.owns(one.id) for one in there) for worker in started)

        await self._until(None, both_are_there)
        run = await self._engine.start(analysis, paths, key=KEY, config=config)
        self._out.facts(
            ("started by", f"MAINSPRING_REAP={REAP:g} {' '.join(self._workers.command)}"),
            *[(worker.name, f"pid {worker.pid}") for worker in started],
            ("run", run.id),
        )
        return run

    def _pause(self) -> float:
        return min(1.0, READING * 2 * self._slots / len(self._corpus.paths))

    def _config(self) -> dict[str, Any]:
        return {
            "read": {"root": str(self._corpus.root), "pause": self._pause()},
            "report": {"file": str(self._place.report)},
        }

    # -- the kill --------------------------------------------------------------------------------------------------

    async def _kill_half_way(self, run: RunHandle[Report]) -> Kill:
        half = len(self._corpus.paths) // 2

        async def half_are_read() -> bool:
            return await self._read(run) >= half

        await self._until(run, half_are_read)
        for substitute in ("worker-c", "worker-d", None):
            kill = await self._kill(run)
            if kill.orphans:
                self._out.heading(f"2. kill -9 {kill.worker.pid}")
                await self._tell_kill(run, kill)
                return kill
            if substitute is not None:
                self._out.say(f"{kill.worker.name} died between two leases; {substitute} starts, for another try.")
                self._workers.start(substitute)
        raise StoryError("three workers were killed, and none of them held a lease")

    async def _kill(self, run: RunHandle[Report]) -> Kill:
        """Kill the worker that holds most leases, by what the store says."""
        held: Counter[str] = Counter()

        async def somebody_works() -> bool:
            held.update(await self._holders(run))
            return bool(held)

        await self._until(run, somebody_works)
        victim = max(self._workers.alive, key=lambda worker: held[worker.name])
        at = await self._store.now()
        self._workers.kill(victim)
        left = await self._store.jobs(run.id)
        orphans = tuple(job for job in left if job.lease_id is not None and victim.owns(job.worker))
        return Kill(worker=victim, at=at, orphans=orphans)

    async def _holders(self, run: RunHandle[Report]) -> Counter[str]:
        """How many leases each living worker holds."""
        jobs = [job for job in await self._store.jobs(run.id) if job.lease_id is not None]
        return Counter(worker.name for worker in self._workers.alive for job in jobs if worker.owns(job.worker))

    async def _tell_kill(self, run: RunHandle[Report], kill: Kill) -> None:
        worker, number = kill.worker, signal.SIGKILL
        readers = Counter(
            one.name
            for record in await self._store.stages(run.id, [READ])
            for one in self._workers.all
            if one.owns(record.worker)
        )
        shares = ", ".join(f"{count} by {name}" for name, count in sorted(readers.items())) or "it began the first"
        self._out.facts(
            ("when", f"{sum(readers.values())} of {len(self._corpus.paths)} files were read ({shares})"),
            ("who", f"{worker.name}, pid {worker.pid}; in the store {kill.orphans[0].worker}"),
            ("how", f"signal {number.value} ({number.name}); its exit status is {worker.process.returncode}"),
        )
        self._out.say("The process is gone. In the store its leases still hold, so nobody else may touch these jobs:")
        self._out.leases(kill.orphans, kill.at)

    # -- the take-over ---------------------------------------------------------------------------------------------

    async def _see_takeover(self, run: RunHandle[Report], kill: Kill) -> None:
        others = " and ".join(worker.name for worker in self._workers.alive)
        self._out.heading(f"3. {others} goes on, and takes over what {kill.worker.name} held")

        async def all_made_again() -> bool:
            return not any([await self._store.job(job.key) for job in kill.orphans])

        await self._until(run, all_made_again)
        reaped = {record.lease_id: record for record in await self._store.attempts(run.id)}
        done = {(record.stage, record.index): record for record in await self._store.stages(run.id)}
        seen: list[Takeover] = []
        for job in kill.orphans:
            lost = None if job.lease_id is None else reaped.get(job.lease_id)
            record = done.get((job.stage, job.index))
            if lost is None or record is None or record.attempt < 2 or kill.worker.owns(record.worker):
                raise StoryError(f"{job.key} was not taken over: lost {lost}, recorded {record}")
            by = next(worker.name for worker in self._workers.alive if worker.owns(record.worker))
            seen.append(Takeover(job=job, lost=lost, record=record, by=by))
        self._out.takeovers(seen, kill.at)
        last = max(one.record.finished_at for one in seen)
        took = (last - kill.at).total_seconds()
        self._out.say(
            f"All that {kill.worker.name} held was made again {took:.1f} s after the kill, from which times count. A "
            "reaped job waits for a short, random back-off, and for files that were due before it."
        )

    # -- the result ------------------------------------------------------------------------------------------------

    async def _see_result(self, run: RunHandle[Report], kill: Kill) -> None:
        async def completed() -> bool:
            return await run.status() is RunStatus.COMPLETED

        await self._until(run, completed)
        report = await run.result(PATIENCE)
        self._out.heading("4. The report")
        self._out.report(report)
        self._out.heading("5. What the store says")
        records = await self._store.stages(run.id)
        attempts = await self._store.attempts(run.id)
        expected = {(READ, index) for index in range(len(self._corpus.paths))}
        expected |= {(stage, 0) for stage in analysis.stages if stage != READ}
        self._out.check(
            {(one.stage, one.index) for one in records if one.status is StageStatus.COMPLETED} == expected,
            f"nothing was lost: {len(expected)} stage instances, {len(records)} of them completed "
            f"({len(self._corpus.paths)} read and {len(expected) - len(self._corpus.paths)} others)",
        )
        self._out.check(
            len(records) == len(expected),
            f"nothing was recorded twice: {len(records)} rows for {len(expected)} stage instances",
        )
        lost = {one.lease_id for one in attempts if kill.worker.owns(one.worker)}
        others = len(attempts) - len(lost)
        self._out.check(
            lost == {job.lease_id for job in kill.orphans},
            f"attempts that ended without a result: {len(lost)} that died with {kill.worker.name}"
            + (f", {others} given up because this machine is too busy for so short a lease" if others else ""),
        )
        again = await self._engine.start(analysis, list(self._corpus.paths), key=KEY, config=self._config())
        self._out.check(
            again.id == run.id and not again.created,
            f"the same start under the same key ({KEY!r}) gives this run, not another one",
        )
        self._out.check(
            not await self._store.jobs(run.id) and (await run.status()) is RunStatus.COMPLETED,
            f"the run is {await run.status()}, and no job is left",
        )
        self._out.check(
            self._place.report.is_file() and len(report.documents) + len(report.skipped) == len(self._corpus.paths),
            f"the report tells of every file: {len(report.documents)} analysed, {len(report.skipped)} left out",
        )
        for worker in self._workers.alive:
            status = worker.stop(grace=10.0)
            self._out.check(status == 0, f"{worker.name} was asked to stop (SIGTERM) and left with status {status}")
        if self._out.failed:
            raise StoryError("not all is as it should be")

    # -- watching --------------------------------------------------------------------------------------------------

    async def _read(self, run: RunHandle[Report]) -> int:
        """How many files are read."""
        state = await self._store.run_state(run.id)
        tally = None if state is None else state.stages.get(READ)
        return 0 if tally is None else tally.completed

    async def _until(self, run: RunHandle[Report] | None, enough: Callable[[], Awaitable[bool]]) -> None:
        """Watch until there is enough to see."""
        deadline = time.monotonic() + PATIENCE
        with self._out.bar(len(self._corpus.paths)) as bar:
            while not await enough():
                self._workers.check()
                if run is not None:
                    bar.show(await self._read(run))
                    if await run.status() in {RunStatus.FAILED, RunStatus.CANCELLED}:
                        raise StoryError(f"the run {await run.status()}: {(await run.describe()).failure}")
                if time.monotonic() > deadline:
                    raise StoryError(f"this took more than {PATIENCE:g} s; it is given up")
                await asyncio.sleep(0.03)
