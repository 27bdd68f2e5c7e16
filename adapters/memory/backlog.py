"""What waits in the store, counted for operators.

Rule: what is due or will be is read off the index, no further than asked; the rest is counted in one pass over the
jobs, which a store that lives in memory can afford.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from mainspring.adapters.memory.store import MemoryStore
from mainspring.ports.names import Route
from mainspring.ports.records import Backlog, JobPhase, RouteBacklog, SinkBacklog


def backlog(store: MemoryStore, most: int) -> Backlog:
    """What waits, by route. Hold the store's lock."""
    now = store.clock.now()
    leased: Counter[Route] = Counter()
    held: dict[JobPhase, Counter[Route]] = {JobPhase.PARKED: Counter(), JobPhase.BLOCKED: Counter()}
    for job in store.jobs.rows():
        if job.lease_id is not None:
            leased[job.route] += 1
        elif job.phase in held:
            held[job.phase][job.route] += 1
    ready = store.job_index.ready(now, most)
    routes = sorted({*ready, *leased, *held[JobPhase.PARKED], *held[JobPhase.BLOCKED]})
    return Backlog(
        at=now,
        routes=tuple(
            RouteBacklog(
                route=route,
                ready_due=due,
                ready_later=later,
                leased=min(leased[route], most),
                parked=min(held[JobPhase.PARKED][route], most),
                blocked=min(held[JobPhase.BLOCKED][route], most),
                oldest_due=first,
            )
            for route in routes
            for due, later, first in [ready.get(route, (0, 0, None))]
        ),
        sinks=tuple(_sinks(store, max(most, 0))),
    )


def _sinks(store: MemoryStore, most: int) -> Iterator[SinkBacklog]:
    dead = Counter(buried.letter.sink for buried in store.dead_letters.rows())
    for sink in sorted(row.name for row in store.sinks.rows()):
        events = list(islice(store.outbox_index.by_age(sink), most))
        oldest = store.outbox.get(events[0]) if events else None
        yield SinkBacklog(
            sink=sink,
            unpublished=len(events),
            oldest_event=None if oldest is None else oldest.event.at,
            dead=min(dead[sink], most),
        )
