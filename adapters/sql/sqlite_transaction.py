"""One transaction on the connection: its cursor, its one moment, and what it has already looked up."""

import sqlite3
from functools import cached_property

from mainspring.adapters.sql import sqlite_statements as sql
from mainspring.adapters.sql.moments import to_micros
from mainspring.adapters.sql.outbox import read_sink
from mainspring.ports.clock import Clock
from mainspring.ports.sinks import Sink

#: The name of a row in counters.
TOKENS = "tokens"


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
    def sinks(self) -> list[tuple[int, Sink]]:
        """The store's sinks with their numbers, by name."""
        return [(row[2], read_sink(row)) for row in self.execute(sql.SINKS).fetchall()]

    def forget_sinks(self) -> None:
        """They were changed."""
        self.__dict__.pop("sinks", None)
