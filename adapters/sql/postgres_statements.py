"""Every statement that PostgreSQL is asked often, but for the one that writes Changes (:mod:`postgres_commit`).

A claim never scans. For each route it walks the priorities from the top, each one step into the index ``jobs_ready``;
at each it reads due rows in the order of the index, no more than it takes, passing over those that another
transaction holds. A million jobs that sleep, wait in other routes or stand at other priorities cost nothing. (Asked
as one query with ``route = any(…)`` the same took 290 ms.) The time is compared as ``(select mainspring_now())``: a
volatile function by itself is never an index condition. What a claim tells of wake-ups comes from a second, plain
read of the job: what RETURNING shows may be newer than the run and the inbox that the body sees.

Parameters are numbered; moments are integers. Texts that are put together here are put together from constants of
this package only, never from input.
"""

from mainspring.adapters.sql.predicates import (
    JOB_COUNTS,
    JOB_IS_LEASED,
    JOB_IS_READY,
    LONGEST_GAP,
    RUN_IS_ACTIVE,
    RUN_IS_TERMINAL,
    STAGE_COUNTS,
)
from mainspring.adapters.sql.rows import (
    ANSWER_COLUMNS,
    ATTEMPT_COLUMNS,
    JOB_COLUMNS,
    RUN_COLUMNS,
    SIGNAL_COLUMNS,
    STAGE_COLUMNS,
    WORKER_COLUMNS,
    listed,
    prefixed,
)

NOW = b"select mainspring_now()"

#: As many jobs as one claim takes at most. It stands in the text: of a limit that is a parameter the planner takes it
#: that a tenth of the table passes, and reads all of it to join the few that do (400 ms beside a million jobs).
MOST_CLAIMED = 500

# -- claim and extend -----------------------------------------------------------------------------------------------

#: The priorities at which the route ``w.route`` has waiting jobs, from the top.
PRIORITIES = f"""
  with recursive ps as (
    (select priority from jobs where {JOB_IS_READY} and route = w.route order by priority desc limit 1)
    union all
    select (select j.priority from jobs j where {JOB_IS_READY.replace("lease_id", "j.lease_id")} and j.route = w.route
      and j.priority < ps.priority order by j.priority desc limit 1) from ps where ps.priority is not null)"""  # noqa: S608

_LEASED = """
leased as (
  update jobs j set lease_id = gen_random_uuid(), worker = $1, token = nextval('mainspring_tokens'),
    lease_until = t.at + $2, claimed_at = t.at, attempt = j.attempt + 1
  from picked p, (select mainspring_now() as at) t
  where j.run_id = p.run_id and j.stage = p.stage and j.idx = p.idx
  returning j.*)"""

_ANSWER = f"""
select {prefixed(JOB_COLUMNS, "l").replace("l.wakes", "coalesce(s.wakes, 0)")}, {prefixed(RUN_COLUMNS, "r")}
from leased l left join jobs s on s.run_id = l.run_id and s.stage = l.stage and s.idx = l.idx
join runs r on r.id = l.run_id"""  # noqa: S608

#: $1 worker, $2 length, $3 limit, $4 routes
CLAIM = f"""
with picked as materialized (
  select * from (
  select p.* from unnest($4::text[]) as w(route) cross join lateral (
  {PRIORITIES}
  select q.* from ps cross join lateral (
    select run_id, stage, idx, priority, available_at from jobs
    where {JOB_IS_READY} and route = w.route and priority = ps.priority and available_at <= (select mainspring_now())
    order by available_at limit $3 for update skip locked) q
  where ps.priority is not null limit $3) p
  order by priority desc, available_at, run_id, stage, idx limit $3) first_ones limit {MOST_CLAIMED}),
{_LEASED}
{_ANSWER}
order by l.priority desc, l.available_at, l.run_id, l.stage, l.idx""".encode()  # noqa: S608

#: $4 routes, $5 … $7 keys
CLAIM_ONLY = f"""
with picked as materialized (
  select p.* from rows from (unnest($5::uuid[]), unnest($6::text[]), unnest($7::int[])) as u(run_id, stage, idx)
  cross join lateral (
    select run_id, stage, idx, priority, available_at from jobs
    where run_id = u.run_id and stage = u.stage and idx = u.idx and {JOB_IS_READY} and route = any($4::text[])
      and available_at <= (select mainspring_now())
    for update skip locked) p
  order by priority desc, available_at, run_id, stage, idx limit $3),
{_LEASED}
{_ANSWER}
order by l.priority desc, l.available_at, l.run_id, l.stage, l.idx""".encode()  # noqa: S608

#: $1 length, then the leases, sorted by key; the answer tells the place in which each was asked
EXTEND = b"""
with held as materialized (
  select u.place, j.run_id, j.stage, j.idx from
    rows from (unnest($2::int[]), unnest($3::uuid[]), unnest($4::text[]), unnest($5::int[]), unnest($6::uuid[]))
      as u(place, run_id, stage, idx, lease_id)
  cross join lateral (
    select run_id, stage, idx from jobs
    where run_id = u.run_id and stage = u.stage and idx = u.idx and lease_id = u.lease_id for no key update) j)
update jobs j set lease_until = t.at + $1 from held h, (select mainspring_now() as at) t
where j.run_id = h.run_id and j.stage = h.stage and j.idx = h.idx
returning h.place, j.wakes, j.lease_until"""

