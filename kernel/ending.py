"""Ends that are no completion: a stage that fails takes its run along; the last one cancelled settles it."""

import attrs

from mainspring.kernel.advance import with_tally
from mainspring.kernel.attempts import Begun, ended, patch, patched
from mainspring.kernel.decision import Facts
from mainspring.kernel.events import failure_data, run_event, stage_event
from mainspring.kernel.plan import NO_ROWS
from mainspring.kernel.transitions import RUN, STAGE, RunEvent, StageEvent, StageStanding, step
from mainspring.ports.change import Change, EndJobs, LeaseGuard, Unpark
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Failure, Job, JobKey, RunState, RunStatus


def fail(
    state: RunState, job: Job, facts: Facts, *, guard: LeaseGuard, failure: Failure, begun: Begun
) -> tuple[Change, RunState]:
    """The stage failed for good: the run fails with it, and every other stage under way ends as cancelled."""
    status = step(RUN, state.run.status, RunEvent.FAIL)
    failure = attrs.evolve(failure, stage=job.stage)
    told = failure_data(failure)
    run = patch(state, begun, status, finished_at=facts.now, failure=failure)
    change = Change(
        run=run,
        leases=(guard,),
        stages=(ended(job, StageEvent.FAIL, facts, failure=failure),),
        job_deletes=(job.key,),
        end_jobs=end_jobs(job.run_id, facts),
        events=(
            *begun.events,
            stage_event("stage.failed", job.key, facts.now, attempt=job.attempt, will_retry=False, **told),
            run_event("run.failed", job.run_id, facts.now, stage=job.stage, **told),
        ),
    )
    return change, patched(RunState(run=state.run, stages={}), run)


def cancel(
    state: RunState, job: Job, facts: Facts, *, guard: LeaseGuard, failure: Failure | None, begun: Begun
) -> tuple[Change, RunState]:
    """In a run that is being cancelled no attempt completes; the last one to end ends the run."""
    state = with_tally(state, job.stage, active=-1, cancelled=1)
    state, unpark = free_next(state, job, facts)
    status: RunStatus | None = None
    events = [*begun.events, stage_event("stage.cancelled", job.key, facts.now, attempt=job.attempt)]
    if state.active == 0:
        status = step(RUN, state.run.status, RunEvent.SETTLE)
        events.append(run_event("run.cancelled", job.run_id, facts.now, reason=state.run.cancel_reason))
    run = patch(state, begun, status, finished_at=facts.now if status else None)
    change = Change(
        run=run,
        leases=(guard,),
        stages=(ended(job, StageEvent.CANCEL, facts, failure=failure),),
        job_deletes=(job.key,),
        unpark=unpark,
        events=tuple(events),
    )
    return change, patched(state, run)


def end_jobs(run_id: RunId, facts: Facts) -> EndJobs:
    """Whatever is left of the run ends as cancelled."""
    return EndJobs(run_id=run_id, status=step(STAGE, StageStanding.ACTIVE, StageEvent.CANCEL), at=facts.now)


def freed(state: RunState, stage: StageId, unpark: tuple[Unpark, ...]) -> tuple[JobKey, ...]:
    """The instance that ``free_next`` made ready, in the state it left: instances are freed in order of index."""
    tally = state.stages.get(stage, NO_ROWS)
    return tuple(JobKey(one.run_id, stage, tally.width - tally.parked - one.count) for one in unpark)


def free_next(state: RunState, job: Job, facts: Facts) -> tuple[RunState, tuple[Unpark, ...]]:
    """An instance of a bounded map ended: the next parked one becomes ready."""
    if not state.stages[job.stage].parked:
        return state, ()
    state = with_tally(state, job.stage, parked=-1, active=1)
    return state, (Unpark(run_id=job.run_id, stage=job.stage, count=1, at=facts.now),)
