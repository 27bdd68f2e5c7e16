"""The audit: what must hold at every commit, publication and effect, and at the end. Written apart from the kernel.

It sees committed rows only, each with what stood there before, and keeps its own books: who was given which lease when,
what was published, what a client was told. It knows nothing of guards.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from mainspring.hosts.simulation.books import (
    END_EVENTS,
    ENDED,
    EventKey,
    Net,
    complete_stages,
    is_told,
    line_of,
    name_of,
    net_of,
)
from mainspring.hosts.simulation.judges import Judges
from mainspring.hosts.simulation.lives import Life, current_life
from mainspring.hosts.simulation.world import World
from mainspring.kernel.plan import Plan
from mainspring.ports.errors import PortError
from mainspring.ports.names import Fingerprint, RunId, SignalId, SinkName
from mainspring.ports.records import Event, Job, JobKey, JobPhase, Run, RunStatus, Signal

NEXT: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({*ENDED, RunStatus.RUNNING, RunStatus.CANCELLING}),
    RunStatus.RUNNING: frozenset({*ENDED, RunStatus.CANCELLING}),
    RunStatus.CANCELLING: frozenset({RunStatus.CANCELLED, RunStatus.FAILED}),
}
"""Stated apart from the kernel's tables."""

ONCE = frozenset({"run.created", "run.started"})

SHAPING = frozenset({"runs", "jobs", "stages"})
"""Tables whose rows say where a run stands."""

STOPPED = frozenset({RunStatus.CANCELLING, RunStatus.CANCELLED, RunStatus.FAILED})
"""Where a run may stand once a client was told that its cancel was accepted."""


class Committed(Protocol):
    """One transaction's writes, as the store tells them once they are visible."""

    @property
    def writes(self) -> Sequence[Any]:
        """``Written`` in order."""
        ...


