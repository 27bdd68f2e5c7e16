"""The books of a world: what committed rows say, kept apart from the store, and how anything is expected of them."""

import json
from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from mainspring.hosts.execution.payloads import is_reference
from mainspring.hosts.simulation.world import World
from mainspring.kernel.plan import Plan
from mainspring.ports.names import Fingerprint, Payload, RunId, SignalId, SinkName, StageId
from mainspring.ports.records import Event, Job, JobKey, Run, RunStatus, Signal, StageRecord, StageStatus

Written = tuple[str, Any, Any, Any]
"""Table, key, the row before, the row after."""

Net = Sequence[Written]
"""What a transaction did to each row in all: as it stood before, as it stands after."""

EventKey = tuple[SinkName, RunId, int]
"""One sink's copy of an event."""

EMPTY_MAP = -1  #: the index of the row that an empty mapped stage leaves

ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})

END_EVENTS = frozenset({"run.completed", "run.failed", "run.cancelled"})

Expected = Callable[[Run, Any], bool]
"""Whether a run may end so; the second is the value of its output (None where it has none)."""


class Books:
    """What was committed, published, stored and told in one world.

    Args:
        world: told of every violation.
        plans: the graphs of the world's workflows.
    """

    def __init__(self, world: World, plans: Mapping[Fingerprint, Plan]) -> None:
        self.checks: int = 0  #: how often an invariant was evaluated
        self.runs: dict[RunId, Run] = {}
        self.jobs: dict[RunId, dict[JobKey, Job]] = defaultdict(dict)
        self.stages: dict[RunId, dict[JobKey, StageRecord]] = defaultdict(dict)
        self.signals: dict[tuple[RunId, SignalId], Signal] = {}
        self.events: dict[RunId, list[Event]] = defaultdict(list)
        self.given: set[EventKey] = set()  #: copies of events that were ever written
        self.unpublished: dict[EventKey, Event] = {}
        self.dead: set[EventKey] = set()  #: that are given up on
        self.buried: set[EventKey] = set()  #: that ever were
        self.published: dict[tuple[SinkName, RunId], list[int]] = defaultdict(list)
        self.open = 0  #: runs that have not ended
        self.blobs: dict[str, bytes] = {}  #: that are stored now
        self.keys: dict[tuple[str, str], RunId] = {}
        self.expected: dict[str, Expected] = {}  #: how the run of this idempotency key may end
        self.recovery: float | None = None  #: seconds an expired lease may stand in a healed world; None: any
        self.tells_all = True  #: whether the store tells of signals and attempts, too
        self._world = world
        self._plans = plans

    def violate(self, what: str) -> None:
        """A promise was broken."""
        self._world.violate(what)

    def expect(self, held: object, what: str, *parts: object) -> None:
        """Evaluate one invariant; ``what`` is broken where it does not hold, with these parts in its places."""
        self.checks += 1
        if not held:
            told = [name_of(part) if isinstance(part, JobKey) else part for part in parts]
            self.violate(what.format(*told) if parts else what)

    def value(self, payload: Payload | None) -> Any:
        """What the payload says; a blob that is gone says nothing."""
        if payload is None:
            return None
        text = self.blobs.get(payload[1:], b"null") if is_reference(payload) else payload
        return json.loads(text)

    def _names(self, payload: Payload | None, who: object) -> None:
        """Whoever names a blob finds it."""
        if payload is not None and is_reference(payload):
            self.expect(
                payload[1:] in self.blobs, "{} was written, and names the blob {}, which is gone", who, payload[1:]
            )

    def _plan(self, run_id: RunId) -> Plan | None:
        run = self.runs.get(run_id)
        return None if run is None else self._plans.get(run.fingerprint)


def net_of(writes: Sequence[Written], tables: Container[str]) -> Net:
    """Each row of these tables once, in the order of first writing."""
    judged = [write for write in writes if write[0] in tables]
    if len(judged) <= 1:
        return judged
    rows: dict[tuple[str, Any], Written] = {}
    for write in judged:
        place = write[0], write[1]
        first = rows.setdefault(place, write)
        if first is not write:
            rows[place] = (*first[:3], write[3])
    return list(rows.values())


def is_told(net: Net, run_id: RunId, kind: str, *parts: str) -> bool:
    """Whether the transaction wrote an event of the run, of that type, with these parts in its data."""
    for table, _, before, row in net:
        if table == "outbox" and before is None and row is not None:
            event: Event = row.event
            if event.type == kind and event.run_id == run_id and all(part in event.data for part in parts):
                return True
    return False


def ended_run(net: Net, run_id: RunId) -> Run | None:
    """The run, if the transaction ended it."""
    for table, at, _, run in net:
        if table == "runs" and at == run_id and run is not None and run.status in ENDED:
            found: Run = run
            return found
    return None


def complete_stages(plan: Plan, ended: Mapping[JobKey, StageRecord], jobs: Mapping[JobKey, Job]) -> set[StageId]:
    """Stages all of whose rows have completed."""
    done = {key.stage for key, record in ended.items() if record.status is StageStatus.COMPLETED}
    left = {key.stage for key, record in ended.items() if record.status is not StageStatus.COMPLETED}
    return (done - left - {key.stage for key in jobs}) & plan.stages.keys()


def name_of(key: JobKey) -> str:
    """A stage's instance, for a reader."""
    return f"stage {key.stage}[{key.index}] of run {key.run_id}"


def line_of(table: str, key: Any, before: Any, after: Any) -> str:
    """A row that changed, for the timeline; empty: nothing worth a line."""
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
