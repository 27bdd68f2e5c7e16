"""attempt.finish: how an attempt ended, and what follows from it.

Completed, failed for good or handed over (a job row is created, moved or deleted): guards lease + run revision. Retry
later, or not ready: lease + the wake count as known. Suspended: lease + the wake count the body last saw. Each also
takes the run from pending to running where it is the run's first Change: then it is guarded by the revision, too.
Finishes of one run are decided in folds (``kernel.fold``): one after another on one state, committed together.
"""

from datetime import datetime
from typing import assert_never

import attrs

from mainspring.kernel import ending, polling
from mainspring.kernel.attempts import Begun, attempt_record, begin, given_back, lease_guard, patch, patched
from mainspring.kernel.completion import complete
from mainspring.kernel.decision import Facts
from mainspring.kernel.events import failure_data, stage_event
from mainspring.kernel.outcomes import (
    AttemptFinished,
    Cancelled,
    Completed,
    Failed,
    Finish,
    FinishAttempt,
    NotReady,
    Outcome,
    Suspended,
)
from mainspring.ports.change import Change, RunGuard
from mainspring.ports.records import EventDraft, Failure, Job, RunState, RunStatus


def decide(command: FinishAttempt, state: RunState, job: Job, facts: Facts) -> Finish:
    """Decide one finish on a state. ``job`` is the freshest row known under the command's lease; the run is active."""
    outcome = command.outcome
    cancelling = state.run.status is RunStatus.CANCELLING
    if isinstance(outcome, Suspended) and not cancelling and job.wakes != command.job.wakes:
        # a wake-up came that the body has not seen: the attempt stays, and nothing has begun or ended
        return Finish(AttemptFinished(job=job, stays=True, run_status=state.run.status), Change(), state)
    state, begun = begin(state, command.job, facts, started_told=command.started_told)
    if cancelling:
        return _cancel(command, state, job, facts, begun)
    match outcome:
        case Completed():
            return complete(command, state, job, facts, outcome, begun=begun)
        case Failed(failure=failure, retryable=True) if job.attempt < job.max_attempts:
            return _retry(command, state, job, facts, failure, begun=begun)
        case Failed(failure=failure):
            change, after = ending.fail(state, job, facts, guard=lease_guard(job), failure=failure, begun=begun)
            return Finish(AttemptFinished(run_status=after.run.status), change, after)
        case Suspended(until=until):
            return _suspend(command, state, job, facts, until, begun=begun)
        case NotReady():
            return _wait(command, state, job, facts, outcome, begun=begun)
        case Cancelled():
            return _retry_at_once(state, job, facts, begun)
    assert_never(outcome)


def _cancel(command: FinishAttempt, state: RunState, job: Job, facts: Facts, begun: Begun) -> Finish:
    failure = command.outcome.failure if isinstance(command.outcome, Failed) else None
    change, after = ending.cancel(state, job, facts, guard=lease_guard(job), failure=failure, begun=begun)
    due = ending.freed(after, job.stage, change.unpark)
    return Finish(AttemptFinished(run_status=after.run.status, due=due), change, after)


def _retry(
    command: FinishAttempt, state: RunState, job: Job, facts: Facts, failure: Failure, *, begun: Begun
) -> Finish:
    """Try again later. Guarded by the wake count too: a cancel wakes, and must not wait out the back-off."""
    due = facts.now + command.plan.stages[job.stage].retry.delay(job.attempt, facts.random)
    change = Change(
        leases=(lease_guard(job, wakes=job.wakes),),
        attempts=(attempt_record(job, facts, failure),),
        job_moves=(given_back(job, attempt=job.attempt, available_at=due, not_before=due),),
        events=(*begun.events, retrying_event(job, facts, failure, due)),
    )
    result = AttemptFinished(run_status=state.run.status, will_retry=True, later=due)
    return _by_lease(result, change, state, begun)


def retrying_event(job: Job, facts: Facts, failure: Failure, due: datetime) -> EventDraft:
    """A try failed; the next one is due then."""
    told = failure_data(failure)
    return stage_event(
        "stage.retrying", job.key, facts.now, attempt=job.attempt, will_retry=True, due_at=due.isoformat(), **told
    )


def _retry_at_once(state: RunState, job: Job, facts: Facts, begun: Begun) -> Finish:
    """Told of a cancel that the state does not know: nothing was decided, so the attempt is made again.

    Guarded by the run's revision: a kept state that missed the cancel would otherwise give the job back for ever.
    """
    guard = None if begun.status else RunGuard(run_id=state.run.id, revision=state.run.revision)
    change = Change(
        run_guard=guard,
        leases=(lease_guard(job),),
        job_moves=(given_back(job, attempt=max(0, job.attempt - 1), available_at=facts.now),),
        events=begun.events,
    )
    return _by_lease(AttemptFinished(run_status=state.run.status, due=(job.key,)), change, state, begun)


def _suspend(
    command: FinishAttempt, state: RunState, job: Job, facts: Facts, until: datetime | None, *, begun: Begun
) -> Finish:
    """Free the worker until the moment or a wake-up. Progress was made: the attempts begin anew."""
    change = Change(
        leases=(lease_guard(job, wakes=command.job.wakes),),
        job_moves=(given_back(job, attempt=0, available_at=until),),
        events=(*begun.events, stage_event("stage.suspended", job.key, facts.now)),
    )
    return _by_lease(AttemptFinished(run_status=state.run.status, suspended=True, later=until), change, state, begun)


def _wait(
    command: FinishAttempt, state: RunState, job: Job, facts: Facts, outcome: NotReady, *, begun: Begun
) -> Finish:
    """Free the worker until the next check. Guarded by the wake count too: a cancel must not wait for it."""
    waits = polling.polling(job, outcome, facts)
    late = polling.too_late(waits, facts)
    if late is not None:
        change, after = ending.fail(state, job, facts, guard=lease_guard(job), failure=late, begun=begun)
        return Finish(AttemptFinished(run_status=after.run.status), change, after)
    due = polling.due(job, command.job, waits, facts)
    told: tuple[EventDraft, ...] = ()
    if job.polling is None:  # once for all checks
        until = waits.until and waits.until.isoformat()
        told = (stage_event("stage.suspended", job.key, facts.now, due_at=due.isoformat(), until=until),)
    change = Change(
        leases=(lease_guard(job, wakes=job.wakes),),
        job_moves=(polling.waiting(job, waits, due),),
        events=(*begun.events, *told),
    )
    result = AttemptFinished(run_status=state.run.status, suspended=True, later=due)
    return _by_lease(result, change, state, begun)


def _by_lease(result: AttemptFinished, change: Change, state: RunState, begun: Begun) -> Finish:
    """A Change by lease alone; as the run's first one it also takes the run from pending to running."""
    if begun.status is None:
        return Finish(result, change, state)
    run = patch(state, begun)
    return Finish(result, attrs.evolve(change, run=run), patched(state, run))


__all__ = [
    "AttemptFinished",
    "Cancelled",
    "Completed",
    "Failed",
    "Finish",
    "FinishAttempt",
    "NotReady",
    "Outcome",
    "Suspended",
    "decide",
    "retrying_event",
]
