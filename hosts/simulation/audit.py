"""The audit: what must hold at every commit, publication and effect, and at the end. Written apart from the kernel.

It sees committed rows only, each with what stood there before, and keeps its own books: who was given which lease when,
what was published, what a client was told. It knows nothing of guards.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from mainspring.hosts.execution.payloads import is_reference
from mainspring.hosts.simulation.lives import current_life
from mainspring.hosts.simulation.world import World
from mainspring.kernel.plan import Plan
from mainspring.ports.names import Fingerprint, LeaseId, Payload, RunId, StageId
from mainspring.ports.records import Event, Job, JobKey, JobPhase, Run, RunStatus, StageRecord, StageStatus

Written = tuple[str, Any, Any, Any]
"""Table, key, the row before, the row after."""

Net = Sequence[Written]
"""What a transaction did to each row in all: as it stood before, as it stands after."""

EMPTY_MAP = -1  #: the index of the row that an empty mapped stage leaves

ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})

NEXT: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({*ENDED, RunStatus.RUNNING, RunStatus.CANCELLING}),
    RunStatus.RUNNING: frozenset({*ENDED, RunStatus.CANCELLING}),
    RunStatus.CANCELLING: frozenset({RunStatus.CANCELLED, RunStatus.FAILED}),
}
"""Stated apart from the kernel's tables."""

ONCE = frozenset({"run.created", "run.started"})

END_EVENTS = frozenset({"run.completed", "run.failed", "run.cancelled"})


class Committed(Protocol):
    """One transaction's writes, as the store tells them once they are visible."""

    @property
    def writes(self) -> Sequence[Any]:
        """``Written`` in order."""
        ...


