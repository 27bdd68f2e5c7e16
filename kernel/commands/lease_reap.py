"""lease.reap: take a job whose lease ran out away from its dead worker.

Guards: lease id, wake count and ``until`` before the store's time, all checked again under the lock; when it ends the
stage also the run revision. Upkeep reaps for every route, so it knows no plan: the back-off is ``BACK_OFF``.
"""

from datetime import datetime
from typing import ClassVar

import attrs

from mainspring.kernel import ending
from mainspring.kernel.attempts import attempt_record, begin, given_back
from mainspring.kernel.commands.attempt_finish import retrying_event
from mainspring.kernel.commands.common import require_run
from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.retry import Retry
from mainspring.ports.change import Change, LeaseGuard
from mainspring.ports.names import LeaseId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Failure,
    Job,
    JobKey,
    RunState,
    RunStatus,
)

BACK_OFF = Retry()


@attrs.frozen(kw_only=True)
class LeaseReaped:
    """What was done; all False: somebody else had reaped, extended or finished it."""

    key: JobKey
    reaped: bool = False  #: the job waits for another worker
    due: datetime | None = None  #: when it is due again, if it waits
    ended: bool = False  #: the stage ended with it: no attempt was left, or its run is being cancelled


@attrs.frozen(kw_only=True)
class ReapLease(Command[LeaseReaped]):
    """Reap this very lease, if it is still there and still over."""

    name: ClassVar[str] = "lease.reap"

    key: JobKey
    lease_id: LeaseId


@attrs.frozen
class ReapState:
    """What is decided on: the run's state, and the job."""

    run: RunState
    job: Job | None


async def load(command: ReapLease, store: RunStore, facts: Facts, repeat: Repeat) -> ReapState:
    """The job before the run: should the run move on in between, its revision tells."""
    job = await store.job(command.key)
    state = await store.run_state(command.key.run_id)
    return ReapState(require_run(state, command.key.run_id), job)


def decide(command: ReapLease, state: ReapState, facts: Facts) -> Decision[LeaseReaped]:
    """Give the job to others after a back-off; past its last attempt the stage fails with ``worker_lost``."""
    job, run = state.job, state.run.run
    if (
        job is None
        or job.lease_id != command.lease_id
        or job.lease_until is None
        or job.lease_until >= facts.now
        or run.status in TERMINAL_RUN_STATUSES
    ):
        return Decision(LeaseReaped(key=command.key))
    lost = Failure(
        code="worker_lost",
        type="WorkerLost",
        message=f"worker {job.worker} held attempt {job.attempt} of {job.max_attempts} and was not heard of any more",
        stage=job.stage,
    )
    # the wake count as well: a cancel that came since the job was read must not wait out the back-off
    guard = LeaseGuard(key=job.key, lease_id=command.lease_id, wakes=job.wakes, expired=True)
    if run.status is RunStatus.CANCELLING or job.attempt >= job.max_attempts:
        begun_state, begun = begin(state.run, job, facts, started_told=True)
        end = ending.cancel if run.status is RunStatus.CANCELLING else ending.fail
        change, _ = end(begun_state, job, facts, guard=guard, failure=lost, begun=begun)
        return Decision(LeaseReaped(key=job.key, ended=True), change)
    due = facts.now + BACK_OFF.delay(max(1, job.attempt), facts.random)
    change = Change(
        leases=(guard,),
        attempts=(attempt_record(job, facts, lost),),
        job_moves=(given_back(job, attempt=job.attempt, available_at=due, not_before=due),),
        events=(retrying_event(job, facts, lost, due),),
    )
    return Decision(LeaseReaped(key=job.key, reaped=True, due=due), change)


HANDLER: Handler[LeaseReaped] = Handler(load=load, decide=decide)
