"""The parts of the one statement that writes Changes into PostgreSQL (:mod:`postgres_commit` puts them together).

Each part takes rows, named ``u``; ``u.c`` is the number of the row's Change in the batch. Guards come first: ``rg``
locks the runs that are written, guarded, woken or told of, ``lg`` the jobs, ``og`` the relays' rows, ``dg`` dead
letters; each is one probe of a primary key per row, in the order of the parameters, which are sorted: runs before jobs,
so that two processes never wait for each other in a circle. (``cross join lateral … for no key update`` is what keeps
the planner from another order; ``(select count(*) from rg) >= 0`` makes jobs wait for runs.) A row that another
transaction held is looked at again, as it is then, when the lock comes.

All writes see the same snapshot, none sees another's: what may stand together in a batch is said in
:mod:`mainspring.ports.batches`. Unique keys are plain inserts: one that is taken fails the statement, nothing is
written, and the writer (:mod:`postgres_writer`) finds out whose it was.

Texts that are put together here are put together from constants of this package, never from input.
"""

# ruff: noqa: S608  see the last sentence above

from functools import cached_property

import attrs

from mainspring.adapters.sql.outbox import OLD_PLACE
from mainspring.adapters.sql.postgres_outbox import is_among
from mainspring.adapters.sql.predicates import TOMBSTONE, UNHEARD
from mainspring.adapters.sql.rows import ATTEMPT_COLUMNS, JOB_COLUMNS, RUN_COLUMNS, STAGE_COLUMNS, listed
from mainspring.ports.records import JobPhase

_NUMBERS = frozenset({"idx", "revision", "priority", "attempt", "max_attempts", "wakes", "seq", "tries"})
_MOMENTS = frozenset(
    {"created_at", "start_at", "started_at", "finished_at", "deadline", "ended_at", "available_at", "not_before"}
    | {"lease_until", "claimed_at", "sent_at", "token"}
)
_IDS = frozenset({"run_id", "lease_id", "parent_run", "rerun_of"})


def _typed(columns: str) -> str:
    """A record's columns with their types."""

    def kind(name: str) -> str:
        if name in _NUMBERS:
            return "int"
        if name in _MOMENTS:
            return "bigint"
        return "uuid" if name in _IDS else "text"

    return ", ".join(f"{name} {kind(name)}" for name in listed(columns))


