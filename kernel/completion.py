"""What follows when an attempt completes: the next stages' jobs, a hand-over in place, or the run's completion."""

from mainspring.kernel.advance import after_completion, with_tally
from mainspring.kernel.attempts import Begun, ended, lease_guard, patch, patched
from mainspring.kernel.decision import Facts
from mainspring.kernel.ending import free_next, freed
from mainspring.kernel.events import run_event, stage_event
from mainspring.kernel.outcomes import AttemptFinished, Completed, Finish, FinishAttempt
from mainspring.kernel.transitions import RUN, RunEvent, StageEvent, step
from mainspring.ports.change import Change, JobMove, RunPatch
from mainspring.ports.evolving import evolved
from mainspring.ports.records import Job, JobKey, JobPhase, RunState, StageRecord


def complete(
    command: FinishAttempt, state: RunState, job: Job, facts: Facts, outcome: Completed, *, begun: Begun
) -> Finish:
    """The stage's instance completed."""
    plan = command.plan
    state = with_tally(state, job.stage, active=-1, completed=1)
    state, unpark = free_next(state, job, facts)
    record = ended(job, StageEvent.COMPLETE, facts, output=outcome.output, artifacts=outcome.artifacts)
    key = job.key
    events = (*begun.events, stage_event("stage.completed", key, facts.now, attempt=job.attempt))
    ahead: tuple[Job, ...] = ()
    empty: tuple[StageRecord, ...] = ()
    if plan.is_complete(job.stage, state):
        advance = after_completion(state, plan, job.stage, facts.now, outcome.elements)
        ahead, empty, state = advance.jobs, advance.empty, advance.state
    moves: tuple[JobMove, ...] = ()
    kept: Job | None = None
    due = freed(state, job.stage, unpark) + tuple(one.key for one in ahead if one.phase is JobPhase.READY)
    if state.active == 0:
        run = _last_patch(command, state, job, facts, outcome, begun=begun)
        events = (*events, run_event("run.completed", job.run_id, facts.now))
    else:
        run = patch(state, begun)
    if len(ahead) == 1 and ahead[0].phase is JobPhase.READY:
        moves = (_hand_over(key, ahead[0], facts, keep=command.keep),)
        if command.keep:
            kept, due = _handed(job, ahead[0], facts), ()
        ahead = ()
    change = Change(
        run=run,
        leases=(lease_guard(job),),
        stages=(record, *empty),
        job_deletes=() if moves else (key,),
        job_moves=moves,
        jobs=ahead,
        unpark=unpark,
        events=events,
    )
    after = patched(state, run)
    return Finish(AttemptFinished(job=kept, due=due, run_status=after.run.status), change, after)


def _last_patch(
    command: FinishAttempt, state: RunState, job: Job, facts: Facts, outcome: Completed, *, begun: Begun
) -> RunPatch:
    """The last stage completed. Several last stages: the output is put together from their rows when it is read."""
    plan = command.plan
    single = plan.outputs == (job.stage,) and not plan.stages[job.stage].mapped
    return patch(
        state,
        begun,
        step(RUN, state.run.status, RunEvent.COMPLETE),
        finished_at=facts.now,
        output=outcome.output if single else None,
    )


def _hand_over(key: JobKey, ahead: Job, facts: Facts, *, keep: bool) -> JobMove:
    return JobMove(
        key=key,
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
    return evolved(
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
        polling=None,
    )
