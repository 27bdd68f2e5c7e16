"""run.rerun: begin a run that has ended anew, from one of its stages, as a new run. The old one stays as it ended.

Guards: the old run's revision (shared): it is there, and is kept as long as the new one names its outputs. Gates:
unique run id, unique (workflow, key).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs

from mainspring.kernel.advance import Advance, resumed_state
from mainspring.kernel.commands.common import require_run
from mainspring.kernel.commands.run_create import RunCreated, begun_run
from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.plan import Plan
from mainspring.kernel.reruns import Rerun, rerun
from mainspring.kernel.transitions import activity
from mainspring.ports.change import Change, RunGuard
from mainspring.ports.errors import ConflictError, UnfinishedError
from mainspring.ports.names import Payload, RunId, StageId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Graph,
    Job,
    JobPhase,
    Run,
    RunState,
    RunStatus,
    StageRecord,
    StageTally,
)
from mainspring.ports.trace import with_trace, without_trace

SHOWN = 5
"""So many jobs of an active run are told of."""


@attrs.frozen(kw_only=True)
class RerunRun(Command[RunCreated]):
    """Begin the run anew. Elements of mapped stages are encoded by the caller."""

    name: ClassVar[str] = "run.rerun"

    run_id: RunId  #: the run that has ended
    plan: Plan
    from_stage: StageId | None = None  #: None: the first that did not complete
    #: what the mapped stages that begin at once are mapped over, taken apart
    elements: Mapping[StageId, tuple[Payload, ...]] = attrs.field(factory=dict[StageId, tuple[Payload, ...]])
    key: str | None = None  #: of the new run
    new_id: RunId | None = None  #: chosen beforehand when elements lie in blobs named after it
    trace: str | None = None  #: the trace it is asked for in


@attrs.frozen
class RerunState:
    """What is decided on: the run, how it ended, and the rerun if it is there already."""

    there: Run | None
    run: Run
    jobs: Sequence[Job]
    records: Sequence[StageRecord]
    graph: Graph | None


async def load(command: RerunRun, store: RunStore, facts: Facts, repeat: Repeat) -> RerunState:
    """The rerun that is there, under the key or written by this very dispatch; the run with its stages, or its jobs."""
    there: Run | None = None
    if command.key is not None:
        there = await store.run_by_key(command.plan.workflow, command.key)
    elif repeat.stale or repeat.unsure:
        there = await store.run(command.new_id or facts.run_id)
    run = require_run(await store.run(command.run_id), command.run_id)
    if run.status not in TERMINAL_RUN_STATUSES:
        return RerunState(there, run, await store.jobs(run.id), (), None)
    return RerunState(there, run, (), await store.stages(run.id), await store.graph(run.fingerprint))


def decide(command: RerunRun, state: RerunState, facts: Facts) -> Decision[RunCreated]:
    """A new run that names the old one's outputs, or the one that is there."""
    hashed = request_hash(command)
    if state.there is not None:
        return _known(command, state.there, hashed, facts)
    refuse_active(state.run, state.jobs, facts)
    found = rerun(command.plan, state.run, state.records, state.graph, command.from_stage)
    run = _new_run(command, state.run, found, hashed, facts)
    tallies: dict[StageId, StageTally] = {}
    for row in found.taken:
        tallies[row.stage] = StageTally(completed=1 + tallies.get(row.stage, StageTally()).completed)
    opened = {stage.id: command.elements.get(stage.id) for stage in found.opened}
    state_of_it = RunState(run=run, stages=tallies)
    begun = resumed_state(state_of_it, command.plan, facts.now, opened, nothing=found.nothing)
    return _decided(command, state.run, run, found, begun, facts=facts)


def _decided(
    command: RerunRun, old: Run, run: Run, found: Rerun, begun: Advance, *, facts: Facts
) -> Decision[RunCreated]:
    run, events = begun_run(run, begun, facts, rerun_of=old.id, rerun_from=found.begins)
    change = Change(
        create=run,
        run_guard=RunGuard(run_id=old.id, revision=old.revision),
        graph=Graph(fingerprint=command.plan.fingerprint, shape=command.plan.shape),
        stages=(*(attrs.evolve(row, run_id=run.id) for row in found.taken), *begun.empty),
        jobs=begun.jobs,
        events=events,
    )
    ready = tuple(job.key for job in begun.jobs if job.phase is JobPhase.READY)
    return Decision(RunCreated(run=run, created=True, due=ready), change)


def _known(command: RerunRun, there: Run, hashed: str, facts: Facts) -> Decision[RunCreated]:
    if there.request_hash != hashed:
        raise ConflictError(
            f"key {command.key!r} of workflow {command.plan.workflow!r} belongs to run {there.id}, which is not this "
            f"rerun of {command.run_id} (hash {there.request_hash}, now {hashed}); use another key"
        )
    return Decision(RunCreated(run=there, created=there.id == (command.new_id or facts.run_id)))


def request_hash(command: RerunRun) -> str:
    """Hash of what is asked for."""
    return hashlib.sha256(json.dumps(["rerun", command.run_id, command.from_stage]).encode()).hexdigest()[:32]


def refuse_active(run: Run, jobs: Sequence[Job], facts: Facts) -> None:
    """Raises ``UnfinishedError``: the run has not ended; the message tells what it is doing."""
    if run.status in TERMINAL_RUN_STATUSES:
        return
    doing = [f"{job.stage}[{job.index}] is {activity(job, facts.now)}" for job in jobs[:SHOWN]]
    if len(jobs) > SHOWN:
        doing.append(f"{len(jobs) - SHOWN} jobs more")
    raise UnfinishedError(
        f"run {run.id} is {run.status} ({', '.join(doing) or 'just ending'}); only a run that has ended can be rerun:"
        " wait for it, or cancel it first"
    )


def _new_run(command: RerunRun, old: Run, found: Rerun, hashed: str, facts: Facts) -> Run:
    """As the old one was started, now; its time-out counts anew."""
    plan = command.plan
    timeout = None if old.deadline is None else old.deadline - max(old.created_at, old.start_at or old.created_at)
    config = old.config if command.trace is None else with_trace(without_trace(old.config), command.trace)
    return Run(
        id=command.new_id or facts.run_id,
        workflow=plan.workflow,
        version=plan.version,
        fingerprint=plan.fingerprint,
        queue=plan.queue,
        status=RunStatus.PENDING,
        revision=0,
        priority=old.priority,
        key=command.key,
        request_hash=hashed,
        input=old.input,
        config=config,
        tags=old.tags,
        metadata=old.metadata,
        created_at=facts.now,
        start_at=None,
        started_at=None,
        finished_at=None,
        deadline=None if timeout is None else facts.now + timeout,
        output=None,
        failure=None,
        rerun_of=old.id,
        rerun_from=found.begins,
    )


HANDLER: Handler[RunCreated] = Handler(load=load, decide=decide)