@attrs.frozen
class Part:
    """A part of the statement: the rows it takes, and its text.

    ``{rows}`` stands in it for the rows, ``{ok}`` for the condition that all guards of a row's Change were found.
    """

    columns: str
    text: str
    guards: bool = False  #: each of its rows is a guard that must be found
    bars: bool = False  #: a Change of which it finds a row is refused
    first: bool = False  #: it locks, and must be done before anything is written

    @property
    def checks(self) -> bool:
        """Whether it comes before what is written."""
        return self.guards or self.bars or self.first

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.split(" ")[0] for column in listed(self.columns))

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The type of each column."""
        return tuple(column.split(" ")[1] for column in listed(self.columns))


_OK = "{ok}"
_KEY = "j.run_id = u.run_id and j.stage = u.stage and j.idx = u.idx"
_WRITTEN = "(select written from ev)"

_RUN_INSERT = RUN_COLUMNS + ", event_count"
_RUN_TYPED = _typed(RUN_COLUMNS).replace("id text", "id uuid", 1)

_LEFT = "not exists (select 1 from jobs_gone g where g.run_id = j.run_id and g.stage = j.stage and g.idx = j.idx)"

_LEASED_FROM_NOW = JOB_COLUMNS.replace(
    "lease_until", "case when lease_until is not null then (select mainspring_now()) + lease_until - claimed_at end"
)

PARTS: dict[str, Part] = {
    # -- guards, and the locks of what is written without one ---------------------------------------------------------
    "rg": Part(
        "c int, id uuid, revision int, must bool",
        """
        select u.c, u.must, r.id, r.event_count from {rows} cross join lateral (
          select id, event_count from runs where id = u.id and (u.revision is null or revision = u.revision)
          for no key update) r""",
        guards=True,
    ),
    "lg": Part(
        "c int, run_id uuid, stage text, idx int, lease_id uuid, wakes int, expired bool, token bigint",
        f"""
        select u.c from {{rows}} cross join lateral (
          select 1 from jobs j where {_KEY} and (select count(*) from rg) >= 0
            and case when u.lease_id is null then j.lease_id is null and j.token = u.token
              else j.lease_id = u.lease_id and (u.wakes is null or j.wakes = u.wakes)
                and (not u.expired or j.lease_until < mainspring_now()) end
          for no key update) j""",
        guards=True,
    ),
    "og": Part(
        "c int, sink text, lease text, lease_id uuid",
        """
        select u.c, s.id as sink from {rows} join sinks s on s.name = u.sink cross join lateral (
          select 1 from leases where name = u.lease and lease_id = u.lease_id for no key update) l""",
        guards=True,
    ),
    #: Dead letters that are replayed.
    "dg": Part(
        "c int, sink text, run_id uuid, seq int",
        """
        select u.c from {rows} join sinks s on s.name = u.sink cross join lateral (
          select 1 from dead_letters d where d.run_id = u.run_id and d.seq = u.seq and d.sink = s.id for update) d""",
        guards=True,
    ),
    #: Runs that are no more, and must not be created again.
    "gone": Part(
        "c int, key text",
        f"select u.c from {{rows}} where exists (select 1 from answers where command = '{TOMBSTONE}' and key = u.key)",
        bars=True,
    ),
    #: All jobs of the runs that are woken or ended.
    "wg": Part(
        "run_id uuid",
        """
        select count(*) as n from {rows} cross join lateral (
          select 1 from jobs where run_id = u.run_id and (select count(*) from rg) >= 0
          order by stage, idx for no key update) j""",
        first=True,
    ),
    # -- runs ---------------------------------------------------------------------------------------------------------
    "runs_new": Part(
        f"c int, {_RUN_TYPED}, event_count int",
        f"""
        insert into runs ({_RUN_INSERT})
        select {RUN_COLUMNS}, case when {_WRITTEN} then event_count else 0 end from {{rows}} where {_OK}""",
    ),
    "tags_new": Part(
        "c int, tag text, run_id uuid",
        f"insert into run_tags (tag, run_id) select tag, run_id from {{rows}} where {_OK} on conflict do nothing",
    ),
    "runs_set": Part(
        "c int, id uuid, revision int, status text, started_at bigint, finished_at bigint, output text, failure text,"
        " cancel_reason text, events int",
        f"""
        update runs r set revision = coalesce(u.revision, r.revision), status = coalesce(u.status, r.status),
          started_at = coalesce(u.started_at, r.started_at), finished_at = coalesce(u.finished_at, r.finished_at),
          output = coalesce(u.output, r.output), failure = coalesce(u.failure, r.failure),
          cancel_reason = coalesce(u.cancel_reason, r.cancel_reason),
          event_count = r.event_count + case when {_WRITTEN} then u.events else 0 end
        from {{rows}} where r.id = u.id and {_OK}""",
    ),
    # -- messages -----------------------------------------------------------------------------------------------------
    "graphs_new": Part(
        "c int, fingerprint text, shape text",
        f"""
        insert into graphs (fingerprint, shape) select distinct on (fingerprint) fingerprint, shape
        from {{rows}} where {_OK} order by fingerprint, u.c on conflict do nothing""",
    ),
    "signals_new": Part(
        "c int, run_id uuid, place int, id text, name text, payload text, sent_at bigint",
        f"""
        insert into signals (run_id, seq, id, name, payload, sent_at)
        select u.run_id, u.place + coalesce((select max(s.seq) from signals s where s.run_id = u.run_id), 0),
          u.id, u.name, u.payload, u.sent_at from {{rows}} where {_OK}""",
    ),
    "answers_new": Part(
        "c int, command text, key text, request_hash text, result text",
        f"""
        insert into answers (command, key, request_hash, result, answered_at)
        select command, key, request_hash, result, (select mainspring_now()) from {{rows}} where {_OK}""",
    ),
    # -- what has ended -----------------------------------------------------------------------------------------------
    "stages_new": Part(
        f"c int, {_typed(STAGE_COLUMNS)}",
        f"insert into stages ({STAGE_COLUMNS}) select {STAGE_COLUMNS} from {{rows}} where {_OK}",
    ),
    "attempts_new": Part(
        f"c int, {_typed(ATTEMPT_COLUMNS)}",
        f"insert into attempts ({ATTEMPT_COLUMNS}) select {ATTEMPT_COLUMNS} from {{rows}} where {_OK}",
    ),
    # -- jobs ---------------------------------------------------------------------------------------------------------
    "jobs_gone": Part(
        "c int, run_id uuid, stage text, idx int",
        f"delete from jobs j using {{rows}} where {_KEY} and {_OK} returning j.run_id, j.stage, j.idx",
    ),
    "jobs_moved": Part(
        "c int, run_id uuid, stage text, idx int, to_stage text, to_idx int, route text, phase text,"
        " available_at bigint, not_before bigint, attempt int, max_attempts int, input text, keep bool,"
        " claimed_at bigint, polling text",
        f"""
        update jobs j set stage = u.to_stage, idx = u.to_idx, route = u.route, phase = u.phase,
          available_at = u.available_at, announce_at = u.available_at + {UNHEARD},
          not_before = u.not_before, attempt = u.attempt,
          max_attempts = u.max_attempts, input = u.input, progress = null, polling = u.polling,
          lease_id = case when u.keep then j.lease_id end, worker = case when u.keep then j.worker end,
          lease_until = case when u.keep then j.lease_until end,
          claimed_at = case when u.keep then coalesce(u.claimed_at, j.claimed_at) end
        from {{rows}} where {_KEY} and {_OK}""",
    ),
    "jobs_new": Part(
        f"c int, {_typed(JOB_COLUMNS)}",
        f"""
        insert into jobs ({JOB_COLUMNS}, announce_at) select {_LEASED_FROM_NOW}, available_at + {UNHEARD}
        from {{rows}} where {_OK}""",
    ),
    "jobs_freed": Part(
        "c int, run_id uuid, stage text, n int, at bigint",
        f"""
        update jobs j set phase = '{JobPhase.READY.value}', available_at = f.at, announce_at = f.at + {UNHEARD} from (
          select u.run_id, u.stage, p.idx, u.at from {{rows}} cross join lateral (
            select idx from jobs where run_id = u.run_id and stage = u.stage and phase = '{JobPhase.PARKED.value}'
            order by idx limit u.n) p where {_OK}) f
        where j.run_id = f.run_id and j.stage = f.stage and j.idx = f.idx""",
    ),
    "jobs_told": Part(
        "c int, run_id uuid, stage text, idx int, progress text",
        f"update jobs j set progress = u.progress from {{rows}} where {_KEY} and {_OK}",
    ),
    #: Every job that is left of a run becomes an ended stage; what this batch deletes by key is not left.
    "jobs_ended": Part(
        "c int, run_id uuid, status text, at bigint",
        f"""
        delete from jobs j using {{rows}} where j.run_id = u.run_id and {_OK} and {_LEFT}
        returning j.run_id, j.stage, j.idx, u.status, j.attempt, j.worker, j.claimed_at, u.at""",
    ),
    "jobs_woken": Part(
        "c int, run_id uuid, at bigint, hurry bool",
        f"""
        update jobs j set wakes = j.wakes + 1,
          announce_at = least(j.announce_at,
            case when u.hurry then u.at else greatest(u.at, j.not_before) end + {UNHEARD}),
          available_at = case when j.lease_id is not null then j.available_at
            when u.hurry then least(j.available_at, u.at)
            else least(j.available_at, greatest(u.at, j.not_before)) end,
          not_before = case when u.hurry and j.lease_id is null then null else j.not_before end
        from {{rows}} where j.run_id = u.run_id and {_OK}""",
    ),
    # -- the outbox ---------------------------------------------------------------------------------------------------
    "events_new": Part(
        "c int, run_id uuid, seq int, type text, at bigint, data text, n int",
        f"""
        insert into outbox (id, sink, run_id, seq, type, at, data)
        select nextval('mainspring_events'), e.* from (
          select s.id, u.run_id, coalesce(b.event_count, 0) + u.seq, u.type, u.at, u.data
          from {{rows}} left join rg b on b.c = u.c and b.id = u.run_id cross join sinks s
          where {_OK} and {is_among("s.types", "u.type")} order by u.n) e""",
    ),
    "events_gone": Part(
        "c int, run_id uuid, first int, last int",
        f"""
        delete from outbox o using {{rows}} join og on og.c = u.c
        where o.run_id = u.run_id and o.seq between u.first and u.last and o.sink = og.sink and {_OK}""",
    ),
    "events_late": Part(
        "c int, run_id uuid, seq int, tries int, until bigint",
        f"""
        update outbox o set tries = u.tries, postponed_until = u.until from {{rows}} join og on og.c = u.c
        where o.run_id = u.run_id and o.seq = u.seq and o.sink = og.sink and {_OK}""",
    ),
    "events_dead": Part(
        "c int, run_id uuid, seq int, error text",
        f"""
        delete from outbox o using {{rows}} join og on og.c = u.c
        where o.run_id = u.run_id and o.seq = u.seq and o.sink = og.sink and {_OK}
        returning o.sink, o.run_id, o.seq, o.type, o.at, o.data, o.tries, u.error""",
    ),
    "letters_back": Part(
        "c int, sink text, run_id uuid, seq int, discarded bool",
        f"""
        delete from dead_letters d using {{rows}} join sinks s on s.name = u.sink
        where d.run_id = u.run_id and d.seq = u.seq and d.sink = s.id and {_OK}
        returning d.sink, d.run_id, d.seq, d.type, d.at, d.data, u.discarded""",
    ),
}

#: What follows a part that gives rows back.
AFTER = {
    "jobs_ended": """
        insert into stages (run_id, stage, idx, status, attempt, worker, started_at, finished_at)
        select run_id, stage, idx, status, attempt, worker, claimed_at, at from jobs_ended""",
    "events_dead": """
        insert into dead_letters (sink, run_id, seq, type, at, data, tries, error, died_at)
        select sink, run_id, seq, type, at, data, tries, error, (select mainspring_now()) from events_dead""",
    "letters_back": f"""
        insert into outbox (id, sink, run_id, seq, type, at, data)
        select {OLD_PLACE}, sink, run_id, seq, type, at, data from letters_back l where not discarded""",
}
#: What stands in the texts instead, when a part that they look at is not there.
WITHOUT = {
    "rg": {
        "(select count(*) from rg) >= 0": "true",
        "left join rg b on b.c = u.c and b.id = u.run_id": "cross join (select 0 as event_count) b",
    },
    "jobs_gone": {_LEFT: "true"},
}
