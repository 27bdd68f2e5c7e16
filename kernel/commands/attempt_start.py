"""attempt.start: tell that an attempt began, where its first other Change is long in coming.

Guards: lease; as the run's first Change also the run revision.
"""

from typing import ClassVar

import attrs

from mainspring.kernel.attempts import started_event
from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.events import run_event
from mainspring.kernel.transitions import RUN, RunEvent, step
from mainspring.ports.change import Change, LeaseGuard, RunPatch
from mainspring.ports.errors import LeaseLostError
from mainspring.ports.names import RunId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import Job, Run, RunStatus


@attrs.frozen(kw_only=True)
class AttemptStarted:
    """The start is on record."""

    run_id: RunId


@attrs.frozen(kw_only=True)
class StartAttempt(Command[AttemptStarted]):
    """Record the start of the attempt that holds ``job``."""

    name: ClassVar[str] = "attempt.start"

    job: Job


@attrs.frozen
class StartState:
    """What is decided on: the run, and the job."""

    run: Run | None
    job: Job | None


async def load(command: StartAttempt, store: RunStore, facts: Facts, repeat: Repeat) -> StartState:
    """The run and the row."""
    return StartState(await store.run(command.job.run_id), await store.job(command.job.key))


def decide(command: StartAttempt, state: StartState, facts: Facts) -> Decision[AttemptStarted]:
    """Take the run from pending to running if it is still pending."""
    run, job = state.run, state.job
    if run is None or job is None or job.lease_id is None or job.lease_id != command.job.lease_id:
        msg = f"the lease on {command.job.key} is gone"
        raise LeaseLostError(msg)
    begun = job.claimed_at or facts.now
    patch = None
    events = [started_event(job, begun)] if job.polling is None else []
    if run.status is RunStatus.PENDING:
        status = step(RUN, run.status, RunEvent.BEGIN)
        patch = RunPatch(run_id=run.id, revision=run.revision, status=status, started_at=begun)
        events.insert(0, run_event("run.started", run.id, begun))
    if not events:  # a check: its stage began long ago
        return Decision(AttemptStarted(run_id=run.id))
    guard = LeaseGuard(key=job.key, lease_id=job.lease_id)
    return Decision(AttemptStarted(run_id=run.id), Change(run=patch, leases=(guard,), events=tuple(events)))


HANDLER: Handler[AttemptStarted] = Handler(load=load, decide=decide)
