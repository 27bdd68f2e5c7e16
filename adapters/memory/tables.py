"""Tables of frozen rows that keep their indexes true, and a transaction that can take its writes back.

The one rule: a row only ever changes through ``Table.write``, so that no index tells another story than the rows.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Hashable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

import attrs

from mainspring.ports.change import Change
from mainspring.ports.errors import PortError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T", bound=tuple[Any, ...])


class Ordered(Generic[T]):
    """Distinct tuples in ascending order: an index to walk from its smallest entry."""

    def __init__(self) -> None:
        self._entries: list[T] = []

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: T) -> None:
        """Insert the entry at its place."""
        insort(self._entries, entry)

    def remove(self, entry: T) -> None:
        """Delete the entry, which must be there."""
        del self._entries[bisect_left(self._entries, entry)]

    def first(self) -> T | None:
        """The smallest entry, or None."""
        return self._entries[0] if self._entries else None

    def count_until(self, first: Any) -> int:
        """How many entries begin with this or less."""
        return bisect_right(self._entries, first, key=itemgetter(0))

    def descending(self, below: T | None) -> Iterator[T]:
        """Entries from the greatest (below ``below``, if given) to the smallest."""
        position = len(self._entries) if below is None else bisect_left(self._entries, below)
        while position > 0:
            position -= 1
            yield self._entries[position]


class Table(Generic[K, V]):
    """Rows by key. ``watch`` is told every change as (row before, row after) and keeps the indexes."""

    def __init__(self, name: str, watch: Callable[[V | None, V | None], None] | None = None) -> None:
        self.name = name
        self._watch = watch
        self._rows: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The row, or None."""
        return self._rows.get(key)

    def rows(self) -> list[V]:
        """All rows, in no order."""
        return list(self._rows.values())

    def write(self, key: K, row: V | None) -> V | None:
        """Put the row under the key, or (None) delete what is there; the row as it was."""
        if row is None:
            before = self._rows.pop(key, None)
        else:
            before = self._rows.get(key)
            self._rows[key] = row
        if self._watch is not None:
            self._watch(before, row)
        return before


class Written(NamedTuple):
    """One row that was written."""

    table: str  #: the table's name
    key: Any
    before: Any  #: the row as it was; None if it is new
    after: Any  #: the row as it is; None if it is gone


@attrs.frozen(kw_only=True, slots=False)
class Committed:
    """All that one transaction wrote."""

    writes: Sequence[Written]  #: in the order of writing; a row written twice comes twice
    changes: tuple[Change, ...]  #: in the order of writing; none for a claim, a heartbeat, a worker's row, a setting


Watch = Callable[[Committed], None]
"""Told of each transaction that wrote something, once, when all of it is true; the store's lock is held meanwhile."""


class Transaction:
    """Writes to any tables that are kept together, or taken back together.

    Args:
        ordinals: the ordinals of its events, if they were drawn before.
    """

    def __init__(self, ordinals: Iterator[int] | None = None) -> None:
        self.ordinals = ordinals
        self.changes: list[Change] = []  #: what it writes; whoever writes a Change adds it
        self._log: list[tuple[Table[Any, Any], Any, Any, Any]] = []

    def put(self, table: Table[K, V], key: K, row: V | None) -> None:
        """Write or (None) delete a row."""
        self._log.append((table, key, table.write(key, row), row))

    def insert(self, table: Table[K, V], key: K, row: V) -> None:
        """Write a row that must not be there yet.

        Raises:
            PortError: it is there: a primary key is violated.
        """
        if table.get(key) is not None:
            raise PortError(f"{table.name} has a row {key!r} already; nothing was written")
        self.put(table, key, row)

    def roll_back(self) -> None:
        """Take every write back, the newest first."""
        self.roll_back_to(0)

    def mark(self) -> int:
        """The place that ``roll_back_to`` goes back to."""
        return len(self._log)

    def roll_back_to(self, mark: int) -> None:
        """Take back what was written since the mark."""
        while len(self._log) > mark:
            table, key, before, _ = self._log.pop()
            table.write(key, before)

    def committed(self) -> Committed | None:
        """What it wrote, or None if that is nothing."""
        if not self._log and not self.changes:
            return None
        writes = [Written(table.name, key, before, after) for table, key, before, after in self._log]
        return Committed(writes=writes, changes=tuple(self.changes))
