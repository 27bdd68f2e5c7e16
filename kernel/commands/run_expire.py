"""run.expire: end a run whose deadline has passed, whatever its stages are doing.

Guards: run revision. Every job row goes; a leased one is thereby fenced, and its worker learns it at its heartbeat.
"""

from typing import ClassVar

import attrs

from mainspring.kernel.commands.common import require_run
from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.ending import end_jobs
from mainspring.kernel.events import failure_data, run_event
from mainspring.kernel.transitions import RUN, RunEvent, step
from mainspring.ports.change import Change, RunPatch
from mainspring.ports.names import RunId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Failure, Run, RunStatus


@attrs.frozen(kw_only=True)
class RunExpired:
    """Whether the run was ended by this command."""

    run_id: RunId
    expired: bool


@attrs.frozen(kw_only=True)
class ExpireRun(Command[RunExpired]):
    """End the run if its deadline has passed."""

    name: ClassVar[str] = "run.expire"

    run_id: RunId


async def load(command: ExpireRun, store: RunStore, facts: Facts, repeat: Repeat) -> Run:
    """The run."""
    return require_run(await store.run(command.run_id), command.run_id)


def decide(command: ExpireRun, state: Run, facts: Facts) -> Decision[RunExpired]:
    """Fail it as timed out; a run that is being cancelled ends as cancelled."""
    run = state
    if run.status in TERMINAL_RUN_STATUSES or run.deadline is None or run.deadline > facts.now:
        return Decision(RunExpired(run_id=run.id, expired=False))
    late = Failure(code="timed_out", message=f"the run did not end before its deadline, {run.deadline.isoformat()}")
    cancelling = run.status is RunStatus.CANCELLING
    status = step(RUN, run.status, RunEvent.SETTLE if cancelling else RunEvent.FAIL)
    if cancelling:
        event = run_event("run.cancelled", run.id, facts.now, reason=run.cancel_reason)
    else:
        event = run_event("run.failed", run.id, facts.now, **failure_data(late))
    change = Change(
        run=RunPatch(
            run_id=run.id,
            revision=run.revision,
            status=status,
            finished_at=facts.now,
            failure=None if cancelling else late,
        ),
        end_jobs=end_jobs(run.id, facts),
        events=(event,),
    )
    return Decision(RunExpired(run_id=run.id, expired=True), change)


HANDLER: Handler[RunExpired] = Handler(load=load, decide=decide)
