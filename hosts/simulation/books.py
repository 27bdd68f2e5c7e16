"""The books of a world: what committed rows say, kept apart from the store, and how anything is expected of them."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mainspring.hosts.execution.payloads import is_reference
from mainspring.hosts.simulation.world import World
from mainspring.kernel.plan import Plan
from mainspring.ports.names import Fingerprint, Payload, RunId, SignalId, StageId
from mainspring.ports.records import Event, Job, JobKey, Run, RunStatus, Signal, StageRecord, StageStatus

Written = tuple[str, Any, Any, Any]
"""Table, key, the row before, the row after."""

Net = Sequence[Written]
"""What a transaction did to each row in all: as it stood before, as it stands after."""

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
        self.unpublished: dict[tuple[RunId, int], Event] = {}
        self.dead: set[tuple[RunId, int]] = set()
        self.published: dict[RunId, list[int]] = defaultdict(list)
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

    def expect(self, held: object, what: str) -> None:
        """Evaluate one invariant."""
        self.checks += 1
        if not held:
            self.violate(what)

    def value(self, payload: Payload | None) -> Any:
        """What the payload says; a blob that is gone says nothing."""
        if payload is None:
            return None
        text = self.blobs.get(payload[1:], b"null") if is_reference(payload) else payload
        return json.loads(text)

    def _names(self, payload: Payload | None, who: str) -> None:
        """Whoever names a blob finds it."""
        if payload is not None and is_reference(payload):
            self.expect(
                payload[1:] in self.blobs, f"{who} was written, and names the blob {payload[1:]}, which is gone"
            )

    def _plan(self, run_id: RunId) -> Plan | None:
        run = self.runs.get(run_id)
        return None if run is None else self._plans.get(run.fingerprint)


def net_of(writes: Sequence[Written]) -> Net:
    """Each row once, in the order of first writing."""
    rows: dict[tuple[str, Any], Written] = {}
    for table, key, before, after in writes:
        first = rows.get((table, key))
        rows[table, key] = (table, key, before if first is None else first[2], after)
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


def complete_stages(plan: Plan, ended: Mapping[JobKey, StageRecord], jobs: Mapping[JobKey, Job]) -> frozenset[StageId]:
    """Stages all of whose rows have completed."""
    rows: Counter[StageId] = Counter()
    done: Counter[StageId] = Counter()
    for key, record in ended.items():
        rows[key.stage] += 1
        done[key.stage] += record.status is StageStatus.COMPLETED
    for key in jobs:
        rows[key.stage] += 1
    return frozenset(stage for stage in plan.stages if done[stage] and done[stage] == rows[stage])


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
