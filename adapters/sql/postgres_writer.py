"""Writing batches of Changes: one statement for all; if it fails, whose fault it was is found by halving.

Rule: a verdict is final only if nothing of the Change was written, or all. What a race spoiled is asked again, what one
row spoiled is parted from its neighbours, and what broke off in the middle is of unknown outcome.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import psycopg
from psycopg.errors import UniqueViolation
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from mainspring.adapters.sql.committer import Verdict
from mainspring.adapters.sql.postgres_batch import rows_of
from mainspring.adapters.sql.postgres_commit import Parameters, statement
from mainspring.adapters.sql.postgres_connections import COMMIT, Connections, LostError
from mainspring.adapters.sql.postgres_errors import is_of_a_row, is_repeatable, translate
from mainspring.adapters.sql.rows import Row
from mainspring.ports.change import Change
from mainspring.ports.errors import MainspringError, StaleChange, UnknownOutcomeError

#: Keys that decide whether a Change is written at all.
_GATES = frozenset({"runs_pkey", "runs_key", "signals_id", "answers_pkey", "stages_pkey"})
#: Keys that are counted up: taken by a transaction whose count this one did not see yet.
_COUNTED = frozenset({"signals_pkey", "outbox_pkey"})
_TRIES = 8
_STALE = "a guard of the Change does not hold, or a key is taken; nothing was written: load and decide again"
_REFUSALS = (psycopg.Error, UnicodeError, OverflowError)


class Writer:
    """Writes batches; what :class:`mainspring.adapters.sql.committer.Committer` is given.

    Args:
        connections: of the process.
        sleep: how a repeat waits; in seconds.
    """

    def __init__(self, connections: Connections, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._lane = connections.lane
        self._shown = connections.location.shown
        self._sleep = sleep
        self._graphs: set[str] = set()  #: shapes that are known to be stored

    async def write(self, changes: Sequence[Change]) -> list[Verdict]:
        """One verdict per Change: None if it was written, or why it was not."""
        try:
            text, parameters = statement(rows_of(changes, self._graphs))
        except (MainspringError, *_REFUSALS) as error:
            return await self._parted(changes, error)
        try:
            refused = await self._written(text, parameters)
        except LostError as error:
            told = UnknownOutcomeError(f"writing to {self._shown} broke off ({error}): written whole, or not at all")
            told.__cause__ = error
            return [told] * len(changes)
        except _REFUSALS as error:
            if _is_taken(error) or is_of_a_row(error):
                return await self._parted(changes, error)
            return [self._verdict(error)] * len(changes)
        if not refused:
            self._graphs.update(change.graph.fingerprint for change in changes if change.graph is not None)
            return [None] * len(changes)
        return [StaleChange(_STALE) if c in refused else None for c in range(len(changes))]

    async def _written(self, text: bytes, parameters: Parameters) -> frozenset[int]:
        """The numbers of the refused ones."""
        ask = self._lane(COMMIT).ask
        rows: list[Row]
        try:
            rows = await ask(text, parameters)
        except psycopg.Error as error:
            if not _raced(error):
                raise
            again = AsyncRetrying(
                sleep=self._sleep,
                stop=stop_after_attempt(_TRIES),
                wait=wait_random_exponential(multiplier=0.01, max=0.25),
                retry=retry_if_exception(_raced),
                reraise=True,
            )
            rows = await again(ask, text, parameters)
        return frozenset(row[0] for row in rows)

    async def _parted(self, changes: Sequence[Change], error: Exception) -> list[Verdict]:
        """Nothing was written: the halves are tried apart; a Change that is alone is told why."""
        if len(changes) == 1:
            return [self._verdict(error)]
        half = len(changes) // 2
        return [*await self.write(changes[:half]), *await self.write(changes[half:])]

    def _verdict(self, error: Exception) -> Exception:
        is_gate = isinstance(error, UniqueViolation) and error.diag.constraint_name in _GATES
        told = StaleChange(_STALE) if is_gate else translate(error, self._shown)
        if told is not error:
            told.__cause__ = error
        return told


def _raced(error: BaseException) -> bool:
    counted = isinstance(error, UniqueViolation) and error.diag.constraint_name in _COUNTED
    return counted or is_repeatable(error)


def _is_taken(error: BaseException) -> bool:
    return isinstance(error, UniqueViolation)
