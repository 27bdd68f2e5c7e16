"""The world of the kernel's state machine: a store, processes that die between any two port calls, and what must hold.

Every commit is watched: what it changed must be what its guards allow. After every rule all rows are checked.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import attrs

from mainspring.adapters.memory import writes
from mainspring.adapters.memory.clock import ManualClock
from mainspring.adapters.memory.ids import SeededIds
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.memory.store import MemoryStore
from mainspring.kernel.advance import EMPTY_MAP
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.change import Change
from mainspring.ports.errors import StaleChange, UnavailableError, UnknownOutcomeError
from mainspring.ports.names import LeaseId, RunId, StageId
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Event,
    Job,
    JobKey,
    JobPhase,
    Run,
    RunStatus,
    StageRecord,
    StageStatus,
    StageTally,
)
from mainspring.ports.sinks import Sink
from tests.kernel_records import drive
from tests.property.kernel_plans import Shape

T = TypeVar("T")

LEASE_LENGTH = timedelta(seconds=30)
TERMINAL_EVENTS = {"run.completed", "run.failed", "run.cancelled"}

Mutation = Callable[[MemoryStore, Change], Change]


class Crash(BaseException):
    """The process dies at this very point."""


@attrs.frozen
class Fault:
    """What happens at the ``at``-th point of its kind that a command passes.

    ``stale`` refuses its first ``at`` commits.
    """

    kind: str  #: crash, unavailable, meanwhile (any point) · stale, unknown, unknown_written, between (a commit)
    at: int
    pick: int = 0  #: which deed of another process comes in between


@attrs.frozen
class Snapshot:
    """All rows at one moment."""

    runs: dict[RunId, Run]
    jobs: dict[JobKey, Job]
    stages: dict[JobKey, StageRecord]
    signals: Counter[RunId]


class Mutated(MemoryPersistence):
    """Persistence to which Changes come mutated: what a kernel with a mistake in it would write."""

    mutation: Mutation | None = None

    async def commit(self, change: Change) -> None:
        mutation = self.mutation
        if mutation is None:
            await super().commit(change)
        else:  # mutated under the lock, after whatever comes in between
            await self._at("commit", lambda store: writes.commit(store, mutation(store, change)))


class World:
    """One store and all that was ever true of it."""

    def __init__(self, mutation: Mutation | None = None) -> None:
        self.clock = ManualClock()
        self.ids = SeededIds(self.clock)
        self.store = Mutated(self.clock, self.ids, point=self._point)
        self.store.mutation = mutation
        self.calm = self.store.another()
        drive(self.calm.add_sink(Sink()))
        self.tables = self.store.store
        self.dispatcher = Dispatcher(self.store, self.clock, self.ids)
        self.shapes: dict[RunId, Shape] = {}
        self.meanwhile: Callable[[int], None] = lambda _: None
        self.cancels: set[RunId] = set()  #: runs that anybody ever asked to stop
        self.keys: dict[str, RunId] = {}
        self.delivered: dict[RunId, list[int]] = defaultdict(list)
        self.unparked = 0
        self.interrupted: set[LeaseId | None] = set()  #: leases of whoever is interrupted meanwhile
        self.struck: Counter[str] = Counter()
        self._fault: Fault | None = None
        self._passed: Counter[str] = Counter()
        self._before: Snapshot | None = None
        self._acting: list[Job] = []
        self._known = Snapshot({}, {}, {}, Counter())
        self._events: dict[tuple[RunId, int], Event] = {}

    # Running commands.

    def run(self, command: Coroutine[Any, Any, T], fault: Fault | None = None) -> T:
        """Drive a command of some process through this fault.

        Raises:
            Crash: the process died.
            PortError: the command said so.
        """
        self._fault, self._passed = fault, Counter()
        try:
            return drive(command)
        finally:
            self._fault = None

    @contextmanager
    def acting(self, *jobs: Job) -> Generator[None]:
        """What happens inside is done by the holder of these leases."""
        self._acting = list(jobs)
        try:
            yield
        finally:
            self._acting = []

    async def _point(self, name: str) -> None:
        fault = self._fault
        self._passed["any"] += 1
        self._passed[name] += 1
        if name == "commit:after":
            self._watch()
        if fault is not None:
            self._strike(fault, name)
        if name == "commit:before":
            self._before = self.snapshot()

    def _strike(self, fault: Fault, name: str) -> None:
        if fault.kind == "stale" and name == "commit:before" and self._passed[name] <= fault.at:
            self.struck[fault.kind] += 1
            raise StaleChange
        wanted = _AT_COMMITS.get(fault.kind, "any")
        if fault.kind == "stale" or wanted not in {"any", name} or self._passed[wanted] != fault.at:
            return
        self._fault = None
        self.struck[fault.kind] += 1
        match fault.kind:
            case "crash":
                raise Crash
            case "unavailable":
                # after a commit, a store that fails leaves its outcome unknown
                raise UnknownOutcomeError if name == "commit:after" else UnavailableError
            case "unknown" | "unknown_written":
                raise UnknownOutcomeError
            case _:
                acting, self._acting = self._acting, []
                self.interrupted = {job.lease_id for job in acting}
                self.meanwhile(fault.pick)
                self._acting = acting

    # Watching commits.

    def snapshot(self) -> Snapshot:
        """All rows now."""
        return Snapshot(
            {run.id: run for run in self.tables.runs.rows()},
            {job.key: job for job in self.tables.jobs.rows()},
            {JobKey(row.run_id, row.stage, row.index): row for row in self.tables.stages.rows()},
            Counter(signal.run_id for signal in self.tables.signals.rows()),
        )

    def _watch(self) -> None:
        before, after = self._before, self.snapshot()
        if before is None or before == after:
            return
        for run_id, run in before.runs.items():
            if run.status in TERMINAL_RUN_STATUSES:
                assert after.runs[run_id] == run, "a run that had ended changed"
                assert after.signals[run_id] == before.signals[run_id], "a run that had ended got a message"
        for key in after.stages.keys() - before.stages.keys():
            self._watch_end(before, after, key)
        for job in self._acting:
            self._watch_actor(job, before, after)
        for key, old in before.jobs.items():
            new = after.jobs.get(key)
            if new is not None:
                self.unparked += old.phase is JobPhase.PARKED and new.phase is JobPhase.READY
            if old.lease_id is not None and new is not None and new.lease_id is None:
                held = {job.lease_id for job in self._acting}
                over = old.lease_until is not None and old.lease_until < self.clock.now()
                assert old.lease_id in held or over, "a live lease was taken away"
            if old.lease_id is None and new is not None and new.wakes > old.wakes:
                assert new.available_at is not None, "a wake-up left a job asleep"

    def _watch_end(self, before: Snapshot, after: Snapshot, key: JobKey) -> None:
        record = after.stages[key]
        if key.index == EMPTY_MAP:
            return
        job = before.jobs.get(key)
        if job is not None:
            # in one fold, a job may be moved by one finish and ended by another: both its holder's
            mine = job.lease_id in {held.lease_id for held in self._acting}
            assert mine or record.attempt == job.attempt, "a stage ended otherwise than its job stood"
            if job.lease_id is not None and record.status is StageStatus.CANCELLED:
                gone = after.runs[key.run_id].status is RunStatus.FAILED
                told = before.runs[key.run_id].status is RunStatus.CANCELLING
                assert gone or told, "a leased job was cancelled behind its worker's back"
        else:
            assert record.status is StageStatus.CANCELLED, "a stage ended that had no job"

    def _watch_actor(self, mine: Job, before: Snapshot, after: Snapshot) -> None:
        old, new = before.jobs.get(mine.key), after.jobs.get(mine.key)
        if old is not None and old.lease_id in {job.lease_id for job in self._acting}:
            # its own, or claimed again by the same worker after the lease was lost
            mine = next(job for job in self._acting if job.lease_id == old.lease_id)
            asleep = new is not None and new.lease_id is None and new.attempt == 0
            if asleep and new is not None and (new.available_at is None or new.available_at > self.clock.now()):
                assert old.wakes == mine.wakes, "a body was put to sleep over a wake-up that it had not seen"
            return
        ended = after.runs[mine.run_id].status in TERMINAL_RUN_STATUSES
        if old is None:
            key = mine.key
            assert (key in after.stages) == (key in before.stages), "a fenced worker ended a stage"
        elif not ended:
            assert new is not None, "a fenced worker deleted a job"
            same = attrs.evolve(new, phase=old.phase, available_at=old.available_at)
            assert same == old, "a fenced worker moved a job"

    # What must hold after every rule.

    def check(self) -> None:
        """Every invariant of the design."""
        now = self.snapshot()
        self._check_nothing_changed_that_is_final(now)
        self._check_events(now)
        stages: dict[RunId, dict[StageId, list[StageRecord]]] = defaultdict(lambda: defaultdict(list))
        jobs: dict[RunId, dict[StageId, list[Job]]] = defaultdict(lambda: defaultdict(list))
        for record in now.stages.values():
            stages[record.run_id][record.stage].append(record)
        for job in now.jobs.values():
            jobs[job.run_id][job.stage].append(job)
            self._check_job(job, now.runs[job.run_id])
        for run in now.runs.values():
            self._check_run(run, stages[run.id], jobs[run.id])
        self._known = now

    def _check_nothing_changed_that_is_final(self, now: Snapshot) -> None:
        assert self._known.runs.keys() <= now.runs.keys(), "a run was lost"
        assert (
            self.keys.items() <= {key: run_id for (_, key), run_id in self.tables.run_index.by_key.items()}.items()
        ), "a key names another run"
        for run_id, run in self._known.runs.items():
            assert run.revision <= now.runs[run_id].revision
        for key, record in self._known.stages.items():
            assert now.stages[key] == record, "an ended stage changed"

    def _check_job(self, job: Job, run: Run) -> None:
        retry = self.shapes[run.id].plan.stages[job.stage].retry
        assert job.max_attempts == retry.max_attempts
        assert 0 <= job.attempt <= job.max_attempts, "more attempts than allowed"
        assert job.lease_id is None or job.attempt >= 1
        assert JobKey(job.run_id, job.stage, job.index) not in self._known.stages, "an ended stage has a job"
        if run.status is RunStatus.CANCELLING and job.lease_id is None and job.phase is JobPhase.READY:
            due = job.available_at
            assert due is not None, "a job of a run that is being cancelled waits for nothing"
            assert due <= self.clock.now(), "a cancel waits out a back-off"

    def _check_run(self, run: Run, stages: dict[StageId, list[StageRecord]], jobs: dict[StageId, list[Job]]) -> None:
        plan = self.shapes[run.id].plan
        state = drive(self.calm.run_state(run.id))
        assert state is not None
        told = {at: tally for at, tally in state.stages.items() if tally != StageTally()}
        assert told == {at: _tally(stages[at], jobs[at]) for at in {**stages, **jobs}}, "tallies differ from the rows"
        alive = sum(map(len, jobs.values()))
        if run.status in TERMINAL_RUN_STATUSES:
            assert alive == 0, "a run that has ended has jobs"
            assert run.finished_at is not None
        else:
            assert alive > 0, "a run has neither ended nor a job"
            assert run.finished_at is None
        assert (run.status in {RunStatus.RUNNING, RunStatus.COMPLETED}) <= (run.started_at is not None)
        for at, rows in jobs.items():
            self._check_bound(plan.stages[at].max_parallel, rows)
            for above in plan.stages[at].after:
                ended = stages[above]
                assert ended, "a stage has a job before its upstream ended"
                assert not jobs.get(above), "a stage has a job before its upstream ended"
                assert all(record.status is StageStatus.COMPLETED for record in ended)
        for records in list(stages.values()):
            for record in records:
                if record.status is StageStatus.FAILED and record.failure is not None:
                    final = record.failure.code == "final"
                    assert final or record.attempt == plan.stages[record.stage].retry.max_attempts
        self._check_end(run, [record for records in stages.values() for record in records])

    def _check_bound(self, bound: int | None, rows: list[Job]) -> None:
        parked = sum(job.phase is JobPhase.PARKED for job in rows)
        going = len(rows) - parked
        if bound is not None:
            assert going <= bound, "more instances at once than the bound"
            assert parked == 0 or going == bound, "parked instances that nobody will free"
        else:
            assert parked == 0

    def _check_end(self, run: Run, records: list[StageRecord]) -> None:
        statuses = {record.status for record in records}
        match run.status:
            case RunStatus.CANCELLED | RunStatus.CANCELLING:
                assert run.id in self.cancels, "a run was cancelled that nobody asked to stop"
            case RunStatus.FAILED:
                late = run.failure is not None and run.failure.code == "timed_out"
                assert (late and run.deadline is not None) or StageStatus.FAILED in statuses
            case RunStatus.COMPLETED:
                assert statuses <= {StageStatus.COMPLETED}
                self._check_outputs(run, records)
            case _:
                assert statuses <= {StageStatus.COMPLETED}

    def _check_outputs(self, run: Run, records: list[StageRecord]) -> None:
        shape = self.shapes[run.id]
        expected = shape.expected()
        got = {(row.stage, row.index): row.output for row in records if row.index != EMPTY_MAP}
        assert got == expected, "a run put out something else"
        last = shape.plan.outputs
        single = len(last) == 1 and not shape.plan.stages[last[0]].mapped
        assert run.output == (expected[last[0], 0] if single else None)

    # Events.

    def _check_events(self, now: Snapshot) -> None:
        waiting = {(row.event.run_id, row.event.seq): row.event for row in self.tables.outbox.rows()}
        letters = [row.letter.event for row in self.tables.dead_letters.rows()]
        dead = {(event.run_id, event.seq): event for event in letters}
        self._events |= waiting | dead
        by_run: dict[RunId, list[Event]] = defaultdict(list)
        for key in sorted(self._events):
            by_run[key[0]].append(self._events[key])
            published = key[1] in self.delivered[key[0]]
            assert key in waiting or key in dead or published, "an event disappeared"
        for run in now.runs.values():
            types = [event.type for event in by_run[run.id]]
            assert [event.seq for event in by_run[run.id]] == list(range(1, len(types) + 1)), "events have gaps"
            assert len(types) == self.tables.counted(run.id).events
            ends = [told for told in types if told in TERMINAL_EVENTS]
            ended = run.status in TERMINAL_RUN_STATUSES
            assert ends == ([f"run.{run.status}"] if ended else []), "terminal events differ from the status"
            assert types[0] == "run.created"
            assert types.count("run.started") == (run.started_at is not None)

    def deliver(self, event: Event) -> None:
        """The sink got the event: first publications of a run come in order."""
        self._events[event.run_id, event.seq] = event
        seen = self.delivered[event.run_id]
        if event.seq not in seen:
            letters = [row.letter.event for row in self.tables.dead_letters.rows()]
            dead = {letter.seq for letter in letters if letter.run_id == event.run_id}
            skipped = set(range(1, event.seq)) - set(seen) - dead
            assert not skipped, "an event overtook another one of its run"
            seen.append(event.seq)


#: faults that strike at commits; all others at any point
_AT_COMMITS = {
    "unknown": "commit:before",
    "unknown_written": "commit:after",
    "between": "commit:before",
}


def _tally(records: list[StageRecord], jobs: list[Job]) -> StageTally:
    counts = Counter(str(record.status) for record in records)
    parked = sum(job.phase is JobPhase.PARKED for job in jobs)
    return StageTally(active=len(jobs) - parked, parked=parked, **counts)
