"""Sweeping PostgreSQL: runs that ended long ago with all their rows, old answers, and tombstones.

Rule: first what may go is locked, passing over what others hold; then, by a statement that sees all that was committed
until then, it is looked at again and deleted. (One statement for both would not see a signal that was committed after
it began and before it had its lock.) Ids are handed on as an array, so that the plan is one probe per run however many
rows the planner expects. A tombstone is an answer of the sweep under the run's id.
"""

from psycopg import AsyncConnection

from mainspring.adapters.sql.postgres_arrays import ids
from mainspring.adapters.sql.predicates import RUN_IS_TERMINAL, TOMBSTONE
from mainspring.adapters.sql.rows import Row
from mainspring.ports.names import RunId

_BEFORE = "(select greatest(mainspring_now() - $1::bigint, 0))"

_NEEDED_BY_NOBODY = f"""
    not exists (select 1 from outbox o where o.run_id = r.id)
    and not exists (select 1 from dead_letters d where d.run_id = r.id)
    and not exists (select 1 from jobs j where j.run_id = r.id)
    and not exists (select 1 from runs p where p.id = r.parent_run and not p.{RUN_IS_TERMINAL})
    and not exists (select 1 from runs c where c.parent_run = r.id and not c.{RUN_IS_TERMINAL})
    and not exists (select 1 from runs l where l.rerun_of = r.id)"""  # noqa: S608

#: $1 age, $2 limit
_LOCK_RUNS = f"""
select id from runs r where finished_at <= {_BEFORE} and {RUN_IS_TERMINAL} and {_NEEDED_BY_NOBODY}
order by finished_at, id limit $2 for update of r skip locked""".encode()  # noqa: S608

#: $1 ids; answers those of the runs that went.
_DELETE_RUNS = f"""
with gone as materialized (
  select id, tags from runs r where id = any($1::uuid[]) and {RUN_IS_TERMINAL} and {_NEEDED_BY_NOBODY}),
ids as materialized (select array(select id from gone) as all_of_them),
tags_gone as (
  delete from run_tags t using gone g cross join lateral json_array_elements_text(g.tags::json) as tagged(tag)
  where t.tag = tagged.tag and t.run_id = g.id),
stages_gone as (delete from stages where run_id = any((select all_of_them from ids)::uuid[])),
attempts_gone as (delete from attempts where run_id = any((select all_of_them from ids)::uuid[])),
signals_gone as (delete from signals where run_id = any((select all_of_them from ids)::uuid[])),
tombstones as (
  insert into answers (command, key, request_hash, result, answered_at)
  select '{TOMBSTONE}', id::text, '', '{{}}', (select mainspring_now()) from gone
  on conflict (command, key) do update set answered_at = excluded.answered_at)
delete from runs where id = any((select all_of_them from ids)::uuid[]) returning id""".encode()  # noqa: S608


async def sweep_runs(connection: "AsyncConnection[Row]", age: int, limit: int) -> tuple[RunId, ...]:
    """Delete up to so many runs that ended so many microseconds ago, within a transaction; the oldest first."""
    cursor = await connection.execute(_LOCK_RUNS, (age, limit))
    locked: list[RunId] = [row[0] for row in await cursor.fetchall()]
    if not locked:
        return ()
    cursor = await connection.execute(_DELETE_RUNS, (ids(locked),))
    gone = {row[0] for row in await cursor.fetchall()}
    return tuple(run_id for run_id in locked if run_id in gone)


#: $1 age, $2 limit
SWEEP_ANSWERS = f"""
with old as materialized (
  select ctid from answers where command <> '{TOMBSTONE}' and answered_at <= {_BEFORE}
  order by answered_at, command, key limit $2 for update skip locked),
gone as (delete from answers where ctid = any(array(select ctid from old)) returning 1)
select count(*) from gone""".encode()  # noqa: S608

TOMBSTONES = f"""
select key from answers where command = '{TOMBSTONE}' and answered_at <= {_BEFORE}
order by answered_at, key limit $2""".encode()  # noqa: S608

TOMBSTONES_LIFT = f"""
delete from answers where command = '{TOMBSTONE}' and key = any($1::text[])""".encode()  # noqa: S608
