"""What waits in a PostgreSQL store, counted for operators in one statement: one snapshot.

Rule: every count walks an index and stops where it was told to, so that a million jobs cost no more than thousands.
Routes and priorities are stepped over as a claim does it, never listed from the table.
"""

from mainspring.adapters.sql.moments import from_micros, maybe_from_micros
from mainspring.adapters.sql.postgres_statements import PRIORITIES
from mainspring.adapters.sql.predicates import JOB_IS_HELD, JOB_IS_LEASED, JOB_IS_READY
from mainspring.adapters.sql.rows import Row
from mainspring.ports.records import Backlog, JobPhase, RouteBacklog, SinkBacklog


def _held(phase: JobPhase) -> str:
    return f"(select route, phase from jobs where {JOB_IS_HELD} and phase = '{phase.value}' limit $1)"  # noqa: S608


#: $1 the most to count. A row of totals comes first (its route is null), then one per route.
BACKLOG = f"""
with recursive moment as materialized (select mainspring_now() as now),
rs as (
  (select route from jobs where {JOB_IS_READY} order by route limit 1)
  union all
  select (select j.route from jobs j where {JOB_IS_READY} and j.route > rs.route order by j.route limit 1)
  from rs where rs.route is not null),
ready as (
  select w.route, least(sum(d.n), $1) as due, least(sum(l.n), $1) as later, min(d.oldest) as oldest
  from rs w cross join lateral ({PRIORITIES} select priority from ps where priority is not null) p
  cross join lateral (
    select count(*) as n, min(available_at) as oldest from (
      select available_at from jobs where {JOB_IS_READY} and route = w.route and priority = p.priority
        and available_at <= (select now from moment) order by available_at limit $1) x) d
  cross join lateral (
    select count(*) as n from (
      select 1 from jobs where {JOB_IS_READY} and route = w.route and priority = p.priority
        and available_at > (select now from moment) limit $1) x) l
  where w.route is not null group by w.route),
leased as (select route, count(*) as n from (select route from jobs where {JOB_IS_LEASED} limit $1) x group by route),
held as (
  select route, count(*) filter (where phase = '{JobPhase.PARKED.value}') as parked,
    count(*) filter (where phase = '{JobPhase.BLOCKED.value}') as blocked
  from ({_held(JobPhase.PARKED)} union all {_held(JobPhase.BLOCKED)}) x group by route),
routes as (select route from ready union select route from leased union select route from held)
select null, (select now from moment), null, null, null, null, null, (
  select json_agg(json_build_array(s.name,
    (select count(*) from (select 1 from outbox o where o.sink = s.id limit $1) x),
    (select o.at from outbox o where o.sink = s.id order by o.id limit 1),
    (select count(*) from (select 1 from dead_letters d where d.sink = s.id limit $1) y)) order by s.name)
  from sinks s)
union all
select route, coalesce(ready.due, 0), coalesce(ready.later, 0), ready.oldest, coalesce(leased.n, 0),
  coalesce(held.parked, 0), coalesce(held.blocked, 0), null
from routes left join ready using (route) left join leased using (route) left join held using (route)""".encode()  # noqa: S608


def read_backlog(rows: list[Row]) -> Backlog:
    """What ``BACKLOG`` answered."""
    (total,) = (row for row in rows if row[0] is None)
    return Backlog(
        at=from_micros(int(total[1])),
        routes=tuple(
            RouteBacklog(
                route=row[0],
                ready_due=int(row[1]),
                ready_later=int(row[2]),
                oldest_due=maybe_from_micros(None if row[3] is None else int(row[3])),
                leased=row[4],
                parked=row[5],
                blocked=row[6],
            )
            for row in sorted((row for row in rows if row[0] is not None), key=lambda row: row[0])
        ),
        sinks=tuple(
            SinkBacklog(sink=name, unpublished=count, oldest_event=maybe_from_micros(first), dead=dead)
            for name, count, first, dead in total[7] or ()
        ),
    )