class Audit(Judges):
    """Judges runs, events, blobs and what clients were told; see ``Books`` for its arguments."""

    def __init__(self, world: World, plans: Mapping[Fingerprint, Plan]) -> None:
        super().__init__(world, plans)
        self._judges: dict[str, Callable[[Any, Any, Any, Net], None]] = {
            "runs": self._run_written,
            "jobs": self._job_written,
            "stages": self._stage_written,
            "attempts": self._attempt_written,
            "signals": self._signal_written,
            "outbox": self._outbox_written,
            "dead letters": self._dead_letter_written,
        }

    # Commits.

    def committed(self, transaction: Committed) -> None:
        """A transaction became visible."""
        touched: dict[RunId, None] = {}
        judges = self._judges
        net = net_of(transaction.writes, judges)
        for table, key, before, after in net:
            judges[table](key, before, after, net)
            if table in SHAPING:
                touched[key if table == "runs" else key.run_id] = None
        for run_id in touched:
            self._run_as_a_whole(run_id)
        if self._world.timeline is not None:
            self._tell(net)

    def _run_written(self, run_id: RunId, before: Run | None, after: Run | None, net: Net) -> None:
        self.expect(after is not None, "run {} was lost", run_id)
        if after is None:
            return
        self.runs[run_id] = after
        for payload in (after.input, after.config, after.metadata, after.output):
            self._names(payload, f"run {run_id}")
        if before is None:
            self.open += after.status not in ENDED
            if after.key is not None:
                named = self.keys.setdefault((after.workflow, after.key), run_id)
                self.expect(named == run_id, "key {!r} started two runs: {} and {}", after.key, named, run_id)
            return
        self.expect(before.status not in ENDED, "run {} had ended as {} and was written again", run_id, before.status)
        legal = after.status is before.status or after.status in NEXT.get(before.status, ())
        self.expect(legal, "run {} went from {} to {}", run_id, before.status, after.status)
        self.expect(after.revision >= before.revision, "run {}: its revision went back", run_id)
        self.open += (after.status not in ENDED) - (before.status not in ENDED)
        if after.status in ENDED and before.status not in ENDED:
            self._run_ended(after, net)

    def _run_ended(self, run: Run, net: Net) -> None:
        """A run ends as was asked of it, in time, and its end is told of in the same commit."""
        told = is_told(net, run.id, f"run.{run.status}")
        self.expect(told, "run {} {} without its event", run.id, run.status)
        if run.failure is not None and run.failure.stage is None and run.failure.code == "timed_out":
            late = run.deadline is not None and run.deadline <= self._world.time.newest
            self.expect(late, "run {} timed out before its deadline", run.id)
        expected = self.expected.get(run.key or "")
        if expected is not None:
            output = self.value(run.output)
            self.expect(
                expected(run, output),
                "run {} of {} {}, which it must not: {!r}",
                run.id,
                run.workflow,
                run.status,
                output,
            )

    def _run_as_a_whole(self, run_id: RunId) -> None:
        run = self.runs.get(run_id)
        plan = self._plan(run_id)
        if run is None or plan is None:
            return
        jobs = self.jobs[run_id]
        if run.status in ENDED:
            self.expect(not jobs, "run {} has ended and has jobs", run_id)
        else:
            self.expect(jobs, "run {} is {} and has no job: it would never end", run_id, run.status)
        ended = self.stages[run_id]
        complete = complete_stages(plan, ended, jobs)
        for key in jobs:
            if not all(above in complete for above in plan.stages[key.stage].after):
                self.violate(f"{name_of(key)} has a job before its upstream completed")
        self.checks += 1
        if run.status is RunStatus.COMPLETED:
            missing = [stage for stage in plan.stages if stage not in complete]
            self.expect(not missing, "run {} completed without {}", run_id, missing)
        self._bounds(plan, jobs)

    def _bounds(self, plan: Plan, jobs: Mapping[JobKey, Job]) -> None:
        for stage in plan.stages.values():
            if stage.mapped and stage.max_parallel is not None:
                going = sum(job.stage == stage.id and job.phase is not JobPhase.PARKED for job in jobs.values())
                self.expect(going <= stage.max_parallel, "{}: {} instances at once", stage.id, going)

    # Events.

    def _outbox_written(self, key: EventKey, before: Any, after: Any, _: Net) -> None:
        sink, run_id, seq = key
        if before is None and after is not None:
            event: Event = after.event
            told = self.events[run_id]
            if seq == len(told) + 1:
                self._told(event)
            else:
                real = 0 < seq <= len(told) and _same(told[seq - 1], event)
                self.expect(real, "run {}: event {} after {}", run_id, seq, len(told))
                again = key in self.given and key not in self.dead
                self.expect(not again, "event {}/{} was written twice for the sink {}", run_id, seq, sink)
            self.dead.discard(key)
            self.given.add(key)
            self.unpublished[key] = event
        elif after is None:
            published = seq in self.published[sink, run_id]
            self.expect(published or key in self.dead, "event {}/{} was dropped before {} took it", run_id, seq, sink)
            self.unpublished.pop(key, None)

    def _told(self, event: Event) -> None:
        """An event is new, whatever sinks get it."""
        run_id, told = event.run_id, self.events[event.run_id]
        ends = [one.type for one in told if one.type in END_EVENTS]
        self.expect(not ends, "run {}: {} after {}", run_id, event.type, ends)
        once = event.type not in ONCE or all(one.type != event.type for one in told)
        self.expect(once, "run {}: {} was told twice", run_id, event.type)
        if event.type in END_EVENTS:
            run = self.runs.get(run_id)
            as_told = run is not None and event.type == f"run.{run.status}"
            self.expect(as_told, "run {}: {} was told of a run that did not end so", run_id, event.type)
        if event.type == "run.signalled":
            again = any(one.type == event.type and one.data == event.data for one in told)
            self.expect(not again, "run {}: a signal was told of twice", run_id)
        told.append(event)

    def _dead_letter_written(self, key: EventKey, _: Any, after: Any, __: Net) -> None:
        if after is not None:
            self.dead.add(key)
            self.buried.add(key)

    def taken(self, sink: SinkName, events: Sequence[Event]) -> None:
        """A sink took events."""
        for event in events:
            told = self.events[event.run_id]
            real = 0 < event.seq <= len(told) and _same(told[event.seq - 1], event)
            self.expect(real, "{} of run {} was published, yet never committed", event.type, event.run_id)
            seen = self.published[sink, event.run_id]
            if event.seq in seen:
                self._world.counts["event published again"] += 1
                continue
            earlier = ((sink, event.run_id, n) for n in range(1, event.seq) if n not in seen)
            ordered = all(key in self.buried or key not in self.given for key in earlier)
            self.expect(ordered, "event {} was published to {} before an earlier one of its run", event.id, sink)
            seen.append(event.seq)

    # Blobs.

    def blob_changed(self, key: str, content: bytes | None) -> None:
        """A blob was stored, or (None) deleted: then no row may name it."""
        if content is not None:
            self.blobs[key] = content
            self._world.counts["blob written"] += 1
            return
        self.blobs.pop(key, None)
        self._world.counts["blob collected"] += 1
        run_id = RunId(key.partition("/")[0])
        run = self.runs.get(run_id)
        named = [job.input for job in self.jobs[run_id].values()]
        named += [record.output for record in self.stages[run_id].values()]
        named += [] if run is None else [run.input, run.config, run.output, run.metadata]
        self.expect("@" + key not in named, "the blob {} was deleted, and a row names it", key)

    # Signals.

    def _signal_written(self, key: tuple[RunId, SignalId], before: Signal | None, after: Signal | None, _: Net) -> None:
        self.expect(after is not None, "signal {} was lost", key)
        self.expect(before is None, "signal {} was received twice", key)
        if after is not None:
            self.signals[key] = after

    # What clients were told.

    def acknowledged(self, run_id: RunId) -> None:
        """A client was told that this run was started."""
        self.expect(run_id in self.runs, "run {} was acknowledged, and is not there", run_id)

    def refused(self, run_id: RunId, what: str) -> None:
        """A client was told that what it asked of the run comes too late."""
        status = self.runs[run_id].status
        self.expect(status in ENDED, "{} of run {} was refused, and it is {}", what, run_id, status)

    def cancel_accepted(self, run_id: RunId) -> None:
        """A client was told that the run ends, or has ended, as cancelled."""
        status = self.runs[run_id].status
        self.expect(status in STOPPED, "the cancel of run {} was accepted, and it is {}", run_id, status)

    def signal_accepted(self, run_id: RunId, signal_id: SignalId) -> None:
        """A client was told that the run has the signal."""
        told = sum(
            event.type == "run.signalled" and f'"id":"{signal_id}"' in event.data for event in self.events[run_id]
        )
        there = told == 1 and (not self.tells_all or (run_id, signal_id) in self.signals)
        self.expect(there, "signal {} of run {} was accepted, and is not there", signal_id, run_id)

    def process_failed(self, life: Life, error: BaseException) -> None:
        """A process ended by an error: one that no fault explains is a mistake of ours."""
        cause = error.__cause__ or error
        self.expect(isinstance(cause, PortError | TimeoutError), "{} ended by a mistake: {!r}", life.name, cause)

    # The end.

    @property
    def settled(self) -> bool:
        """Whether every run has ended and every event was published."""
        return self.open == 0 and not self.unpublished

    def at_the_end(self) -> None:
        """Liveness, after the world has healed and had its time."""
        for run_id, run in self.runs.items():
            self.expect(run.status in ENDED, "run {} is still {}: {}", run_id, run.status, self._waits_for(run_id))
            if self.events[run_id]:
                ends = [event.type for event in self.events[run_id] if event.type in END_EVENTS]
                self.expect(len(ends) == (run.status in ENDED), "run {} is {} and told of {}", run_id, run.status, ends)
        for sink, run_id, seq in self.unpublished:
            self.violate(f"event {run_id}/{seq} was never published to {sink}")

    def _waits_for(self, run_id: RunId) -> str:
        return "; ".join(
            f"{job.stage}[{job.index}] {job.phase} attempt {job.attempt} available {job.available_at} leased by"
            f" {job.worker} until {job.lease_until}"
            for job in self.jobs[run_id].values()
        )

    def _tell(self, net: Net) -> None:
        for table, key, before, after in net:
            told = line_of(table, key, before, after)
            if told:
                self._world.saw(f"  committed: {told}", current_life())


def _same(told: Event, taken: Event) -> bool:
    """Whether it is the event that was committed; how often it was tried does not matter."""
    return (told.id, told.type, told.at, told.data) == (taken.id, taken.type, taken.at, taken.data)
