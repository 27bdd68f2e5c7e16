"""The audit: what must hold at every commit, publication and effect, and at the end. Written apart from the kernel.

It sees committed rows only, each with what stood there before, and keeps its own books: who was given which lease when,
what was published, what a client was told. It knows nothing of guards.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from mainspring.hosts.simulation.books import (
    END_EVENTS,
    ENDED,
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
from mainspring.ports.names import Fingerprint, RunId, SignalId
from mainspring.ports.records import Event, Job, JobKey, JobPhase, Run, RunStatus, Signal

NEXT: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({*ENDED, RunStatus.RUNNING, RunStatus.CANCELLING}),
    RunStatus.RUNNING: frozenset({*ENDED, RunStatus.CANCELLING}),
    RunStatus.CANCELLING: frozenset({RunStatus.CANCELLED, RunStatus.FAILED}),
}
"""Stated apart from the kernel's tables."""

ONCE = frozenset({"run.created", "run.started"})

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
        net = net_of(transaction.writes)
        for table, key, before, after in net:
            judge = self._judges.get(table)
            if judge is not None:
                judge(key, before, after, net)
                run_id = getattr(after if after is not None else before, "run_id", None)
                if run_id is not None:
                    touched[run_id] = None
                elif table == "runs":
                    touched[key] = None
        for run_id in touched:
            self._run_as_a_whole(run_id)
        if self._world.timeline is not None:
            self._tell(net)

    def _run_written(self, run_id: RunId, before: Run | None, after: Run | None, net: Net) -> None:
        self.expect(after is not None, f"run {run_id} was lost")
        if after is None:
            return
        self.runs[run_id] = after
        for payload in (after.input, after.config, after.metadata, after.output):
            self._names(payload, f"run {run_id}")
        if before is None:
            self.open += after.status not in ENDED
            if after.key is not None:
                named = self.keys.setdefault((after.workflow, after.key), run_id)
                self.expect(named == run_id, f"key {after.key!r} started two runs: {named} and {run_id}")
            return
        self.expect(before.status not in ENDED, f"run {run_id} had ended as {before.status} and was written again")
        legal = after.status is before.status or after.status in NEXT.get(before.status, ())
        self.expect(legal, f"run {run_id} went from {before.status} to {after.status}")
        self.expect(after.revision >= before.revision, f"run {run_id}: its revision went back")
        self.open += (after.status not in ENDED) - (before.status not in ENDED)
        if after.status in ENDED and before.status not in ENDED:
            self._run_ended(after, net)

    def _run_ended(self, run: Run, net: Net) -> None:
        """A run ends as was asked of it, in time, and its end is told of in the same commit."""
        told = is_told(net, run.id, f"run.{run.status}")
        self.expect(told, f"run {run.id} {run.status} without its event")
        if run.failure is not None and run.failure.stage is None and run.failure.code == "timed_out":
            late = run.deadline is not None and run.deadline <= self._world.time.newest
            self.expect(late, f"run {run.id} timed out before its deadline")
        expected = self.expected.get(run.key or "")
        if expected is not None:
            output = self.value(run.output)
            self.expect(
                expected(run, output), f"run {run.id} of {run.workflow} {run.status}, which it must not: {output!r}"
            )

    def _run_as_a_whole(self, run_id: RunId) -> None:
        run = self.runs.get(run_id)
        plan = self._plan(run_id)
        if run is None or plan is None:
            return
        jobs = self.jobs[run_id]
        if run.status in ENDED:
            self.expect(not jobs, f"run {run_id} has ended and has jobs")
        else:
            self.expect(jobs, f"run {run_id} is {run.status} and has no job: it would never end")
        ended = self.stages[run_id]
        complete = complete_stages(plan, ended, jobs)
        for key in jobs:
            if not all(above in complete for above in plan.stages[key.stage].after):
                self.violate(f"{name_of(key)} has a job before its upstream completed")
        self.checks += 1
        if run.status is RunStatus.COMPLETED:
            missing = [stage for stage in plan.stages if stage not in complete]
            self.expect(not missing, f"run {run_id} completed without {missing}")
        self._bounds(plan, jobs)

    def _bounds(self, plan: Plan, jobs: Mapping[JobKey, Job]) -> None:
        for stage in plan.stages.values():
            if stage.mapped and stage.max_parallel is not None:
                going = sum(job.stage == stage.id and job.phase is not JobPhase.PARKED for job in jobs.values())
                self.expect(going <= stage.max_parallel, f"{stage.id}: {going} instances at once")

    # Events.

    def _outbox_written(self, key: tuple[RunId, int], before: Any, after: Any, _: Net) -> None:
        run_id, seq = key
        if before is None and after is not None:
            event: Event = after.event
            told = self.events[run_id]
            self.expect(seq == len(told) + 1, f"run {run_id}: event {seq} after {len(told)}")
            ends = [one.type for one in told if one.type in END_EVENTS]
            self.expect(not ends, f"run {run_id}: {event.type} after {ends}")
            once = event.type not in ONCE or all(one.type != event.type for one in told)
            self.expect(once, f"run {run_id}: {event.type} was told twice")
            if event.type in END_EVENTS:
                run = self.runs.get(run_id)
                as_told = run is not None and event.type == f"run.{run.status}"
                self.expect(as_told, f"run {run_id}: {event.type} was told of a run that did not end so")
            if event.type == "run.signalled":
                again = any(one.type == event.type and one.data == event.data for one in told)
                self.expect(not again, f"run {run_id}: a signal was told of twice")
            told.append(event)
            self.unpublished[key] = event
        elif after is None:
            published = seq in self.published[run_id]
            self.expect(published or key in self.dead, f"event {run_id}/{seq} was dropped before anybody took it")
            self.unpublished.pop(key, None)

    def _dead_letter_written(self, key: tuple[RunId, int], _: Any, after: Any, __: Net) -> None:
        if after is not None:
            self.dead.add(key)

    def taken(self, events: Sequence[Event]) -> None:
        """A sink took events."""
        for event in events:
            told = self.events[event.run_id]
            real = 0 < event.seq <= len(told) and _same(told[event.seq - 1], event)
            self.expect(real, f"{event.type} of run {event.run_id} was published, yet never committed")
            seen = self.published[event.run_id]
            if event.seq in seen:
                self._world.counts["event published again"] += 1
                continue
            ordered = all(n in seen or (event.run_id, n) in self.dead for n in range(1, event.seq))
            self.expect(ordered, f"event {event.id} was published before an earlier one of its run")
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
        self.expect("@" + key not in named, f"the blob {key} was deleted, and a row names it")

    # Signals.

    def _signal_written(self, key: tuple[RunId, SignalId], before: Signal | None, after: Signal | None, _: Net) -> None:
        self.expect(after is not None, f"signal {key} was lost")
        self.expect(before is None, f"signal {key} was received twice")
        if after is not None:
            self.signals[key] = after

    # What clients were told.

    def acknowledged(self, run_id: RunId) -> None:
        """A client was told that this run was started."""
        self.expect(run_id in self.runs, f"run {run_id} was acknowledged, and is not there")

    def refused(self, run_id: RunId, what: str) -> None:
        """A client was told that what it asked of the run comes too late."""
        status = self.runs[run_id].status
        self.expect(status in ENDED, f"{what} of run {run_id} was refused, and it is {status}")

    def cancel_accepted(self, run_id: RunId) -> None:
        """A client was told that the run ends, or has ended, as cancelled."""
        status = self.runs[run_id].status
        self.expect(status in STOPPED, f"the cancel of run {run_id} was accepted, and it is {status}")

    def signal_accepted(self, run_id: RunId, signal_id: SignalId) -> None:
        """A client was told that the run has the signal."""
        told = sum(
            event.type == "run.signalled" and f'"id":"{signal_id}"' in event.data for event in self.events[run_id]
        )
        there = told == 1 and (not self.tells_all or (run_id, signal_id) in self.signals)
        self.expect(there, f"signal {signal_id} of run {run_id} was accepted, and is not there")

    def process_failed(self, life: Life, error: BaseException) -> None:
        """A process ended by an error: one that no fault explains is a mistake of ours."""
        cause = error.__cause__ or error
        self.expect(isinstance(cause, PortError | TimeoutError), f"{life.name} ended by a mistake: {cause!r}")

    # The end.

    @property
    def settled(self) -> bool:
        """Whether every run has ended and every event was published."""
        return self.open == 0 and not self.unpublished

    def at_the_end(self) -> None:
        """Liveness, after the world has healed and had its time."""
        for run_id, run in self.runs.items():
            self.expect(run.status in ENDED, f"run {run_id} is still {run.status}: {self._waits_for(run_id)}")
            if self.events[run_id]:
                ends = [event.type for event in self.events[run_id] if event.type in END_EVENTS]
                self.expect(len(ends) == (run.status in ENDED), f"run {run_id} is {run.status} and told of {ends}")
        for run_id, seq in self.unpublished:
            self.violate(f"event {run_id}/{seq} was never published")

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
