"""What is read off jobs, stages, runs and events without walking them: kept as each row changes."""

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from enum import StrEnum
from heapq import nsmallest
from itertools import islice, takewhile
from operator import attrgetter

import attrs

from mainspring.adapters.memory.tables import Ordered
from mainspring.ports.names import Route, RunId, SinkName, StageId
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Event,
    Job,
    JobKey,
    JobPhase,
    Run,
    StageRecord,
    StageStatus,
    StageTally,
)

DueEntry = tuple[datetime, RunId, StageId, int]
"""When a job is due, and its key."""


class Tallies:
    """How many instances of each stage of each run stand where."""

    def __init__(self) -> None:
        self._counts: dict[RunId, dict[StageId, dict[StrEnum, int]]] = {}

    def of(self, run_id: RunId) -> dict[StageId, StageTally]:
        """A fresh mapping of the run's stages that have at least one row."""
        return {
            stage: StageTally(
                completed=count.get(StageStatus.COMPLETED, 0),
                failed=count.get(StageStatus.FAILED, 0),
                cancelled=count.get(StageStatus.CANCELLED, 0),
                skipped=count.get(StageStatus.SKIPPED, 0),
                active=count.get(JobPhase.READY, 0),
                parked=count.get(JobPhase.PARKED, 0),
            )
            for stage, count in self._counts.get(run_id, {}).items()
        }

    def stage_changed(self, before: StageRecord | None, after: StageRecord | None) -> None:
        """Watch the table of ended stages."""
        if before is not None:
            self._count(before.run_id, before.stage, before.status, -1)
        if after is not None:
            self._count(after.run_id, after.stage, after.status, 1)

    def job_changed(self, before: Job | None, after: Job | None) -> None:
        """Watch the table of jobs."""
        if before is not None and after is not None and before.stage == after.stage and before.phase is after.phase:
            return  # it stays where it was counted
        if before is not None:
            self._count(before.run_id, before.stage, _standing(before), -1)
        if after is not None:
            self._count(after.run_id, after.stage, _standing(after), 1)

    def _count(self, run_id: RunId, stage: StageId, standing: StrEnum, by: int) -> None:
        stages = self._counts.setdefault(run_id, {})
        count = stages.setdefault(stage, {})
        there = count.get(standing, 0) + by
        if there:
            count[standing] = there
            return
        del count[standing]
        if not count:
            del stages[stage]
        if not stages:
            del self._counts[run_id]


def _standing(job: Job) -> StrEnum:
    return JobPhase.PARKED if job.phase is JobPhase.PARKED else JobPhase.READY


_NONE: dict[int, Ordered[DueEntry]] = {}


class JobIndex:
    """Jobs by run, claimable ones by route, priority and due time, leased ones by the end of their lease."""

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies
        self._by_run: dict[RunId, dict[JobKey, Job]] = {}
        self._waiting: dict[Route, dict[int, Ordered[DueEntry]]] = {}
        self._parked: dict[tuple[RunId, StageId], Ordered[tuple[int]]] = {}
        self.leased: Ordered[DueEntry] = Ordered()  #: the first element is ``lease_until``

    def of(self, run_id: RunId) -> list[Job]:
        """The run's jobs, by key."""
        return sorted(self._by_run.get(run_id, {}).values(), key=attrgetter("stage", "index"))

    def parked(self, run_id: RunId, stage: StageId, count: int) -> list[JobKey]:
        """The lowest parked instances of the stage."""
        parked = self._parked.get((run_id, stage), ())
        return [JobKey(run_id, stage, index) for (index,) in islice(parked, max(count, 0))]

    def due(self, routes: Collection[Route], limit: int, now: datetime) -> list[JobKey]:
        """Up to ``limit`` claimable jobs: highest priority first, then the earliest due, then the key."""
        candidates = [
            (-priority, entry)
            for route in set(routes)
            for priority, waiting in self._waiting.get(route, _NONE).items()
            for entry in islice(takewhile(lambda entry: entry[0] <= now, waiting), limit)
        ]
        if not candidates:  # what most claims find
            return []
        return [JobKey(run_id, stage, index) for _, (_, run_id, stage, index) in nsmallest(limit, candidates)]

    def next_due(self, routes: Collection[Route]) -> datetime | None:
        """The earliest due time of any waiting job of these routes, past ones included."""
        firsts = [w.first() for route in set(routes) for w in self._waiting.get(route, _NONE).values()]
        return min((entry[0] for entry in firsts if entry is not None), default=None)

    def ready(self, now: datetime, most: int) -> dict[Route, tuple[int, int, datetime | None]]:
        """Of each route: how many jobs are due, how many will be, each at most so many; since when the first is due."""
        found: dict[Route, tuple[int, int, datetime | None]] = {}
        for route, priorities in self._waiting.items():
            levels = list(priorities.values())
            due = sum(level.count_until(now) for level in levels)
            later = sum(map(len, levels)) - due
            if due or later:
                first = min(entry[0] for level in levels if (entry := level.first()) is not None)
                found[route] = (min(due, most), min(later, most), first if due else None)
        return found

    def changed(self, before: Job | None, after: Job | None) -> None:
        """Watch the table of jobs."""
        self._tallies.job_changed(before, after)
        if before is not None:
            self._forget(before)
        if after is not None:
            self._note(after)

    def _forget(self, job: Job) -> None:
        jobs = self._by_run[job.run_id]
        del jobs[job.key]
        if not jobs:
            del self._by_run[job.run_id]
        if job.phase is JobPhase.PARKED:
            self._parked[job.run_id, job.stage].remove((job.index,))
            if not self._parked[job.run_id, job.stage]:
                del self._parked[job.run_id, job.stage]
        if job.lease_until is not None:
            self.leased.remove((job.lease_until, job.run_id, job.stage, job.index))
        elif is_waiting(job) and job.available_at is not None:
            priorities = self._waiting[job.route]
            priorities[job.priority].remove((job.available_at, job.run_id, job.stage, job.index))
            if not priorities[job.priority]:
                del priorities[job.priority]

    def _note(self, job: Job) -> None:
        self._by_run.setdefault(job.run_id, {})[job.key] = job
        if job.phase is JobPhase.PARKED:
            self._parked.setdefault((job.run_id, job.stage), Ordered()).add((job.index,))
        if job.lease_until is not None:
            self.leased.add((job.lease_until, job.run_id, job.stage, job.index))
        elif is_waiting(job) and job.available_at is not None:
            priorities = self._waiting.setdefault(job.route, {})
            priorities.setdefault(job.priority, Ordered()).add((job.available_at, job.run_id, job.stage, job.index))


