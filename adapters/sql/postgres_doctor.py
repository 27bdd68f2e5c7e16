"""Examining a PostgreSQL store: whether workers of this machine can work on it, and keep what they promise.

Rule: nothing is written and nothing is waited for; each check stands alone, so that one that fails hides no other.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeAlias

import attrs
import psycopg

from mainspring.adapters.sql.moments import from_micros
from mainspring.adapters.sql.postgres_connections import CLAIM, COMMIT, HEARTBEAT, HINTS, LISTEN, READS, SWEEP
from mainspring.adapters.sql.postgres_errors import translate
from mainspring.adapters.sql.postgres_location import PostgresLocation, locate
from mainspring.adapters.sql.postgres_open import OLDEST_SERVER, connect, find_version
from mainspring.adapters.sql.postgres_privileges import Connection, check_restraint, check_rights
from mainspring.adapters.sql.schema import check_schema
from mainspring.ports.clock import Clock
from mainspring.ports.diagnosis import Check, failed, passed, warned
from mainspring.ports.errors import MainspringError, SchemaError

#: Connections that one worker process may have open.
PER_WORKER = len({COMMIT, CLAIM, HEARTBEAT, SWEEP, HINTS, LISTEN, *READS})
_WORKERS_LEFT = 4  # below so many more workers it is time to look

_SKEW = timedelta(seconds=1)
_TRIES = 3  # the quickest answer tells the time best

#: Settings of a role that end what workers do, in milliseconds: below the figure (0 is never) they matter.
_TIME_OUTS = {
    "statement_timeout": (1_000, "statements are ended before they can be done"),
    "idle_in_transaction_session_timeout": (1_000, "transactions are ended between two statements"),
    "transaction_timeout": (30_000, "transactions are ended before they can be done"),
    "idle_session_timeout": (3_600_000, "connections that wait are ended, and hints are lost until they are back"),
}


@attrs.frozen
class _Patient:
    connection: Connection
    location: PostgresLocation
    clock: Clock

    def ask(self, statement: str, *parameters: object) -> tuple[object, ...]:
        row = self.connection.execute(statement.encode(), parameters).fetchone()
        return row or ()


_Checking: TypeAlias = Callable[[_Patient], Check]


def examine_postgres(url: str, clock: Clock) -> list[Check]:
    """Look at a store. Blocks for some round trips.

    Args:
        url: as for :func:`mainspring.adapters.sql.postgres.open_postgres`.
        clock: of this machine.

    Raises:
        SettingsError: the URL names no store.
    """
    location = locate(url)
    try:
        connection = connect(location)
    except MainspringError as error:
        remedy = "check host, port, database, user and password, pg_hba.conf, and whether the server runs"
        return [failed("reachable", str(error), remedy)]
    with connection:
        connection.autocommit = True
        return [passed("reachable", location.shown), *_examined(_Patient(connection, location, clock))]


def _examined(patient: _Patient) -> Iterator[Check]:
    for name, checking in _CHECKS.items():
        try:
            yield checking(patient)
        except psycopg.Error as error:
            told = translate(error, patient.location.shown)
            yield failed(name, str(told), "mend what the server says, then run this again")


def _server(patient: _Patient) -> Check:
    found = patient.connection.info.server_version
    told = f"PostgreSQL {found // 10000}.{found % 10000}"
    if found < OLDEST_SERVER:
        return failed("server", told, f"upgrade it to {OLDEST_SERVER // 10000} or newer")
    standby, read_only = patient.ask("select pg_is_in_recovery(), current_setting('default_transaction_read_only')")
    if standby:
        return failed("server", f"{told}, a standby, which cannot be written", "name the primary in the URL")
    if read_only == "on":
        remedy = "alter role … (or database …) reset default_transaction_read_only"
        return failed("server", f"{told}, default_transaction_read_only = on", remedy)
    return passed("server", told)


def _schema(patient: _Patient) -> Check:
    found, serves = find_version(patient.connection, patient.location.schema)
    try:
        check_schema(found, patient.location.shown, serves)
    except SchemaError as error:
        told, _, remedy = str(error).rpartition("; ")
        return failed("schema", told, remedy)
    return passed("schema", f"{patient.location.schema} is at revision {found}")


def _durability(patient: _Patient) -> Check:
    names = ("fsync", "synchronous_commit", "full_page_writes")
    values = patient.ask("select " + ", ".join(f"current_setting('{name}')" for name in names))
    told = ", ".join(f"{name} = {value}" for name, value in zip(names, values, strict=True))
    fsync, synchronous, whole_pages = values
    if synchronous == "off":
        remedy = "alter role … (or database …) set synchronous_commit = on: a crash loses commits that were confirmed"
        return failed("durability", told, remedy)
    if fsync == "off":
        return failed("durability", told, "set fsync = on: a crash of the machine destroys the database")
    if whole_pages == "off":
        remedy = "set full_page_writes = on, unless the file system never writes half a page (ZFS)"
        return warned("durability", told, remedy)
    return passed("durability", told)


def _clock(patient: _Patient) -> Check:
    answers: list[tuple[timedelta, datetime, datetime]] = []
    for _ in range(_TRIES):
        began = patient.clock.now()
        (micros,) = patient.ask("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
        trip = patient.clock.now() - began
        answers.append((trip, began + trip / 2, from_micros(int(str(micros)))))
    trip, here, there = min(answers)
    ahead = (here - there).total_seconds()
    told = f"this machine is {abs(ahead):.3f} s {'ahead of' if ahead > 0 else 'behind'} the server"
    told += f", which answers within {trip.total_seconds() * 1000:.1f} ms"
    if abs(ahead) - trip.total_seconds() / 2 > _SKEW.total_seconds():
        remedy = "synchronize both clocks (NTP): leases go by the server's, logs and everything else by this one's"
        return warned("clock", told, remedy)
    return passed("clock", told)


#: What is left of the server's connections, of this role's and of this database's; and who has them.
_LEFT = """
select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int
    - (select coalesce(sum(numbackends), 0) from pg_stat_database)::int,
  (select case when rolconnlimit >= 0 then rolconnlimit
    - (select count(*) from pg_stat_activity where usesysid = r.oid)::int end
    from pg_roles r where rolname = current_user),
  (select case when datconnlimit >= 0 then datconnlimit
    - (select count(*) from pg_stat_activity where datid = d.oid)::int end
    from pg_database d where datname = current_database()),
  (select count(*) from pg_stat_activity where application_name = 'mainspring' and datname = current_database())"""


def _connections(patient: _Patient) -> Check:
    *limits, ours = patient.ask(_LEFT)
    left = max(0, min(int(str(limit)) for limit in limits if limit is not None))
    told = f"{left} left, {ours} of this database are Mainspring's; a worker may use {PER_WORKER}"
    remedy = "raise max_connections (or the role's or database's limit), or put pgbouncer before it"
    if left < PER_WORKER:
        return failed("connections", told, remedy)
    if left < _WORKERS_LEFT * PER_WORKER:
        return warned("connections", told, remedy)
    return passed("connections", told)


def _time_outs(patient: _Patient) -> Check:
    rows = patient.connection.execute(
        "select name, setting::bigint from pg_settings where name = any(%s) order by name", (list(_TIME_OUTS),)
    ).fetchall()
    found = {str(name): int(str(value)) for name, value in rows}
    told = ", ".join(f"{name} = {f'{value} ms' if value else 'none'}" for name, value in found.items())
    short = [name for name, value in found.items() if 0 < value < _TIME_OUTS[name][0]]
    if not short:
        return passed("time-outs", told)
    why = "; ".join(f"{name}: {_TIME_OUTS[name][1]}" for name in short)
    remedy = ", ".join(f"alter role … set {name} = 0" for name in short)
    verdict = failed if "transaction_timeout" in short else warned
    return verdict("time-outs", f"{told}; {why}", remedy)


def _pooler(patient: _Patient) -> Check:
    """The process id that a pooler tells is none of the server's."""
    (server,) = patient.ask("select pg_backend_pid()")
    there, told = server != patient.connection.info.backend_pid, patient.location.pgbouncer
    if there and not told:
        remedy = "add pgbouncer=transaction to the URL's parameters, or name the server itself"
        return failed("pooler", "a pooler is between here and the server, and the URL does not say so", remedy)
    if there:
        return warned(
            "pooler",
            "through pgbouncer nobody can LISTEN, nothing stays prepared: other processes' jobs are found by polling",
            "name the server itself, if there are connections enough; or shorten MAINSPRING_SAFETY_POLL",
        )
    if told:
        remedy = "leave pgbouncer=transaction out of the URL: it costs round trips, and hints from other processes"
        return warned("pooler", "the URL says pgbouncer, and there is none", remedy)
    return passed("pooler", "none")


_CHECKS: dict[str, _Checking] = {
    "server": _server,
    "schema": _schema,
    "durability": _durability,
    "clock": _clock,
    "connections": _connections,
    "time-outs": _time_outs,
    "rights": lambda patient: check_rights(patient.connection, patient.location.schema),
    "restraint": lambda patient: check_restraint(patient.connection, patient.location.schema),
    "pooler": _pooler,
}