#: $1 … $3 keys
READY_AMONG = f"""
select j.run_id, j.stage, j.idx, j.route, j.available_at - (select mainspring_now())
from rows from (unnest($1::uuid[]), unnest($2::text[]), unnest($3::int[])) as u(run_id, stage, idx) cross join lateral (
  select run_id, stage, idx, route, available_at from jobs
  where run_id = u.run_id and stage = u.stage and idx = u.idx and {JOB_IS_READY}) j""".encode()  # noqa: S608

NEXT_DUE = f"""
select min(q.available_at) from unnest($1::text[]) as w(route) cross join lateral (
  {PRIORITIES}
  select d.available_at from ps cross join lateral (
    select available_at from jobs where {JOB_IS_READY} and route = w.route and priority = ps.priority
    order by available_at limit 1) d where ps.priority is not null) q""".encode()  # noqa: S608

# -- reads ----------------------------------------------------------------------------------------------------------

_KEY = "run_id = $1 and stage = $2 and idx = $3"

RUN = f"select {RUN_COLUMNS} from runs where id = $1".encode()  # noqa: S608
RUN_BY_KEY = f"select {RUN_COLUMNS} from runs where workflow = $1 and key = $2".encode()  # noqa: S608
RUNS_FINISHED = f"select {RUN_COLUMNS} from runs where id = any($1::uuid[]) and {RUN_IS_TERMINAL}".encode()  # noqa: S608
#: The run and the tallies of its stages and jobs, in one statement: one snapshot.
RUN_STATE = f"""
select {RUN_COLUMNS},
  (select json_agg(t) from (
    select json_build_array(stage, {STAGE_COUNTS}) as t from stages where run_id = $1 group by stage) s),
  (select json_agg(t) from (
    select json_build_array(stage, {JOB_COUNTS}) as t from jobs where run_id = $1 group by stage) j)
from runs where id = $1""".encode()  # noqa: S608
JOB = f"select {JOB_COLUMNS} from jobs where {_KEY}".encode()  # noqa: S608
JOBS = f"select {JOB_COLUMNS} from jobs where run_id = $1 order by stage, idx".encode()  # noqa: S608
STAGES = f"select {STAGE_COLUMNS} from stages where run_id = $1 order by stage, idx".encode()  # noqa: S608
STAGES_ONLY = f"""
select {STAGE_COLUMNS} from stages where run_id = $1 and stage = any($2::text[]) order by stage, idx""".encode()  # noqa: S608
ATTEMPTS = f"""
select {ATTEMPT_COLUMNS} from attempts where run_id = $1 order by started_at, stage, idx, attempt""".encode()  # noqa: S608
INBOX = f"select {SIGNAL_COLUMNS} from signals where run_id = $1 order by seq".encode()  # noqa: S608
SIGNAL = f"select {SIGNAL_COLUMNS} from signals where run_id = $1 and id = $2".encode()  # noqa: S608
ANSWER = f"select {ANSWER_COLUMNS} from answers where command = $1 and key = $2".encode()  # noqa: S608
GRAPH = b"select fingerprint, shape from graphs where fingerprint = $1"

#: $1 limit, $2 how long they count as announced at least. The literal limit is for the planner, as in the claim.
ANNOUNCE = f"""
with unheard as materialized (
  select * from (
    select run_id, stage, idx from jobs where announce_at <= (select mainspring_now()) and {JOB_IS_READY}
    order by announce_at limit $1 for update skip locked) first_ones limit {MOST_CLAIMED})
update jobs j set announce_at = t.at + greatest($2, least(t.at - j.available_at, {LONGEST_GAP}))
from unheard u, (select mainspring_now() as at) t
where j.run_id = u.run_id and j.stage = u.stage and j.idx = u.idx
returning j.run_id, j.stage, j.idx""".encode()  # noqa: S608
LEASES_EXPIRED = f"""
select {prefixed(JOB_COLUMNS, "j")}, r.status from jobs j join runs r on r.id = j.run_id
where j.lease_until < (select mainspring_now()) and j.{JOB_IS_LEASED}
order by j.lease_until, j.run_id, j.stage, j.idx limit $1""".encode()  # noqa: S608
RUNS_OVERDUE = f"""
select id from runs where deadline <= (select mainspring_now()) and {RUN_IS_ACTIVE}
order by deadline, id limit $1""".encode()  # noqa: S608
NEXT_UPKEEP = f"""
select least(
  (select lease_until from jobs where {JOB_IS_LEASED} order by lease_until limit 1),
  (select deadline from runs where {RUN_IS_ACTIVE} order by deadline limit 1))""".encode()  # noqa: S608

_WORKER = listed(WORKER_COLUMNS)
WORKER_PUT = f"""
insert into workers ({WORKER_COLUMNS}) values ({", ".join(f"${n}" for n, _ in enumerate(_WORKER, 1))})
on conflict (id) do update set {", ".join(f"{name} = excluded.{name}" for name in _WORKER[1:])}""".encode()  # noqa: S608
WORKER_DELETE = b"delete from workers where id = $1"
WORKERS = f"select {WORKER_COLUMNS} from workers order by id".encode()  # noqa: S608
