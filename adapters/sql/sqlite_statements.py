"""Every statement that SQLite is asked on the hot path, named.

How it works together. One thread of the process owns one connection (:mod:`sqlite_thread`). Writes run inside
``begin immediate``: from there to the commit nobody else in the world writes this file, so what a SELECT has seen still
holds when the UPDATE after it runs. That is all the locking there is: a Change checks its guards and gates with the
``*_GUARD`` and ``*_GATE`` statements, then writes (:mod:`sqlite_change`). Many Changes share one transaction, one after
the other; each sees what the ones before it wrote.

A claim (:mod:`sqlite_claim`) never scans. For each route it asks ``DUE_PROBE`` for the highest priority below the last
one it saw, with the earliest moment at that priority: two steps into the index ``jobs_ready``. Only where that moment
has come does it read rows, in the index's order, and no more than it takes. A million jobs that sleep, wait in other
routes or stand at other priorities cost nothing.

Parameters are positional; moments are integers. Texts that are put together here are put together from constants of
this package only (column lists and the conditions of partial indexes), never from input.
"""

from mainspring.adapters.sql.outbox import OLD_PLACE
from mainspring.adapters.sql.predicates import (
    JOB_COUNTS,
    JOB_IS_LEASED,
    JOB_IS_READY,
    LONGEST_GAP,
    RUN_IS_ACTIVE,
    RUN_IS_TERMINAL,
    STAGE_COUNTS,
    TOMBSTONE,
    UNHEARD,
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
from mainspring.ports.records import JobPhase


def _marks(columns: str) -> str:
    return ", ".join("?" for _ in listed(columns))


_JOB = "run_id = ? and stage = ? and idx = ?"

# -- guards and gates: a row that is there (or, for a gate, is not) lets the Change pass -----------------------------

LEASE_GUARD = f"select wakes, lease_until from jobs where {_JOB} and lease_id = ?"  # noqa: S608
UNLEASED_GUARD = f"select 1 from jobs where {_JOB} and lease_id is null and token = ?"  # noqa: S608
RUN_GUARD = "select 1 from runs where id = ? and revision = ?"
RELAY_GUARD = "select 1 from leases where name = ? and lease_id = ?"
LETTER_GUARD = "select 1 from dead_letters where run_id = ? and seq = ? and sink = ?"
SIGNAL_GATE = "select 1 from signals where run_id = ? and id = ?"
ANSWER_GATE = "select 1 from answers where command = ? and key = ?"
TOMBSTONE_GATE = f"select 1 from answers where command = '{TOMBSTONE}' and key = ?"  # noqa: S608
STAGE_GATE = f"select 1 from stages where {_JOB}"  # noqa: S608

# -- writes of a Change ---------------------------------------------------------------------------------------------

#: Both unique keys of a run (its id; workflow and key) make it nothing: the gate of run.create.
RUN_INSERT = f"insert into runs ({RUN_COLUMNS}) values ({_marks(RUN_COLUMNS)}) on conflict do nothing"  # noqa: S608
RUN_TAG_INSERT = "insert into run_tags (tag, run_id) values (?, ?) on conflict do nothing"
#: Guard and write in one. A bump alone leaves the indexes on status alone.
RUN_BUMP = "update runs set revision = ? where id = ? and revision = ?"
RUN_PATCH = """
update runs set revision = ?, status = coalesce(?, status), started_at = coalesce(?, started_at),
  finished_at = coalesce(?, finished_at), output = coalesce(?, output), failure = coalesce(?, failure),
  cancel_reason = coalesce(?, cancel_reason)
where id = ? and revision = ?"""
GRAPH_INSERT = "insert into graphs (fingerprint, shape) values (?, ?) on conflict do nothing"
SIGNAL_INSERT = """
insert into signals (run_id, seq, id, name, payload, sent_at)
values (?1, (select coalesce(max(seq), 0) + 1 from signals where run_id = ?1), ?2, ?3, ?4, ?5)"""
ANSWER_INSERT = "insert into answers (command, key, request_hash, result, answered_at) values (?, ?, ?, ?, ?)"
STAGE_INSERT = f"insert into stages ({STAGE_COLUMNS}) values ({_marks(STAGE_COLUMNS)})"  # noqa: S608
ATTEMPT_INSERT = f"insert into attempts ({ATTEMPT_COLUMNS}) values ({_marks(ATTEMPT_COLUMNS)})"  # noqa: S608

_DUE = 1 + listed(JOB_COLUMNS).index("available_at")
JOB_INSERT = f"""
insert into jobs ({JOB_COLUMNS}, announce_at) values ({_marks(JOB_COLUMNS)}, ?{_DUE} + {UNHEARD})"""  # noqa: S608
JOB_DELETE = f"delete from jobs where {_JOB}"  # noqa: S608
#: The fifth parameter is when the job is due.
_JOB_STANDS = f"""
  stage = ?, idx = ?, route = ?, phase = ?, available_at = ?, not_before = ?, attempt = ?, max_attempts = ?, input = ?,
  polling = ?, progress = null, announce_at = ?5 + {UNHEARD}"""
#: Gives up the lease.
JOB_MOVE = f"""
update jobs set {_JOB_STANDS}, lease_id = null, worker = null, lease_until = null, claimed_at = null
where {_JOB}"""  # noqa: S608
#: Keeps it: a linear hand-over.
JOB_HAND_OVER = f"update jobs set {_JOB_STANDS}, claimed_at = coalesce(?, claimed_at) where {_JOB}"  # noqa: S608
JOB_PROGRESS = f"update jobs set progress = ? where {_JOB}"  # noqa: S608
JOBS_UNPARK = f"""
update jobs set phase = '{JobPhase.READY.value}', available_at = ?1, announce_at = ?1 + {UNHEARD}
where run_id = ?2 and stage = ?3 and idx in (
  select idx from jobs where run_id = ?2 and stage = ?3 and phase = '{JobPhase.PARKED.value}' order by idx limit ?4)"""  # noqa: S608
#: Every job that is left of a run becomes an ended stage …
JOBS_END = """
insert into stages (run_id, stage, idx, status, attempt, worker, started_at, finished_at)
select run_id, stage, idx, ?, attempt, worker, claimed_at, ? from jobs where run_id = ?"""
#: … and goes.
JOBS_DROP = "delete from jobs where run_id = ?"
#: ?1 is the wake's moment. What is leased only counts the wake.
_WOKEN = """
update jobs set wakes = wakes + 1, announce_at = min(coalesce(announce_at, {moment} + {unheard}), {moment} + {unheard}),
  available_at = case when lease_id is null then min(coalesce(available_at, {moment}), {moment})
    else available_at end"""
JOBS_WAKE = _WOKEN.format(moment="max(?1, coalesce(not_before, ?1))", unheard=UNHEARD) + " where run_id = ?2"
JOBS_HURRY = (
    _WOKEN.format(moment="?1", unheard=UNHEARD)
    + ", not_before = case when lease_id is null then null else not_before end where run_id = ?2"
)

EVENT_COUNT = "select event_count from runs where id = ?"
EVENT_COUNT_SET = "update runs set event_count = ? where id = ?"
#: ?1 is the sink's number.
EVENT_INSERT = """
insert into outbox (id, sink, run_id, seq, type, at, data)
values ((select coalesce(max(id), 0) + 1 from outbox where sink = ?1), ?1, ?2, ?3, ?4, ?5, ?6)"""
_EVENT = "run_id = ? and seq = ? and sink = ?"
EVENT_DELETE = f"delete from outbox where {_EVENT}"  # noqa: S608
EVENTS_DELETE = "delete from outbox where run_id = ? and seq between ? and ? and sink = ?"
EVENT_POSTPONE = f"update outbox set tries = ?, postponed_until = ? where {_EVENT}"  # noqa: S608
EVENT_BURY = f"""
insert into dead_letters (sink, run_id, seq, type, at, data, tries, error, died_at)
select sink, run_id, seq, type, at, data, tries, ?, ? from outbox where {_EVENT}"""  # noqa: S608
LETTER_REPLAY = f"""
insert into outbox (id, sink, run_id, seq, type, at, data)
select {OLD_PLACE}, sink, run_id, seq, type, at, data from dead_letters as l where {_EVENT}"""  # noqa: S608
LETTER_DELETE = f"delete from dead_letters where {_EVENT}"  # noqa: S608

# -- claim and extend -----------------------------------------------------------------------------------------------

#: The highest priority below ?2 at which the route has waiting jobs, and the earliest moment there.
DUE_PROBE = f"""
select level.priority, (
  select available_at from jobs indexed by jobs_ready
  where route = ?1 and priority = level.priority and {JOB_IS_READY} order by available_at limit 1)
from (
  select priority from jobs indexed by jobs_ready
  where route = ?1 and priority < ?2 and {JOB_IS_READY} order by priority desc limit 1) as level"""  # noqa: S608
_LEASED_ROW = f"select {prefixed(JOB_COLUMNS, 'jobs')}, {prefixed(RUN_COLUMNS, 'runs')}"
#: Due jobs of one route and priority, each with its run, in the order of the index: moment, then key.
DUE_ROWS = f"""
{_LEASED_ROW} from jobs indexed by jobs_ready cross join runs on runs.id = jobs.run_id
where jobs.route = ? and jobs.priority = ? and jobs.available_at <= ? and {JOB_IS_READY}
order by jobs.available_at, jobs.run_id, jobs.stage, jobs.idx limit ? offset ?"""
#: A given job with its run, if it may be claimed.
DUE_ROW = f"""
{_LEASED_ROW} from jobs cross join runs on runs.id = jobs.run_id
where jobs.run_id = ? and jobs.stage = ? and jobs.idx = ? and jobs.available_at <= ? and {JOB_IS_READY}"""
JOB_LEASE = f"""
update jobs set lease_id = ?, worker = ?, token = ?, lease_until = ?, claimed_at = ?, attempt = ? where {_JOB}"""  # noqa: S608
#: Fencing tokens come from one counter for the whole store, so they grow within every run.
TOKENS_TAKE = """
insert into counters (name, value) values (?1, ?2 + 1) on conflict (name) do update set value = value + ?2"""
TOKENS_READ = "select value from counters where name = ?"
JOB_HELD = f"select wakes, lease_id from jobs where {_JOB}"  # noqa: S608
JOB_EXTEND = f"update jobs set lease_until = ? where {_JOB}"  # noqa: S608

# -- reads ----------------------------------------------------------------------------------------------------------

RUN = f"select {RUN_COLUMNS} from runs where id = ?"  # noqa: S608
RUN_BY_KEY = f"select {RUN_COLUMNS} from runs where workflow = ? and key = ?"  # noqa: S608
RUNS_FINISHED = f"""
select {RUN_COLUMNS} from runs where id in (select value from json_each(?)) and {RUN_IS_TERMINAL}"""  # noqa: S608
#: Both walk the run's part of the primary key, which is in the order of the stages: nothing is sorted.
STAGE_TALLY = f"select stage, {STAGE_COUNTS} from stages where run_id = ? group by stage"  # noqa: S608
JOB_TALLY = f"select stage, {JOB_COUNTS} from jobs where run_id = ? group by stage"  # noqa: S608
JOB = f"select {JOB_COLUMNS} from jobs where {_JOB}"  # noqa: S608
JOBS = f"select {JOB_COLUMNS} from jobs where run_id = ? order by stage, idx"  # noqa: S608
STAGES = f"select {STAGE_COLUMNS} from stages where run_id = ? order by stage, idx"  # noqa: S608
STAGES_ONLY = f"""
select {STAGE_COLUMNS} from stages where run_id = ? and stage in (select value from json_each(?))
order by stage, idx"""  # noqa: S608
ATTEMPTS = f"select {ATTEMPT_COLUMNS} from attempts where run_id = ? order by started_at, stage, idx, attempt"  # noqa: S608
INBOX = f"select {SIGNAL_COLUMNS} from signals where run_id = ? order by seq"  # noqa: S608
SIGNAL = f"select {SIGNAL_COLUMNS} from signals where run_id = ? and id = ?"  # noqa: S608
ANSWER = f"select {ANSWER_COLUMNS} from answers where command = ? and key = ?"  # noqa: S608
GRAPH = "select fingerprint, shape from graphs where fingerprint = ?"

JOB_WAITING = f"select route, available_at from jobs where {_JOB} and {JOB_IS_READY}"  # noqa: S608
#: Ready, unleased jobs of which nobody told lately.
JOBS_UNHEARD = f"""
select run_id, stage, idx from jobs indexed by jobs_unheard where announce_at <= ? and {JOB_IS_READY}
order by announce_at, run_id, stage, idx limit ?"""  # noqa: S608
#: ?1 is now, ?2 how long they count as announced at least.
JOB_ANNOUNCED = f"""
update jobs set announce_at = ?1 + max(?2, min(?1 - coalesce(available_at, ?1), {LONGEST_GAP}))
where run_id = ?3 and stage = ?4 and idx = ?5"""  # noqa: S608
LEASES_EXPIRED = f"""
select {prefixed(JOB_COLUMNS, "jobs")}, runs.status from jobs indexed by jobs_leased join runs on runs.id = jobs.run_id
where jobs.lease_until < ? and jobs.{JOB_IS_LEASED}
order by jobs.lease_until, jobs.run_id, jobs.stage, jobs.idx limit ?"""  # noqa: S608
LEASE_FIRST = f"select min(lease_until) from jobs where {JOB_IS_LEASED}"  # noqa: S608
RUNS_OVERDUE = f"""
select id from runs where deadline <= ? and {RUN_IS_ACTIVE} order by deadline, id limit ?"""  # noqa: S608
DEADLINE_FIRST = f"select min(deadline) from runs where {RUN_IS_ACTIVE}"  # noqa: S608

WORKER_PUT = f"replace into workers ({WORKER_COLUMNS}) values ({_marks(WORKER_COLUMNS)})"  # noqa: S608
WORKER_DELETE = "delete from workers where id = ?"
WORKERS = f"select {WORKER_COLUMNS} from workers order by id"  # noqa: S608

# -- settings and sinks -----------------------------------------------------------------------------------------------

SETTING = "select value from settings where name = ?"
SETTING_PUT = "replace into settings (name, value) values (?, ?)"
SINKS = "select name, types, id from sinks order by name"
SINK_PUT = """
insert into sinks (name, types) values (?, ?) on conflict (name) do update set types = excluded.types"""
