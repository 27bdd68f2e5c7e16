"""What follows when an attempt completes: the next stages' jobs, a hand-over in place, or the run's completion."""

import attrs

from mainspring.kernel.advance import after_completion, with_tally
from mainspring.kernel.attempts import Begun, ended, lease_guard, patch, patched
from mainspring.kernel.decision import Facts
from mainspring.kernel.ending import free_next
from mainspring.kernel.events import run_event, stage_event
from mainspring.kernel.outcomes import AttemptFinished, Completed, Finish, FinishAttempt
from mainspring.kernel.transitions import RUN, RunEvent, StageEvent, step
from mainspring.ports.change import Change, JobMove
from mainspring.ports.records import Job, JobPhase, RunState, StageRecord


def complete(
    command: FinishAttempt, state: RunState, job: Job, facts: Facts, outcome: Completed, *, begun: Begun
) -> Finish:
    """The stage's instance completed."""
    plan = command.plan
    state = with_tally(state, job.stage, active=-1, completed=1)
    state, unpark = free_next(state, job, facts)
    record = ended(job, StageEvent.COMPLETE, facts, output=outcome.output)
    events = (*begun.events, stage_event("stage.completed", job.key, facts.now, attempt=job.attempt))
    ahead: tuple[Job, ...] = ()
    empty: tuple[StageRecord, ...] = ()
    if plan.is_complete(job.stage, state):
        advance = after_completion(state, plan, job.stage, facts.now, outcome.elements)
        ahead, empty, state = advance.jobs, advance.empty, advance.state
    change = Change(
        run=patch(state, begun), leases=(lease_guard(job),), stages=(record, *empty), unpark=unpark, events=events
    )
    if state.active == 0:
        return _complete_run(command, state, job, facts, outcome, change=change)
    after = patched(state, patch(state, begun))
    if len(ahead) == 1 and ahead[0].phase is JobPhase.READY:
        moved = _hand_over(job, ahead[0], facts, keep=command.keep)
        kept = _handed(job, ahead[0], facts) if command.keep else None
        result = AttemptFinished(job=kept, due=bool(unpark) or kept is None, run_status=state.run.status)
        return Finish(result, attrs.evolve(change, job_moves=(moved,)), after)
    change = attrs.evolve(change, job_deletes=(job.key,), jobs=ahead)
    return Finish(AttemptFinished(due=bool(ahead or unpark), run_status=state.run.status), change, after)


def _complete_run(
    command: FinishAttempt, state: RunState, job: Job, facts: Facts, outcome: Completed, *, change: Change
) -> Finish:
    """The last stage completed. Several last stages: the output is put together from their rows when it is read."""
    plan = command.plan
    status = step(RUN, state.run.status, RunEvent.COMPLETE)
    single = plan.outputs == (job.stage,) and not plan.stages[job.stage].mapped
    assert change.run is not None  # noqa: S101  every completion patches its run
    run = attrs.evolve(change.run, status=status, finished_at=facts.now, output=outcome.output if single else None)
    change = attrs.evolve(
        change,
        run=run,
        job_deletes=(job.key,),
        events=(*change.events, run_event("run.completed", job.run_id, facts.now)),
    )
    return Finish(AttemptFinished(run_status=status), change, patched(state, run))


def _hand_over(job: Job, ahead: Job, facts: Facts, *, keep: bool) -> JobMove:
    return JobMove(
        key=job.key,
        stage=ahead.stage,
        index=ahead.index,
        route=ahead.route,
        available_at=facts.now,
        attempt=1 if keep else 0,
        max_attempts=ahead.max_attempts,
        input=ahead.input,
        claimed_at=facts.now if keep else None,
        keep_lease=keep,
    )


def _handed(job: Job, ahead: Job, facts: Facts) -> Job:
    return attrs.evolve(
        job,
        stage=ahead.stage,
        index=ahead.index,
        route=ahead.route,
        available_at=facts.now,
        not_before=None,
        attempt=1,
        max_attempts=ahead.max_attempts,
        input=ahead.input,
        claimed_at=facts.now,
        progress=None,
    )