class Audit:
    """The books of one world.

    Args:
        world: told of every violation.
        plans: the graphs of the world's workflows.
    """

    def __init__(self, world: World, plans: Mapping[Fingerprint, Plan]) -> None:
        self.checks = 0  #: how often an invariant was evaluated
        self.runs: dict[RunId, Run] = {}
        self.jobs: dict[RunId, dict[JobKey, Job]] = defaultdict(dict)
        self.stages: dict[RunId, dict[JobKey, StageRecord]] = defaultdict(dict)
        self.events: dict[RunId, list[Event]] = defaultdict(list)
        self.unpublished: dict[tuple[RunId, int], Event] = {}
        self.dead: set[tuple[RunId, int]] = set()
        self.published: dict[RunId, list[int]] = defaultdict(list)
        self.open = 0  #: runs that have not ended
        self.blobs: set[str] = set()  #: that are stored now
        self.keys: dict[tuple[str, str], RunId] = {}
        self._world = world
        self._plans = plans
        self._tokens: dict[RunId, int] = defaultdict(int)
        self._holders: dict[LeaseId, str] = {}  #: lease -> the host's life it was given to
        self._judges: dict[str, Callable[[Any, Any, Any, Net], None]] = {
            "runs": self._run_written,
            "jobs": self._job_written,
            "stages": self._stage_written,
            "outbox": self._outbox_written,
            "dead letters": self._dead_letter_written,
        }

    def violate(self, what: str) -> None:
        """A promise was broken."""
        self._world.violate(what)

    def expect(self, held: object, what: str) -> None:
        """Evaluate one invariant."""
        self.checks += 1
        if not held:
            self.violate(what)

    # Commits.

    def committed(self, transaction: Committed) -> None:
        """A transaction became visible."""
        touched: dict[RunId, None] = {}
        net = _net(transaction.writes)
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

    def _run_written(self, run_id: RunId, before: Run | None, after: Run | None, _: Net) -> None:
        self.expect(after is not None, f"run {run_id} was lost")
        if after is None:
            return
        if before is None:
            self.open += after.status not in ENDED
            if after.key is not None:
                named = self.keys.setdefault((after.workflow, after.key), run_id)
                self.expect(named == run_id, f"key {after.key!r} started two runs: {named} and {run_id}")
        else:
            self.expect(before.status not in ENDED, f"run {run_id} had ended as {before.status} and was written again")
            legal = after.status is before.status or after.status in NEXT.get(before.status, ())
            self.expect(legal, f"run {run_id} went from {before.status} to {after.status}")
            self.expect(after.revision >= before.revision, f"run {run_id}: its revision went back")
            self.open += (after.status not in ENDED) - (before.status not in ENDED)
            for payload in (after.input, after.config, after.output):
                self._names(payload, f"run {run_id}")
        self.runs[run_id] = after

    def _job_written(self, key: JobKey, before: Job | None, after: Job | None, net: Net) -> None:
        jobs = self.jobs[key.run_id]
        if after is None:
            jobs.pop(key, None)
        else:
            jobs[key] = after
            if before is None:
                self._names(after.input, _name(key))
            plan = self._plan(key.run_id)
            most = plan.stages[key.stage].retry.max_attempts if plan is not None else after.max_attempts
            self.expect(after.attempt <= most, f"{_name(key)} was tried more than {most} times")
            if before is None or before.lease_id != after.lease_id:
                self._lease_changed(key, before, after)
        if before is not None and before.lease_id is not None and (after is None or after.lease_id is None):
            self._lease_ended(key, before, net)
        if before is not None and after is not None:
            self._woken(key, before, after)

    def _lease_changed(self, key: JobKey, before: Job | None, after: Job) -> None:
        if after.lease_id is None or after.lease_id in self._holders:
            return
        life = current_life()
        self._holders[after.lease_id] = "" if life is None else life.name
        held = before is not None and before.lease_id is not None
        self.expect(not held, f"{_name(key)}: a lease was taken over while the row was leased")
        newest = self._tokens[key.run_id]
        self.expect(after.token > newest, f"{_name(key)}: token {after.token} was given out, yet {newest} was before")
        self._tokens[key.run_id] = max(newest, after.token)
        counted = before is not None and after.attempt == before.attempt + 1
        self.expect(counted, f"{_name(key)}: a claim did not count its attempt")

    def _lease_ended(self, key: JobKey, before: Job, net: Net) -> None:
        """A lease ends by its holder, by the store's time, or because the run ends."""
        if before.lease_until is not None and before.lease_until < self._world.time.newest:
            return
        for table, at, _, run in net:
            if table == "runs" and at == key.run_id and run.status in ENDED:
                return
        mine = self._is_mine(before.lease_id)
        self.expect(mine, f"{_name(key)}: a live lease was ended by another process")

    def _woken(self, key: JobKey, before: Job, after: Job) -> None:
        """A wake-up that nobody was awake to see makes the job due."""
        if after.wakes > before.wakes and before.lease_id is None:
            self.expect(after.available_at is not None, f"{_name(key)}: a wake-up left the job asleep")

    def _stage_written(self, key: JobKey, before: StageRecord | None, after: StageRecord | None, net: Net) -> None:
        self.expect(before is None, f"{_name(key)} was recorded, and its record changed")
        if after is None or before is not None:
            return
        self.stages[key.run_id][key] = after
        self._names(after.output, _name(key))
        self._world.counts[f"stage {after.status}"] += 1
        if after.status is StageStatus.COMPLETED and key.index != EMPTY_MAP:
            run = self.runs.get(key.run_id)
            stopping = run is not None and run.status in {RunStatus.CANCELLING, RunStatus.CANCELLED}
            self.expect(not stopping, f"{_name(key)} completed though its run was being cancelled")
            held = self._lease_before(key, net)
            self.expect(self._is_mine(held), f"{_name(key)} was completed by a process that did not hold its lease")

    def _lease_before(self, key: JobKey, net: Net) -> LeaseId | None:
        for table, at, before, _ in net:
            if table == "jobs" and at == key and before is not None:
                lease: LeaseId | None = before.lease_id
                return lease
        return None

    def _is_mine(self, lease: LeaseId | None) -> bool:
        """Whether the process that commits was given the lease."""
        life = current_life()
        return lease is not None and self._holders.get(lease) == ("" if life is None else life.name)

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
        complete = _complete_stages(plan, ended, jobs)
        for key in jobs:
            if not all(above in complete for above in plan.stages[key.stage].after):
                self.violate(f"{_name(key)} has a job before its upstream completed")
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
            real = 0 < event.seq <= len(told) and told[event.seq - 1].type == event.type
            self.expect(real, f"{event.type} of run {event.run_id} was published, yet never committed")
            seen = self.published[event.run_id]
            if event.seq in seen:
                self._world.counts["event published again"] += 1
                continue
            ordered = all(n in seen or (event.run_id, n) in self.dead for n in range(1, event.seq))
            self.expect(ordered, f"event {event.id} was published before an earlier one of its run")
            seen.append(event.seq)

    # Blobs.

    def _names(self, payload: Payload | None, who: str) -> None:
        """Whoever names a blob finds it."""
        if payload is not None and is_reference(payload):
            self.expect(
                payload[1:] in self.blobs, f"{who} was written, and names the blob {payload[1:]}, which is gone"
            )

    def blob_changed(self, key: str, content: bytes | None) -> None:
        """A blob was stored, or (None) deleted: then no row may name it."""
        if content is not None:
            self.blobs.add(key)
            self._world.counts["blob written"] += 1
            return
        self.blobs.discard(key)
        self._world.counts["blob collected"] += 1
        run_id = RunId(key.partition("/")[0])
        run = self.runs.get(run_id)
        named = [job.input for job in self.jobs[run_id].values()]
        named += [record.output for record in self.stages[run_id].values()]
        named += [] if run is None else [run.input, run.config, run.output, run.metadata]
        self.expect("@" + key not in named, f"the blob {key} was deleted, and a row names it")

    # What clients were told.

    def acknowledged(self, run_id: RunId) -> None:
        """A client was told that this run was started."""
        self.expect(run_id in self.runs, f"run {run_id} was acknowledged, and is not there")

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

    def _plan(self, run_id: RunId) -> Plan | None:
        run = self.runs.get(run_id)
        return None if run is None else self._plans.get(run.fingerprint)

    def _tell(self, net: Net) -> None:
        for table, key, before, after in net:
            told = _story(table, key, before, after)
            if told:
                self._world.saw(f"  committed: {told}", current_life())


