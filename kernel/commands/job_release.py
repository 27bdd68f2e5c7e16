"""job.release: give a job back unharmed, its attempt refunded. Guard: lease."""

from typing import ClassVar

import attrs

from mainspring.kernel.attempts import given_back
from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.ports.change import Change, LeaseGuard
from mainspring.ports.names import RunId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import Job


@attrs.frozen(kw_only=True)
class JobReleased:
    """Whether this command gave it back; False: the lease was gone already."""

    run_id: RunId
    released: bool


@attrs.frozen(kw_only=True)
class ReleaseJob(Command[JobReleased]):
    """Give the job back: at a shutdown, or when the host has no time left for it."""

    name: ClassVar[str] = "job.release"

    job: Job  #: as claimed or handed over


async def load(command: ReleaseJob, store: RunStore, facts: Facts, repeat: Repeat) -> Job | None:
    """Nothing at first; after a refusal the row as it stands."""
    if not repeat.stale and not repeat.unsure:
        return command.job
    row = await store.job(command.job.key)
    return row if row is not None and row.lease_id == command.job.lease_id else None


def decide(command: ReleaseJob, state: Job | None, facts: Facts) -> Decision[JobReleased]:
    """Ready again at once, as if never claimed."""
    if state is None or state.lease_id is None:
        return Decision(JobReleased(run_id=command.job.run_id, released=False))
    change = Change(
        leases=(LeaseGuard(key=state.key, lease_id=state.lease_id),),
        job_moves=(given_back(state, attempt=max(0, state.attempt - 1), available_at=facts.now),),
    )
    return Decision(JobReleased(run_id=state.run_id, released=True), change)


HANDLER: Handler[JobReleased] = Handler(load=load, decide=decide)
