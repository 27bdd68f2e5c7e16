"""run.cancel: stop a run.

Jobs nobody holds end with this very Change; those under way are told (their run is woken) and end as cancelled,
whatever their bodies return. Guards: run revision; for each job decided as unleased: no lease, and the claim token as
read.
"""

import json
from typing import ClassVar

import attrs

from mainspring.kernel.attempts import ended
from mainspring.kernel.commands.common import require_active, require_run
from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.events import run_event, stage_event
from mainspring.kernel.transitions import RUN, RunEvent, StageEvent, step
from mainspring.ports.change import Change, RunPatch, UnleasedGuard, Wake
from mainspring.ports.names import RunId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import Job, Run, RunStatus


@attrs.frozen(kw_only=True)
class RunCancelled:
    """Where the run stands now: ``cancelled``, or ``cancelling`` while attempts are being told."""

    run_id: RunId
    status: RunStatus


@attrs.frozen(kw_only=True)
class CancelRun(Command[RunCancelled]):
    """Stop the run; ``reason`` is shown to operators."""

    name: ClassVar[str] = "run.cancel"

    run_id: RunId
    reason: str | None = None


PATIENCE = 5
"""Refusals after which every job is decided as held: a wide map under way is claimed faster than its jobs are read."""


@attrs.frozen
class CancelState:
    """What is decided on: the run, and its jobs."""

    run: Run
    jobs: tuple[Job, ...] | None  #: None: not read, treat all as held


async def load(command: CancelRun, store: RunStore, facts: Facts, repeat: Repeat) -> CancelState:
    """The run, then its jobs: a job claimed in between is refused by its token."""
    run = require_run(await store.run(command.run_id), command.run_id)
    jobs = tuple(await store.jobs(command.run_id)) if repeat.stale < PATIENCE else None
    return CancelState(run, jobs)


def decide(command: CancelRun, state: CancelState, facts: Facts) -> Decision[RunCancelled]:
    """End what nobody holds, tell the rest. A second cancel ends what was given back since the first."""
    run = state.run
    idle = [job for job in state.jobs or () if job.lease_id is None]
    held = state.jobs is None or len(idle) < len(state.jobs)
    again = run.status is RunStatus.CANCELLING
    if run.status is RunStatus.CANCELLED or (again and held and not idle):
        return Decision(RunCancelled(run_id=run.id, status=run.status))
    require_active(run)
    if held:
        status = run.status if again else step(RUN, run.status, RunEvent.CANCEL)
    else:
        status = step(RUN, run.status, RunEvent.SETTLE)
    reason = run.cancel_reason if again else command.reason
    events = [stage_event("stage.cancelled", job.key, facts.now) for job in idle]
    if not (again and held):
        events.append(run_event("run.cancelling" if held else "run.cancelled", run.id, facts.now, reason=reason))
    change = Change(
        run=RunPatch(
            run_id=run.id,
            revision=run.revision,
            status=status,
            cancel_reason=reason,
            finished_at=None if held else facts.now,
        ),
        unleased=tuple(UnleasedGuard(key=job.key, token=job.token) for job in idle),
        stages=tuple(ended(job, StageEvent.CANCEL, facts) for job in idle),
        job_deletes=tuple(job.key for job in idle),
        wakes=(Wake(run_id=run.id, at=facts.now, hurry=True),) if held else (),
        events=tuple(events),
    )
    return Decision(RunCancelled(run_id=run.id, status=status), change)


def recall(text: str) -> RunCancelled:
    """The remembered result."""
    fields = json.loads(text)
    return RunCancelled(run_id=RunId(fields["run_id"]), status=RunStatus(fields["status"]))


HANDLER: Handler[RunCancelled] = Handler(load=load, decide=decide, recall=recall)
