"""What lies in a store that nobody seems to care for: leases to reap, routes to serve, events to publish.

Rule: only what a healthy fleet would have done long ago counts; what is merely busy does not.
"""

from datetime import timedelta

from mainspring.hosts.node_worker.health import ALIVE
from mainspring.ports.diagnosis import Check, passed, warned
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Backlog, WorkerRecord

LATE = timedelta(seconds=60)
"""After so long every healthy fleet has reaped, or published."""

_LOOKED_AT = 1_000  # of each kind: the store's time is for workers
_SHOWN = 3


async def leftovers(store: Persistence) -> list[Check]:
    """Look at a store that workers use, or should.

    Raises:
        PortError: the store failed.
    """
    backlog = await store.backlog(_LOOKED_AT)
    alive = [one for one in await store.workers() if one.seen_at >= backlog.at - ALIVE]
    return [await _leases(store, backlog), _routes(backlog, alive), _outbox(backlog)]


async def _leases(store: Persistence, backlog: Backlog) -> Check:
    expired = await store.expired_leases(_LOOKED_AT)
    late = [one for one in expired if one.job.lease_until is not None and one.job.lease_until < backlog.at - LATE]
    if not late:
        return passed("leases", "none that ran out is left")
    return warned(
        "leases",
        f"{_number(len(late))} ran out more than {LATE.seconds} s ago, and nobody makes their jobs claimable again",
        "start a worker, or schedule the maintenance tick: any one of them does it",
    )


def _routes(backlog: Backlog, alive: list[WorkerRecord]) -> Check:
    served = {route for worker in alive for route in worker.routes}
    due = [one for one in backlog.routes if one.ready_due]
    left = [one for one in due if one.route not in served]
    if not left:
        return passed("routes", f"{len(alive)} workers were heard of lately; every due job has one that may take it")
    named = ", ".join(f"{one.route} ({_number(one.ready_due)} due)" for one in left[:_SHOWN])
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return warned(
        "routes",
        f"jobs are due that no worker heard of in the last {ALIVE.seconds} s serves: {named}{more}",
        "start workers with that version of the workflow, or cancel the runs",
    )


def _outbox(backlog: Backlog) -> Check:
    if backlog.oldest_event is None:
        return passed("outbox", "no event waits")
    age = (backlog.at - backlog.oldest_event).total_seconds()
    told = f"{_number(backlog.unpublished)} events wait, the oldest for {age:.0f} s"
    if age <= LATE.total_seconds():
        return passed("outbox", told)
    return warned("outbox", told, "no relay publishes them: give a worker a sink; or its sink refuses, see its log")


def _number(count: int) -> str:
    return f"{count:,} or more" if count >= _LOOKED_AT else f"{count:,}"
