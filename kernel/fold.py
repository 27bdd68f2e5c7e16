"""Folding: finishes of one run that arrive together are decided one after another on one state, and committed as one.

A join of a thousand parallel stages is thereby a handful of Changes. The caller keeps the state that the last fold
left; the guards tell when it is stale, and only then anything is read.
"""

from collections.abc import Sequence
from typing import Any

import attrs

from mainspring.kernel.commands import attempt_finish
from mainspring.kernel.decision import Facts
from mainspring.kernel.outcomes import AttemptFinished, Finish, FinishAttempt
from mainspring.ports.change import Change, Unpark
from mainspring.ports.errors import LeaseLostError
from mainspring.ports.names import LeaseId, StageId
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Job, RunState

Answer = AttemptFinished | LeaseLostError


@attrs.frozen(slots=False)
class Fold:
    """What a fold decided: an answer per command, one Change (None: nothing to write), and the state afterwards."""

    answers: list[Answer]
    change: Change | None
    state: RunState | None


def fold(
    commands: Sequence[FinishAttempt],
    state: RunState | None,
    rows: dict[LeaseId, Job] | None,
    facts: Sequence[Facts],
) -> Fold:
    """Decide all on one state.

    ``rows``: the run's leased jobs as just read, by lease id; None: nothing was read, each command's own row is taken
    and the guards will tell.
    """
    answers: list[Answer] = []
    changes: list[Change] = []
    ended: set[LeaseId | None] = set()  # an attempt ends once: a second finish of it, in one fold, comes too late
    for command, known in zip(commands, facts, strict=True):
        lease_id = command.job.lease_id
        decided = _lost(command) if lease_id in ended else _decide(command, state, rows, known)
        if isinstance(decided, Finish):
            answers.append(decided.result)
            state = decided.state
            if not decided.change.is_empty:
                changes.append(decided.change)
                ended.add(lease_id)
        else:
            answers.append(decided)
    return Fold(answers, merge(changes) if changes else None, state)


def _decide(
    command: FinishAttempt, state: RunState | None, rows: dict[LeaseId, Job] | None, facts: Facts
) -> Finish | Answer:
    lease_id = command.job.lease_id
    row = command.job if rows is None else rows.get(lease_id) if lease_id is not None else None
    if state is None or row is None or state.run.status in TERMINAL_RUN_STATUSES:
        return _lost(command)
    if row is not command.job and row.key != command.job.key:
        # an earlier commit of unknown outcome was written after all: the row stands at the next stage, still ours
        return AttemptFinished(job=_as_seen(row, command), run_status=state.run.status)
    finish = attempt_finish.decide(command, state, row, facts)
    if rows is None or finish.result.stays or finish.result.job is None:
        return finish
    return attrs.evolve(finish, result=attrs.evolve(finish.result, job=_as_seen(finish.result.job, command)))


def _as_seen(job: Job, command: FinishAttempt) -> Job:
    """The job handed over, with the wake count the body last saw: one read since would hide what woke it meanwhile."""
    return attrs.evolve(job, wakes=command.job.wakes)


def _lost(command: FinishAttempt) -> LeaseLostError:
    return LeaseLostError(f"the lease on {command.job.key} is gone; nothing of this attempt was written")


def merge(changes: Sequence[Change]) -> Change:
    """One Change that writes what the given ones write, decided each on the state the one before left."""
    if len(changes) == 1:
        return changes[0]
    patches = [change.run for change in changes if change.run is not None]
    run = None
    if patches:
        run = patches[0]
        for patch in patches[1:]:
            later = {
                field: value
                for field in ("status", "started_at", "finished_at", "output", "failure", "cancel_reason")
                if (value := getattr(patch, field)) is not None
            }
            run = attrs.evolve(run, bump=run.bump + patch.bump, **later)
    # states of one fold follow from one another: the first guard holds for all, and a patch guards by itself
    shared = next((change.run_guard for change in changes if change.run_guard is not None), None)
    return Change(
        run=run,
        run_guard=shared if run is None else None,
        leases=_all(changes, "leases"),
        stages=_all(changes, "stages"),
        attempts=_all(changes, "attempts"),
        job_deletes=_all(changes, "job_deletes"),
        job_moves=_all(changes, "job_moves"),
        jobs=_all(changes, "jobs"),
        unpark=_summed(_all(changes, "unpark")),
        end_jobs=next((change.end_jobs for change in changes if change.end_jobs is not None), None),
        events=_all(changes, "events"),
    )


def _summed(unparks: Sequence[Unpark]) -> tuple[Unpark, ...]:
    summed: dict[StageId, Unpark] = {}
    for unpark in unparks:
        known = summed.get(unpark.stage)
        summed[unpark.stage] = unpark if known is None else attrs.evolve(unpark, count=known.count + unpark.count)
    return tuple(summed.values())


def _all(changes: Sequence[Change], field: str) -> tuple[Any, ...]:
    return tuple(item for change in changes for item in getattr(change, field))
