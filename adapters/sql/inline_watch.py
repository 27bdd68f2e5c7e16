"""What each piece of work changed in the shared database of a simulation: rows before and after, for whoever audits.

Rule: a report tells what the tables say, not what somebody meant to write. Triggers only note which keys were touched;
a look reads those rows and compares them with the last look. So every statement counts, and what was taken back does
not. A row that was written twice since then comes once, and one that is as it was does not come.

A batch of Changes is one report. Mailboxes see to it that a process decides one Change of a run at a time; were there
two in a batch, what a row was between them would go unseen.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import attrs

from mainspring.adapters.sql.moments import maybe_from_micros
from mainspring.adapters.sql.rows import (
    EVENT_COLUMNS,
    JOB_COLUMNS,
    RUN_COLUMNS,
    STAGE_COLUMNS,
    Row,
    listed,
    read_event,
    read_job,
    read_run,
    read_stage,
)
from mainspring.ports.names import RunId, SinkName
from mainspring.ports.records import Event, JobKey


class Written(NamedTuple):
    """One row that changed."""

    table: str  #: ``runs``, ``stages``, ``jobs``, ``outbox`` or ``dead letters``
    key: Any  #: of a run its id, of a job or a stage its ``JobKey``, else (sink, run id, seq)
    before: Any  #: the row as it was; None if it is new
    after: Any  #: the row as it is; None if it is gone


@attrs.frozen(kw_only=True)
class Committed:
    """All that changed since the last report."""

    writes: Sequence[Written]
    """Runs, stages, jobs, events that wait, dead letters, events that are gone.

    Of runs, stages, jobs and dead letters, what is gone comes first; then by key, but jobs that stand by their tokens:
    a claim tells them in the order in which it took them.
    """


Watch: TypeAlias = Callable[[Committed], None]
"""Told of each piece of work that changed something, in its caller's context; what it raises reaches the caller."""


@attrs.frozen
class Outgoing:
    """An event in the outbox."""

    event: Event
    until: datetime | None  #: its run's events wait until then


@attrs.frozen
class DeadLetter:
    """An event that was given up on."""

    event: Event
    error: str


@attrs.frozen
class _Kind:
    """A table that is watched; its key stands in its first columns."""

    name: str
    table: str
    width: int  #: of the key
    columns: str
    key: Callable[[Row], Any]  #: of a row
    read: Callable[[Row], Any]


def _run_key(row: Row) -> RunId:
    return RunId(row[0])


def _job_key(row: Row) -> JobKey:
    return JobKey(row[0], row[1], row[2])


def _event_key(row: Row) -> tuple[SinkName, RunId, int]:
    return row[3], row[0], row[1]


def _read_outgoing(row: Row) -> Outgoing:
    return Outgoing(read_event(row[:2] + row[4:]), maybe_from_micros(row[8]))


def _read_dead_letter(row: Row) -> DeadLetter:
    return DeadLetter(read_event(row[:2] + row[4:]), row[8])


_RUNS = _Kind("runs", "runs", 1, RUN_COLUMNS, _run_key, read_run)
_STAGES = _Kind("stages", "stages", 3, STAGE_COLUMNS, _job_key, read_stage)
_JOBS = _Kind("jobs", "jobs", 3, JOB_COLUMNS, _job_key, read_job)
#: After the key, which holds the sink's number, comes its name.
_EVENT = EVENT_COLUMNS.replace("seq,", "seq, sink, (select name from sinks where sinks.id = sink),", 1)
_OUTBOX = _Kind("outbox", "outbox", 3, f"{_EVENT}, postponed_until", _event_key, _read_outgoing)
_DEAD_LETTERS = _Kind("dead letters", "dead_letters", 3, f"{_EVENT}, error", _event_key, _read_dead_letter)


class _Table:
    """A table as the last look saw it, and the keys that were touched since."""

    def __init__(self, connection: sqlite3.Connection, kind: _Kind) -> None:
        self._touched: set[Row] = set()
        self._kind = kind
        self._execute = connection.cursor().execute
        names = listed(kind.columns)[: kind.width]
        asked = " and ".join(f"{name} = ?" for name in names)
        everything = f"select {kind.columns} from {kind.table}"  # noqa: S608  texts of this package
        self._one = f"{everything} where {asked}"
        self._seen: dict[Row, tuple[Row, Any]] = {
            row[: kind.width]: (row, kind.read(row)) for row in self._execute(everything).fetchall()
        }
        connection.create_function(f"touch_{kind.table}", kind.width, _adder(self._touched))
        for trigger in _triggers(kind.table, names):
            self._execute(trigger)

    def look(self) -> tuple[list[Written], list[Written]]:
        """What is gone since the last look, and what stands there new or otherwise, each by key."""
        gone: list[Written] = []
        standing: list[Written] = []
        kind, seen = self._kind, self._seen
        for key in sorted(self._touched):
            row: Row | None = self._execute(self._one, key).fetchone()
            old, before = seen.get(key, (None, None))
            if row == old:
                continue
            if row is None:
                del seen[key]
                gone.append(Written(kind.name, kind.key(old or key), before, None))
            else:
                after = kind.read(row)
                seen[key] = row, after
                standing.append(Written(kind.name, kind.key(row), before, after))
        self._touched.clear()
        return gone, standing


def _token(written: Written) -> int:
    token: int = written.after.token
    return token


def _adder(touched: set[Row]) -> Callable[..., None]:
    """Knows nothing but the set: no collector would see a way from the connection through its function and back."""

    def add(*key: Any) -> None:
        touched.add(key)

    return add


def _triggers(table: str, names: Sequence[str]) -> list[str]:
    """Statements that have the connection's function told the key of each row that is written, whatever writes it."""
    touch = {row: f"touch_{table}({', '.join(f'{row}.{name}' for name in names)})" for row in ("old", "new")}
    told = {"insert": touch["new"], "update": f"{touch['old']}, {touch['new']}", "delete": touch["old"]}
    return [
        f"create temp trigger touch_{table}_{event} after {event} on main.{table} begin select {calls}; end"
        for event, calls in told.items()
    ]


class Lookout:
    """Tells of what changes in a database that has no other connection.

    Args:
        connection: it gets temporary triggers; what is there already is not told of.
        watch: whom to tell.
    """

    def __init__(self, connection: sqlite3.Connection, watch: Watch) -> None:
        self._watch = watch
        self._runs = _Table(connection, _RUNS)
        self._stages = _Table(connection, _STAGES)
        self._jobs = _Table(connection, _JOBS)
        self._outbox = _Table(connection, _OUTBOX)
        self._dead_letters = _Table(connection, _DEAD_LETTERS)

    def look(self) -> None:
        """Tell of what changed since the last look, if anything did. Not within a transaction."""
        writes: list[Written] = []
        for table in (self._runs, self._stages, self._jobs):
            gone, standing = table.look()
            if table is self._jobs:
                standing.sort(key=_token)
            writes += gone
            writes += standing
        settled, outgoing = self._outbox.look()
        forgotten, given_up = self._dead_letters.look()
        # An event that was given up on is told as dead before it is told as gone.
        writes += [*outgoing, *forgotten, *given_up, *settled]
        if writes:
            self._watch(Committed(writes=writes))
