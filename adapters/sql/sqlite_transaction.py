"""One transaction on the connection: its cursor, its one moment, and what it has already looked up."""

import sqlite3
from functools import cached_property

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.moments import to_micros
from mainspring.ports.clock import Clock

#: Names of rows in settings, counters and leases.
EVENTS_WRITTEN = "events_written"
TOKENS = "tokens"
RELAY = "relay"
ON = "on"
OFF = "off"


class Transaction:
    """What a piece of work is handed.

    Args:
        cursor: the connection's one reused cursor.
        clock: the store's time.
        careful: the work failed once together with others and now runs alone: isolate what is wrong with it.
    """

    def __init__(self, cursor: sqlite3.Cursor, clock: Clock, *, careful: bool = False) -> None:
        self.execute = cursor.execute
        self.executemany = cursor.executemany
        self.careful = careful
        self.graphs: set[str] = set()  #: fingerprints of shapes it has stored, or found; not kept over savepoints
        self._clock = clock

    @cached_property
    def now(self) -> int:
        """The transaction's moment, in microseconds; the same for all that it does."""
        return to_micros(self._clock.now())

    @cached_property
    def events_written(self) -> bool:
        """The store's setting."""
        row = self.execute(sql.SETTING, (EVENTS_WRITTEN,)).fetchone()
        return row is not None and row[0] == ON
