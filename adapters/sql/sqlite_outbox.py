"""Sinks, relays and dead letters in a SQLite file; what Changes write of them stands in :mod:`sqlite_change`.

Rule: each function is one piece of work inside a transaction.
"""

from datetime import timedelta

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.moments import span
from mainspring.adapters.sql.outbox import (
    LETTER_COLUMNS,
    WAITING_COLUMNS,
    filter_row,
    read_letter,
    read_waiting,
    relay_lease,
    types_text,
)
from mainspring.adapters.sql.rows import EVENT_COLUMNS, read_event
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.names import LeaseId, SinkName
from mainspring.ports.records import Event
from mainspring.ports.sinks import DeadLetter, EventFilter, Sink, WaitingEvent

_SINK_ROWS_DELETE = (
    "delete from outbox where sink = (select id from sinks where name = ?)",
    "delete from dead_letters where sink = (select id from sinks where name = ?)",
    "delete from sinks where name = ?",
)
_LEASE_DELETE = "delete from leases where name = ?"
#: Takes the lease when it is free, ran out, or is held under the same id.
_RELAY_LEASE = """
insert into leases (name, lease_id, until) values (?1, ?2, ?3)
on conflict (name) do update set lease_id = ?2, until = ?3 where lease_id = ?2 or until <= ?4"""
_RELAY_RELEASE = "delete from leases where name = ? and lease_id = ?"

_SINK = "(select id from sinks where name = ?1)"
#: Runs whose oldest event waits are left out.
UNPUBLISHED = f"""
select {EVENT_COLUMNS} from outbox indexed by outbox_order where sink = {_SINK} and run_id not in (
  select run_id from outbox as first indexed by outbox_postponed where postponed_until > ?2 and sink = {_SINK}
  and not exists (
    select 1 from outbox as older where older.run_id = first.run_id and older.sink = first.sink
    and older.seq < first.seq))
order by id, seq limit ?3"""  # noqa: S608

#: ?1 sink, ?2 run, ?3 number, ?4 types, ?5 since, ?6 before
_FILTER = """
(?1 is null or s.name = ?1) and (?2 is null or e.run_id = ?2) and (?3 is null or e.seq = ?3)
and (?4 is null or instr(?4, ' ' || e.type || ' ') or instr(?4, ' ' || substr(e.type, 1, instr(e.type, '.')) || '* '))
and (?5 is null or e.{at} >= ?5) and (?6 is null or e.{at} < ?6)"""
_WAITING = f"""
select {WAITING_COLUMNS} from outbox as e join sinks as s on s.id = e.sink where {_FILTER.format(at="at")}
order by s.name, e.id, e.seq limit ?7"""  # noqa: S608
_DEAD_LETTERS = f"""
select {LETTER_COLUMNS} from dead_letters as e join sinks as s on s.id = e.sink
where {_FILTER.format(at="died_at")} order by e.died_at, e.run_id, e.seq, s.name limit ?7"""  # noqa: S608


def sinks(tx: Transaction) -> list[Sink]:
    """The sinks, by name."""
    return [sink for _, sink in tx.sinks]


def add_sink(tx: Transaction, sink: Sink) -> None:
    """Write events for this sink from now on."""
    tx.execute(sql.SINK_PUT, (sink.name, types_text(sink.types)))
    tx.forget_sinks()


def remove_sink(tx: Transaction, name: SinkName) -> None:
    """Delete a sink and all that is kept for it."""
    for statement in _SINK_ROWS_DELETE:
        tx.execute(statement, (name,))
    tx.execute(_LEASE_DELETE, (relay_lease(name),))
    tx.forget_sinks()


def lease_relay(tx: Transaction, sink: SinkName, lease_id: LeaseId, length: timedelta) -> bool:
    """Take or keep a relay's lease, unless another holds it."""
    return tx.execute(_RELAY_LEASE, (relay_lease(sink), lease_id, tx.now + span(length), tx.now)).rowcount == 1


def release_relay(tx: Transaction, sink: SinkName, lease_id: LeaseId) -> None:
    """Give a relay's lease back, if held."""
    tx.execute(_RELAY_RELEASE, (relay_lease(sink), lease_id))


def unpublished(tx: Transaction, sink: SinkName, limit: int) -> list[Event]:
    """The sink's events as they stand, the oldest first, without runs whose oldest waits."""
    return [read_event(row) for row in tx.execute(UNPUBLISHED, (sink, tx.now, limit)).fetchall()]


def waiting(tx: Transaction, where: EventFilter, limit: int) -> list[WaitingEvent]:
    """What waits, postponed or not."""
    return [read_waiting(row) for row in tx.execute(_WAITING, (*filter_row(where), limit)).fetchall()]


def dead_letters(tx: Transaction, where: EventFilter, limit: int) -> list[DeadLetter]:
    """Events that were given up on, the oldest first."""
    return [read_letter(row) for row in tx.execute(_DEAD_LETTERS, (*filter_row(where), limit)).fetchall()]
