"""What both dialects say of the outbox in the same words.

Order: a sink reads by ``id``, then by the event's number. A replayed letter takes the id of the next event of its run
that waits, so that it comes before it; where none waits, it takes a place at the end.
"""

from collections.abc import Sequence
from typing import Any

from mainspring.adapters.sql.moments import from_micros, maybe_from_micros, to_micros
from mainspring.adapters.sql.rows import EVENT_COLUMNS, Row, prefixed, read_event
from mainspring.ports.names import RunId, SinkName
from mainspring.ports.sinks import DeadLetter, EventFilter, Sink, WaitingEvent

WAITING_COLUMNS = f"{prefixed(EVENT_COLUMNS, 'e')}, s.name, e.postponed_until"
LETTER_COLUMNS = f"{prefixed(EVENT_COLUMNS, 'e')}, s.name, e.error, e.died_at"

#: Where a dead letter ``l`` waits again.
OLD_PLACE = """
coalesce(
  (select min(o.id) from outbox o where o.run_id = l.run_id and o.sink = l.sink and o.seq > l.seq),
  (select max(o.id) + 1 from outbox o where o.sink = l.sink), 0)"""


def relay_lease(sink: SinkName) -> str:
    """The name of the lease of the sink's relay."""
    return f"relay:{sink}"


def types_text(types: tuple[str, ...]) -> str | None:
    """Types as a column keeps them, so that SQL finds one by its text with a blank on either side; None: all."""
    return f" {' '.join(types)} " if types else None


def read_sink(row: Row) -> Sink:
    """The sink in a row of name and types."""
    return Sink(name=row[0], types=tuple((row[1] or "").split()))


def read_waiting(row: Row) -> WaitingEvent:
    """What waits, of ``WAITING_COLUMNS``."""
    return WaitingEvent(event=read_event(row), sink=row[6], until=maybe_from_micros(row[7]))


def read_letter(row: Row) -> DeadLetter:
    """The dead letter, of ``LETTER_COLUMNS``."""
    return DeadLetter(event=read_event(row), sink=row[6], error=row[7], died_at=from_micros(row[8]))


def filter_row(where: EventFilter) -> tuple[Any, ...]:
    """The filter's parameters, in their order."""
    types = types_text(where.types)
    return where.sink, where.run_id, where.seq, types, to_micros(where.since), to_micros(where.before)


def stretches(published: Sequence[tuple[RunId, int]]) -> list[tuple[RunId, int, int]]:
    """Runs with the first and last of numbers that follow each other: never one that was not published."""
    found: list[tuple[RunId, int, int]] = []
    for run_id, seq in sorted(published):
        if found and found[-1][0] == run_id and found[-1][2] == seq - 1:
            found[-1] = (run_id, found[-1][1], seq)
        else:
            found.append((run_id, seq, seq))
    return found