def _net(writes: Sequence[Written]) -> Net:
    """Each row once, in the order of first writing."""
    rows: dict[tuple[str, Any], Written] = {}
    for table, key, before, after in writes:
        first = rows.get((table, key))
        rows[table, key] = (table, key, before if first is None else first[2], after)
    return list(rows.values())


def _complete_stages(plan: Plan, ended: Mapping[JobKey, StageRecord], jobs: Mapping[JobKey, Job]) -> frozenset[StageId]:
    rows: Counter[StageId] = Counter()
    done: Counter[StageId] = Counter()
    for key, record in ended.items():
        rows[key.stage] += 1
        done[key.stage] += record.status is StageStatus.COMPLETED
    for key in jobs:
        rows[key.stage] += 1
    return frozenset(stage for stage in plan.stages if done[stage] and done[stage] == rows[stage])


def _name(key: JobKey) -> str:
    return f"stage {key.stage}[{key.index}] of run {key.run_id}"


def _story(table: str, key: Any, before: Any, after: Any) -> str:
    match table:
        case "runs" if after is not None and (before is None or before.status != after.status):
            return f"run {key} is {after.status}"
        case "stages" if after is not None:
            return f"{key.stage}[{key.index}] {after.status}"
        case "jobs" if after is None:
            return f"job {key.stage}[{key.index}] gone"
        case "jobs" if after is not None:
            lease = "free" if after.lease_id is None else f"leased {after.lease_id[:8]} by {after.worker}"
            due = "asleep" if after.available_at is None else f"due {after.available_at:%H:%M:%S.%f}"
            return f"job {key.stage}[{key.index}] {lease}, attempt {after.attempt}, {due}"
        case _:
            return ""
