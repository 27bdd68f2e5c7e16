"""What waits in a SQLite store, counted for operators.

Rule: every count walks an index and stops where it was told to, so that a million jobs cost no more than thousands.
Routes and priorities are stepped over as a claim does it (:mod:`sqlite_statements`), never listed from the table.
"""

from collections import Counter
from collections.abc import Iterator

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.moments import from_micros, maybe_from_micros
from mainspring.adapters.sql.predicates import JOB_IS_HELD, JOB_IS_LEASED, JOB_IS_READY
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.names import Route
from mainspring.ports.records import Backlog, JobPhase, RouteBacklog, SinkBacklog

_ABOVE_ALL = 1 << 62

#: The next route after this one on which a job is or becomes due.
NEXT_ROUTE = f"select min(route) from jobs indexed by jobs_ready where route > ? and {JOB_IS_READY}"  # noqa: S608
#: The two below: of one route and priority, up to a moment, and after it.
COUNT_DUE = f"""
select count(*) from (select 1 from jobs indexed by jobs_ready
  where route = ? and priority = ? and available_at <= ? and {JOB_IS_READY} limit ?)"""  # noqa: S608
COUNT_LATER = f"""
select count(*) from (select 1 from jobs indexed by jobs_ready
  where route = ? and priority = ? and available_at > ? and {JOB_IS_READY} limit ?)"""  # noqa: S608
COUNT_LEASED = f"""
select route, count(*) from (select route from jobs indexed by jobs_leased where {JOB_IS_LEASED} limit ?)
group by route"""  # noqa: S608
COUNT_HELD = f"""
select route, phase, count(*) from (
  select route, phase from jobs indexed by jobs_held where {JOB_IS_HELD} and phase = ? limit ?)
group by route, phase"""  # noqa: S608
COUNT_EVENTS = "select count(*) from (select 1 from outbox indexed by outbox_order where sink = ? limit ?)"
OLDEST_EVENT = "select at from outbox indexed by outbox_order where sink = ? order by id limit 1"
COUNT_LETTERS = "select count(*) from (select 1 from dead_letters indexed by dead_letters_died where sink = ? limit ?)"


def backlog(tx: Transaction, most: int) -> Backlog:
    """What waits, by route."""
    most = max(most, 0)
    leased = Counter(dict[Route, int](tx.execute(COUNT_LEASED, (most,)).fetchall()))
    parked, blocked = (_held(tx, phase, most) for phase in (JobPhase.PARKED, JobPhase.BLOCKED))
    ready = {route: _ready(tx, route, most) for route in list(_routes(tx))}
    return Backlog(
        at=from_micros(tx.now),
        routes=tuple(
            RouteBacklog(
                route=route,
                ready_due=due,
                ready_later=later,
                leased=leased[route],
                parked=parked[route],
                blocked=blocked[route],
                oldest_due=maybe_from_micros(first),
            )
            for route in sorted({*ready, *leased, *parked, *blocked})
            for due, later, first in [ready.get(route, (0, 0, None))]
        ),
        sinks=tuple(_sinks(tx, most)),
    )


def _sinks(tx: Transaction, most: int) -> Iterator[SinkBacklog]:
    for number, sink in tx.sinks:
        count = tx.execute(COUNT_EVENTS, (number, most)).fetchone()[0]
        dead = tx.execute(COUNT_LETTERS, (number, most)).fetchone()[0]
        oldest = tx.execute(OLDEST_EVENT, (number,)).fetchone()
        first = None if oldest is None else maybe_from_micros(oldest[0])
        yield SinkBacklog(sink=sink.name, unpublished=count, oldest_event=first, dead=dead)


def _routes(tx: Transaction) -> Iterator[Route]:
    (route,) = tx.execute(NEXT_ROUTE, ("",)).fetchone()
    while route is not None:
        yield route
        (route,) = tx.execute(NEXT_ROUTE, (route,)).fetchone()


def _ready(tx: Transaction, route: Route, most: int) -> tuple[int, int, int | None]:
    """How many of the route's jobs are due, how many will be, and since when the first is due."""
    due = later = 0
    oldest: int | None = None
    level = tx.execute(sql.DUE_PROBE, (route, _ABOVE_ALL)).fetchone()
    while level is not None:
        priority, first = level
        if first <= tx.now:
            due += tx.execute(COUNT_DUE, (route, priority, tx.now, most - due)).fetchone()[0]
            oldest = first if oldest is None else min(oldest, first)
        later += tx.execute(COUNT_LATER, (route, priority, tx.now, most - later)).fetchone()[0]
        level = tx.execute(sql.DUE_PROBE, (route, priority)).fetchone()
    return due, later, oldest


def _held(tx: Transaction, phase: JobPhase, most: int) -> Counter[Route]:
    return Counter({route: count for route, _, count in tx.execute(COUNT_HELD, (phase.value, most)).fetchall()})
