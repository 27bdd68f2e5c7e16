"""What follows when a body, or its check, returned ``Pending``: when the next check is due, and when it is too late.

The job keeps the state; the attempts begin anew, for progress was made. A wake-up that came meanwhile makes the next
check due at once: what it tells of may be what the stage waits for.
"""

from datetime import datetime, timedelta

from mainspring.kernel.decision import Facts
from mainspring.kernel.outcomes import NotReady
from mainspring.ports.change import JobMove
from mainspring.ports.records import Failure, Job, Polling

EVERY = timedelta(minutes=1)
"""Between two checks, where nothing is said."""


def polling(job: Job, outcome: NotReady, facts: Facts) -> Polling:
    """What the stage waits for from now on."""
    before = job.polling
    since = (job.claimed_at or facts.now) if before is None else before.since
    until = None if before is None else before.until
    match outcome.until:
        case timedelta() as length:
            until = since + length
        case datetime() as moment:
            until = moment
        case None:
            pass
    return Polling(
        state=outcome.state,
        every=outcome.every or (EVERY if before is None else before.every),
        since=since,
        until=until,
        checks=0 if before is None else before.checks + 1,
    )


def due(job: Job, seen: Job, waits: Polling, facts: Facts) -> datetime:
    """When the next check is: the last one at ``until``."""
    if job.wakes != seen.wakes:
        return facts.now
    moment = facts.now + waits.every
    return moment if waits.until is None else min(moment, waits.until)


def too_late(waits: Polling, facts: Facts) -> Failure | None:
    """Why the stage fails, if its time is over."""
    if waits.until is None or facts.now < waits.until:
        return None
    message = f"it was not ready by {waits.until.isoformat()}, after {waits.checks} checks"
    return Failure(code="timed_out", type="TimeoutError", message=message)


def waiting(job: Job, waits: Polling, at: datetime) -> JobMove:
    """The job as it waits for its next check."""
    return JobMove(
        key=job.key,
        stage=job.stage,
        index=job.index,
        route=job.route,
        available_at=at,
        attempt=0,
        max_attempts=job.max_attempts,
        input=job.input,
        polling=waits,
    )
