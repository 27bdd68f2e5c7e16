"""Plans, runs, jobs and facts for tests of the kernel: what is not said is plain."""

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import attrs

from mainspring.kernel.advance import initial_state
from mainspring.kernel.commands.run_create import CreateRun
from mainspring.kernel.decision import Facts
from mainspring.kernel.outcomes import FinishAttempt, Outcome
from mainspring.kernel.plan import Plan, StagePlan
from mainspring.kernel.retry import Retry
from mainspring.ports.change import Change
from mainspring.ports.names import (
    Fingerprint,
    LeaseId,
    Payload,
    RunId,
    StageId,
    Version,
    WorkerId,
    WorkflowId,
)
from mainspring.ports.records import Failure, Job, Run, RunState, RunStatus

T = TypeVar("T")

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RUN_ID = RunId("019a0000-0000-7000-8000-000000000001")
LEASE = LeaseId("00000000-0000-4000-8000-000000000001")
OTHER_LEASE = LeaseId("00000000-0000-4000-8000-000000000002")
WORKER = WorkerId("worker-1")
FACTS = Facts(now=NOW, run_id=RUN_ID, random=0.0)
BOOM = Failure(code="failed", message="boom", type="ValueError", details='{"a":1}', traceback="Traceback …")

A, B, C, D = StageId("a"), StageId("b"), StageId("c"), StageId("d")


def drive(running: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that awaits only ports that never suspend: the four-line synchronous driver."""
    try:
        running.send(None)
    except StopIteration as stop:
        answer: T = stop.value
        return answer
    raise AssertionError("a port suspended under a driver without an event loop")


def stage(id: str, *after: str, **fields: Any) -> StagePlan:
    """A stage of a plan; one attempt after the other, without jitter, unless said otherwise."""
    plain: dict[str, Any] = {"retry": Retry(max_attempts=3, jitter=0.0)}
    return StagePlan(id=StageId(id), after=tuple(map(StageId, after)), **(plain | fields))


def plan(*stages: StagePlan, **fields: Any) -> Plan:
    """A plan of these stages, which stand in topological order."""
    ids = [node.id for node in stages]
    downstream = {above: tuple(node.id for node in stages if above in node.after) for above in ids}
    plain: dict[str, Any] = {
        "workflow": WorkflowId("report"),
        "version": Version("1"),
        "fingerprint": Fingerprint("0123456789abcdef"),
        "stages": {node.id: node for node in stages},
        "downstream": downstream,
        "outputs": tuple(last for last in ids if not downstream[last]),
        "shape": '{"stages":[]}',
    }
    return Plan(**(plain | fields))


ONE = plan(stage("a"))
LINE = plan(stage("a"), stage("b", "a"))
DIAMOND = plan(stage("a"), stage("b", "a"), stage("c", "a"), stage("d", "b", "c"))
MAP = plan(stage("a"), stage("b", "a", mapped=True, max_parallel=2), stage("c", "b"))


def run(**fields: Any) -> Run:
    """A running run at revision 1."""
    plain: dict[str, Any] = {
        "id": RUN_ID,
        "workflow": WorkflowId("report"),
        "version": Version("1"),
        "fingerprint": Fingerprint("0123456789abcdef"),
        "queue": "default",
        "status": RunStatus.RUNNING,
        "revision": 1,
        "priority": 0,
        "key": None,
        "request_hash": "hash",
        "input": Payload("1"),
        "config": None,
        "tags": (),
        "metadata": None,
        "created_at": NOW - 10 * SECOND,
        "start_at": None,
        "started_at": NOW - 9 * SECOND,
        "finished_at": None,
        "deadline": None,
        "output": None,
        "failure": None,
    }
    return Run(**(plain | fields))


def pending_run(**fields: Any) -> Run:
    """A run that nothing has begun."""
    return run(**({"status": RunStatus.PENDING, "revision": 0, "started_at": None} | fields))


def job(of: Plan = ONE, at: StageId = A, **fields: Any) -> Job:
    """An unleased job that is due."""
    retry = of.stages[at].retry
    plain: dict[str, Any] = {
        "run_id": RUN_ID,
        "stage": at,
        "route": of.route,
        "available_at": NOW - SECOND,
        "max_attempts": retry.max_attempts,
    }
    return Job(**(plain | fields))


def leased(of: Plan = ONE, at: StageId = A, **fields: Any) -> Job:
    """A job held by ``WORKER`` in its first attempt."""
    plain: dict[str, Any] = {
        "lease_id": LEASE,
        "worker": WORKER,
        "token": 1,
        "lease_until": NOW + 30 * SECOND,
        "claimed_at": NOW - SECOND,
        "attempt": 1,
    }
    return job(of, at, **(plain | fields))


def first_state(of: Plan, over: Run | None = None, elements: tuple[Payload, ...] | None = None) -> RunState:
    """The state of a run of this plan as it was created."""
    return initial_state(RunState(run=over or run(), stages={}), of, NOW, elements).state


def finish(of: Plan, job: Job, outcome: Outcome, **fields: Any) -> FinishAttempt:
    """A finish of the attempt that holds the job."""
    return FinishAttempt(plan=of, job=job, outcome=outcome, **fields)


def create(of: Plan = ONE, **fields: Any) -> CreateRun:
    """A start of a run of this plan."""
    plain: dict[str, Any] = {"input": Payload("1")}
    return CreateRun(plan=of, **(plain | fields))


def types(change: Change) -> list[str]:
    """The types of the events that the Change tells, in order."""
    return [event.type for event in change.events]


GUARDS = {"leases", "run", "run_guard", "unleased", "outbox"}
GATES = {"create", "signals", "answer"}


def written(change: Change) -> set[str]:
    """Which fields of the Change say something."""
    return {field.name for field in attrs.fields(Change) if getattr(change, field.name) != field.default}