def is_waiting(job: Job) -> bool:
    """Whether the job is claimable once it is due."""
    return job.phase is JobPhase.READY and job.lease_id is None


class RunIndex:
    """Runs by id, by workflow and key, and active ones by their deadline."""

    def __init__(self) -> None:
        self.ids: Ordered[tuple[RunId]] = Ordered()
        self.by_key: dict[tuple[str, str], RunId] = {}
        self.deadlines: Ordered[tuple[datetime, RunId]] = Ordered()

    def changed(self, before: Run | None, after: Run | None) -> None:
        """Watch the table of runs."""
        if before is not None:
            if after is None:
                self.ids.remove((before.id,))
                if before.key is not None:
                    del self.by_key[before.workflow, before.key]
            if before.deadline is not None and before.status not in TERMINAL_RUN_STATUSES:
                self.deadlines.remove((before.deadline, before.id))
        if after is not None:
            if before is None:
                self.ids.add((after.id,))
                if after.key is not None:
                    self.by_key[after.workflow, after.key] = after.id
            if after.deadline is not None and after.status not in TERMINAL_RUN_STATUSES:
                self.deadlines.add((after.deadline, after.id))


EventKey = tuple[SinkName, RunId, int]
"""One sink's copy of an event."""


@attrs.frozen(kw_only=True)
class Outgoing:
    """An event in the outbox, for one sink."""

    sink: SinkName
    ordinal: int  #: the order of commits, over all runs; the same for every sink
    event: Event
    until: datetime | None = None  #: its run's events wait until then

    @property
    def key(self) -> EventKey:
        """Whose it is and which."""
        return (self.sink, self.event.run_id, self.event.seq)


class OutboxIndex:
    """Unpublished events by sink and age, by sink and run, and how many copies wait of each run's."""

    def __init__(self) -> None:
        self._by_age: dict[SinkName, Ordered[tuple[int, RunId, int]]] = {}
        self._by_run: dict[tuple[SinkName, RunId], Ordered[tuple[int]]] = {}
        self._count: Counter[RunId] = Counter()

    def by_age(self, sink: SinkName) -> Iterator[EventKey]:
        """Key of every event of the sink, the oldest first."""
        return ((sink, run_id, seq) for _, run_id, seq in self._by_age.get(sink, ()))

    def oldest(self, sink: SinkName, run_id: RunId) -> int | None:
        """The number of the run's oldest event for the sink, or None."""
        first = self._by_run[sink, run_id].first() if (sink, run_id) in self._by_run else None
        return None if first is None else first[0]

    def waits(self, run_id: RunId) -> bool:
        """Whether any sink is still to get an event of the run."""
        return run_id in self._count

    def changed(self, before: Outgoing | None, after: Outgoing | None) -> None:
        """Watch the outbox."""
        if before is not None:
            sink, run_id, seq = before.key
            self._by_age[sink].remove((before.ordinal, run_id, seq))
            self._by_run[sink, run_id].remove((seq,))
            if not self._by_run[sink, run_id]:
                del self._by_run[sink, run_id]
            self._count[run_id] -= 1
            if not self._count[run_id]:
                del self._count[run_id]
        if after is not None:
            sink, run_id, seq = after.key
            self._by_age.setdefault(sink, Ordered()).add((after.ordinal, run_id, seq))
            self._by_run.setdefault((sink, run_id), Ordered()).add((seq,))
            self._count[run_id] += 1
