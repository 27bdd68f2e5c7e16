"""Sinks, relays and dead letters on PostgreSQL; what commits write of them stands in :mod:`postgres_commit`.

Rule: a sink is forgotten only when no commit is under way that may still write for it. Such a commit holds the table
of sinks in the weakest of locks, so taking the strongest one waits for it, and holds up others for that moment only.
"""

from datetime import timedelta

from psycopg import AsyncConnection

from mainspring.adapters.sql.moments import span
from mainspring.adapters.sql.outbox import (
    LETTER_COLUMNS,
    WAITING_COLUMNS,
    filter_row,
    read_letter,
    read_sink,
    read_waiting,
    relay_lease,
    types_text,
)
from mainspring.adapters.sql.postgres_arrays import is_id
from mainspring.adapters.sql.postgres_connections import CLAIM, HEARTBEAT, SWEEP, Connections
from mainspring.adapters.sql.rows import EVENT_COLUMNS, Row, read_event
from mainspring.ports.names import LeaseId, SinkName
from mainspring.ports.records import Event
from mainspring.ports.sinks import DEFAULT_SINK, EVERY_EVENT, DeadLetter, EventFilter, Sink, WaitingEvent

SINKS = b"select name, types from sinks order by name"
SINK_PUT = b"""
insert into sinks (name, types) values ($1, $2) on conflict (name) do update set types = excluded.types
where sinks.types is distinct from excluded.types"""
#: $1 name; answers how many went. Done again until none is left.
_ROWS_DELETE = tuple(
    f"""
with gone as (
  delete from {table} where ctid = any(array(
    select ctid from {table} where sink = (select id from sinks where name = $1) limit 5000)) returning 1)
select count(*) from gone""".encode()  # noqa: S608
    for table in ("outbox", "dead_letters")
)
_LOCK = b"lock table sinks in access exclusive mode"
_SINK_DELETE = b"delete from sinks where name = $1"

#: Takes the lease when it is free, ran out, or is held under the same id.
RELAY_LEASE = b"""
insert into leases (name, lease_id, until) values ($1, $2, mainspring_now() + $3)
on conflict (name) do update set lease_id = excluded.lease_id, until = mainspring_now() + $3
where leases.lease_id = excluded.lease_id or leases.until <= mainspring_now()
returning 1"""
RELAY_RELEASE = b"delete from leases where name = $1 and lease_id = $2"

_SINK = "(select id from sinks where name = $2)"
#: $1 limit, $2 sink. Runs whose oldest event waits are left out. (Asked by ``not exists`` it may be joined with the
#: whole outbox.)
UNPUBLISHED = f"""
select {EVENT_COLUMNS} from outbox where sink = {_SINK} and run_id not in (
  select f.run_id from outbox f where f.postponed_until > (select mainspring_now()) and f.sink = {_SINK}
  and f.seq = (select min(o.seq) from outbox o where o.run_id = f.run_id and o.sink = f.sink))
order by id, seq limit $1""".encode()  # noqa: S608


def is_among(types: str, event_type: str) -> str:
    """The condition that this type of events is among those; all of them are, where none are named."""
    family = f"split_part({event_type}, '.', 1)"
    return (
        f"({types} is null or position(' ' || {event_type} || ' ' in {types}) > 0"
        f" or position(' ' || {family} || '.* ' in {types}) > 0)"
    )


#: $2 sink, $3 run, $4 number, $5 types, $6 since, $7 before
_FILTER = f"""
($2::text is null or s.name = $2) and ($3::uuid is null or e.run_id = $3) and ($4::int is null or e.seq = $4)
and {is_among("$5::text", "e.type")}
and ($6::bigint is null or e.{{at}} >= $6) and ($7::bigint is null or e.{{at}} < $7)"""
WAITING = f"""
select {WAITING_COLUMNS} from outbox e join sinks s on s.id = e.sink where {_FILTER.format(at="at")}
order by s.name, e.id, e.seq limit $1""".encode()  # noqa: S608
DEAD_LETTERS = f"""
select {LETTER_COLUMNS} from dead_letters e join sinks s on s.id = e.sink where {_FILTER.format(at="died_at")}
order by e.died_at, e.run_id, e.seq, s.name limit $1""".encode()  # noqa: S608


class PostgresOutbox:
    """The part of :class:`mainspring.adapters.sql.postgres.PostgresPersistence` that sinks are served by."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def sinks(self) -> list[Sink]:
        return [read_sink(row) for row in await self._connections.read(SINKS)]

    async def add_sink(self, sink: Sink) -> None:
        await self._connections.write(CLAIM, SINK_PUT, (sink.name, types_text(sink.types)))

    async def remove_sink(self, name: SinkName) -> None:
        async def forget(connection: "AsyncConnection[Row]") -> None:
            await connection.execute(_LOCK)
            for statement in (*_ROWS_DELETE, _SINK_DELETE):
                await connection.execute(statement, (name,))
            await connection.execute(b"delete from leases where name = $1", (relay_lease(name),))

        for statement in _ROWS_DELETE:  # most of them before anybody is held up
            count = 1
            while count:
                ((count,),) = await self._connections.write(SWEEP, statement, (name,))
        await self._connections.work(SWEEP, forget)

    async def lease_relay(self, lease_id: LeaseId, length: timedelta, sink: SinkName = DEFAULT_SINK) -> bool:
        parameters = (relay_lease(sink), lease_id, span(length))
        return bool(await self._connections.write(HEARTBEAT, RELAY_LEASE, parameters))

    async def release_relay(self, lease_id: LeaseId, sink: SinkName = DEFAULT_SINK) -> None:
        await self._connections.write(HEARTBEAT, RELAY_RELEASE, (relay_lease(sink), lease_id))

    async def unpublished(self, limit: int, sink: SinkName = DEFAULT_SINK) -> list[Event]:
        return [read_event(row) for row in await self._connections.read(UNPUBLISHED, (max(limit, 0), sink))]

    async def waiting_events(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[WaitingEvent]:
        return [read_waiting(row) for row in await self._filtered(WAITING, limit, where)]

    async def dead_letters(self, limit: int, where: EventFilter = EVERY_EVENT) -> list[DeadLetter]:
        return [read_letter(row) for row in await self._filtered(DEAD_LETTERS, limit, where)]

    async def _filtered(self, statement: bytes, limit: int, where: EventFilter) -> list[Row]:
        if where.run_id is not None and not is_id(where.run_id):
            return []
        return await self._connections.read(statement, (max(limit, 0), *filter_row(where)))
