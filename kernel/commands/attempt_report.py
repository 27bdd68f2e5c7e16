"""attempt.report: keep the body's latest word on its progress, and tell it as an event. Guard: lease."""

import json
from math import isfinite
from typing import ClassVar

import attrs

from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.events import stage_event
from mainspring.ports.change import Change, LeaseGuard, Progress
from mainspring.ports.errors import InvalidValueError, LeaseLostError, Problem
from mainspring.ports.names import RunId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import Job


@attrs.frozen(kw_only=True)
class ProgressReported:
    """The progress is on record."""

    run_id: RunId


@attrs.frozen(kw_only=True)
class ReportProgress(Command[ProgressReported]):
    """``done`` of ``total`` units (None: unknown how many), and a word for people."""

    name: ClassVar[str] = "attempt.report"

    job: Job
    done: float
    total: float | None = None
    message: str = ""


async def load(command: ReportProgress, store: RunStore, facts: Facts, repeat: Repeat) -> None:
    """Nothing; a refusal means that the lease is gone.

    Raises:
        LeaseLostError: it is.
    """
    if repeat.stale:
        msg = f"the lease on {command.job.key} is gone"
        raise LeaseLostError(msg)


def decide(command: ReportProgress, state: None, facts: Facts) -> Decision[ProgressReported]:
    """Replace what was told before.

    Raises:
        InvalidValueError: a number is infinite or none.
    """
    job = command.job
    if job.lease_id is None:
        msg = f"progress of {job.key} without a lease"
        raise LeaseLostError(msg)
    if not all(isfinite(number) for number in (command.done, command.total or 0.0)):
        told_of = f"{command.done!r} of {command.total!r}"
        raise InvalidValueError("progress", (Problem("$", f"expected finite numbers, found {told_of}"),))
    told = {"done": command.done, "total": command.total, "message": command.message[:500]}
    change = Change(
        leases=(LeaseGuard(key=job.key, lease_id=job.lease_id),),
        progress=Progress(key=job.key, data=json.dumps(told)),
        events=(stage_event("stage.progress", job.key, facts.now, **told),),
    )
    return Decision(ProgressReported(run_id=job.run_id), change)


HANDLER: Handler[ProgressReported] = Handler(load=load, decide=decide)
