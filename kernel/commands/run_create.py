"""run.create: start a run. With a key, the same start again answers the run that is there.

Guards: unique run id, unique (workflow, key). Nothing is read before the first try: a refused create loads the winner.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import attrs

from mainspring.kernel.advance import Advance, initial_state
from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.events import run_event
from mainspring.kernel.plan import Plan
from mainspring.kernel.transitions import RUN, RunEvent, step
from mainspring.ports.change import Change
from mainspring.ports.errors import ConflictError
from mainspring.ports.evolving import evolved
from mainspring.ports.names import LeaseId, Payload, RunId, WorkerId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import EventDraft, Graph, Job, JobKey, JobPhase, Lease, Run, RunState, RunStatus

MAX_KEY_LENGTH = 512


@attrs.frozen(kw_only=True)
class Taker:
    """A worker beside the caller that has a slot free: the run's first job is made leased to it.

    Only a run without a moment to wait for, with one job, is taken; nobody is told of that job or has to claim it.
    """

    worker: WorkerId
    lease_id: LeaseId
    length: timedelta


@attrs.frozen(kw_only=True)
class RunCreated:
    """The run, and whether this command created it."""

    run: Run
    created: bool
    lease: Lease | None = None  #: the taker's, on the run's first job
    due: tuple[JobKey, ...] = ()  #: jobs that this command made claimable …
    due_at: datetime | None = None  #: … from this moment on; None: at once


@attrs.frozen(kw_only=True)
class CreateRun(Command[RunCreated]):
    """Start a run of this plan. Input and config are validated and encoded by the caller."""

    name: ClassVar[str] = "run.create"

    plan: Plan
    input: Payload
    elements: tuple[Payload, ...] | None = None  #: the input taken apart, where a first stage is mapped
    config: Payload | None = None
    key: str | None = None
    priority: int | None = None  #: None: the workflow's
    tags: tuple[str, ...] = ()
    metadata: Payload | None = None
    start_at: datetime | None = None
    timeout: timedelta | None = None  #: None: the workflow's
    taker: Taker | None = None
    run_id: RunId | None = None  #: chosen beforehand when the input lies in a blob named after it
    #: of input and config as they were asked for; None: they are hashed as they are given here
    content_hash: str | None = None


def request_hash(command: CreateRun) -> str:
    """Hash of what a start asks for; the same for the same request, whichever version of the workflow answers it."""
    parts = [
        command.plan.workflow,
        command.content_hash or [command.input, command.config],
        command.metadata,
        command.tags,
        command.priority,
        command.start_at and command.start_at.astimezone(UTC).isoformat(),
        command.timeout and str(command.timeout),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


async def load(command: CreateRun, store: RunStore, facts: Facts, repeat: Repeat) -> Run | None:
    """The run that is already there: under the key, or written by this very dispatch."""
    if command.key is not None:
        return await store.run_by_key(command.plan.workflow, command.key)
    return await store.run(command.run_id or facts.run_id)


def decide(command: CreateRun, state: Run | None, facts: Facts) -> Decision[RunCreated]:
    """A new run with its first jobs, or the one that is there."""
    hashed = request_hash(command)
    if state is not None:
        if state.request_hash != hashed:
            msg = (
                f"key {command.key!r} of workflow {command.plan.workflow!r} belongs to run {state.id}, which was "
                f"started with other content (hash {state.request_hash}, now {hashed}); use another key, or the "
                "same input, config and options"
            )
            raise ConflictError(msg)
        mine = state.id == (command.run_id or facts.run_id)
        if not mine or state.revision:
            return Decision(RunCreated(run=state, created=mine))
        jobs = initial_state(RunState(run=state, stages={}), command.plan, facts.now, command.elements).jobs
        return Decision(RunCreated(run=state, created=True, lease=_lease(command, state, jobs, facts)))
    run = _new_run(command, hashed, facts)
    begun = initial_state(RunState(run=run, stages={}), command.plan, facts.now, command.elements)
    run, events = begun_run(run, begun, facts)
    lease = _lease(command, run, begun.jobs, facts)
    ready = () if lease is not None else tuple(job.key for job in begun.jobs if job.phase is JobPhase.READY)
    due_at = None if run.start_at is None or run.start_at <= facts.now else run.start_at
    change = Change(
        create=run,
        graph=Graph(fingerprint=command.plan.fingerprint, shape=command.plan.shape),
        stages=begun.empty,
        jobs=begun.jobs if lease is None else (lease.job,),
        events=events,
    )
    return Decision(RunCreated(run=run, created=True, lease=lease, due=ready, due_at=due_at), change)


def _lease(command: CreateRun, run: Run, jobs: Sequence[Job], facts: Facts) -> Lease | None:
    """The taker's lease on the run's first job; the same in every try of a dispatch."""
    taker = command.taker
    if taker is None or len(jobs) != 1 or run.start_at is not None:  # whether it is due is for the store's clock to say
        return None
    job = evolved(
        jobs[0],
        attempt=1,
        token=1,
        lease_id=taker.lease_id,
        worker=taker.worker,
        lease_until=facts.now + taker.length,
        claimed_at=facts.now,
    )
    return Lease(job=job, run=run)


def _new_run(command: CreateRun, hashed: str, facts: Facts) -> Run:
    plan = command.plan
    timeout = command.timeout if command.timeout is not None else plan.timeout
    start = max(facts.now, command.start_at) if command.start_at is not None else facts.now
    return Run(
        id=command.run_id or facts.run_id,
        workflow=plan.workflow,
        version=plan.version,
        fingerprint=plan.fingerprint,
        queue=plan.queue,
        status=RunStatus.PENDING,
        revision=0,
        priority=plan.priority if command.priority is None else command.priority,
        key=command.key,
        request_hash=hashed,
        input=command.input,
        config=command.config,
        tags=command.tags,
        metadata=command.metadata,
        created_at=facts.now,
        start_at=command.start_at,
        started_at=None,
        finished_at=None,
        deadline=None if timeout is None else start + timeout,
        output=None,
        failure=None,
    )


def begun_run(run: Run, begun: Advance, facts: Facts, **more: object) -> tuple[Run, tuple[EventDraft, ...]]:
    """The new run and what tells of it; one whose every stage is a map over nothing is complete at once."""
    data: Mapping[str, object] = {"workflow": run.workflow, "version": run.version, **more}
    events = [run_event("run.created", run.id, facts.now, **data)]
    if not begun.jobs:
        status = step(RUN, step(RUN, run.status, RunEvent.BEGIN), RunEvent.COMPLETE)
        run = attrs.evolve(run, status=status, started_at=facts.now, finished_at=facts.now)
        events += [run_event("run.started", run.id, facts.now), run_event("run.completed", run.id, facts.now)]
    return run, tuple(events)


HANDLER: Handler[RunCreated] = Handler(load=load, decide=decide, loads_first=False)
