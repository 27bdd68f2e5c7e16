"""The sweeper: deletes runs that ended long ago, with their rows and blobs, and answers nobody will ask for again.

First the rows, then the blobs. In one write the store deletes a run's rows and leaves a tombstone: the run is whole, or
it is gone. A blob's key begins with its run's id, so whatever lies there is nobody's any more, whoever put it:

1. At once the blobs of the runs that this sweep deleted are deleted. A crash, a store that fails or an answer that was
   lost may prevent that.
2. Once its tombstone is ``linger`` old, a run's blobs are deleted again, and then the tombstone. That makes up for what
   the first step missed, and for what a paused writer put there since. Its commit is refused: its lease is gone with
   the run, a signal finds no run, and the tombstone refuses the repeat of a start that nobody had an answer to.

A process that was paused for longer than retention and ``linger`` together may leave a blob that nothing deletes, and
may start its run again.

Blobs of one run may be named by another one: a rerun takes over outputs by reference. The store keeps a run as long as
there is a rerun of it, whatever their ages; so a chain of reruns goes from its newest end.
Of two live copies of one store, each takes the other's blobs for its own, as with the collector.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final
from urllib.parse import quote

import structlog

from mainspring.ports.blob_store import BlobStore
from mainspring.ports.errors import PortError
from mainspring.ports.names import RunId
from mainspring.ports.persistence import RetentionStore

logger = structlog.get_logger("mainspring.upkeep")

BATCH = 200
MOST_BATCHES = 20
"""So many runs are deleted in one transaction, and so many times in one round at most."""

MOST_FAILURES = 10
"""After so many failures a round leaves the blobs alone: their store is down, and tombstones remember them."""

LINGER = timedelta(days=1)
"""How long a tombstone stands."""

_NEVER: Final = timedelta(0)


class Sweeper:
    """One host's sweeper. Any number may work on one store at once."""

    def __init__(
        self,
        store: RetentionStore,
        blobs: BlobStore,
        *,
        runs: timedelta,
        answers: timedelta | None = None,
        linger: timedelta = LINGER,
    ) -> None:
        """``runs``, ``answers``: how long each is kept; zero: for ever. ``answers`` None: as long as runs."""
        self._store = store
        self._blobs = blobs
        self._runs = _age(runs)
        self._answers = _age(runs if answers is None else answers)
        self._linger = linger
        self._failures = 0

    @property
    def has_work(self) -> bool:
        """Whether anything is ever to be deleted."""
        return self._runs is not None or self._answers is not None

    async def round(self, go_on: Callable[[], bool] = lambda: True) -> int:
        """Delete what is old enough, then what is left of runs deleted before; how many runs.

        ``go_on`` is asked before each batch and each run's blobs: whether there is time left. What fails for one run's
        blobs is logged, leaves the others their turn, and is tried again when its tombstone is old.

        Raises:
            PortError: the store failed.
        """
        self._failures = 0
        runs = answers = 0
        for _ in range(MOST_BATCHES):
            if not go_on():
                break
            swept = await self._store.sweep(runs=self._runs, answers=self._answers, limit=BATCH)
            runs += len(swept.runs)
            answers += swept.answers
            await self._clear(swept.runs, go_on)
            if max(len(swept.runs), swept.answers) < BATCH:
                break
        if runs or answers:
            logger.info("swept", runs=runs, answers=answers)
        await self._clear_leftovers(go_on)
        return runs

    async def _clear_leftovers(self, go_on: Callable[[], bool]) -> None:
        for _ in range(MOST_BATCHES):
            if not go_on():
                return
            gone = await self._store.tombstones(self._linger, BATCH)
            cleared = await self._clear(gone, go_on)
            if cleared:
                await self._store.lift_tombstones(cleared)
            if len(cleared) < BATCH:
                return

    async def _clear(self, run_ids: Iterable[RunId], go_on: Callable[[], bool]) -> list[RunId]:
        """Delete all blobs of these runs; those of which none is left."""
        cleared: list[RunId] = []
        for run_id in run_ids:
            if self._failures >= MOST_FAILURES or not go_on():
                break
            try:
                keys = [key async for key in self._blobs.list(f"{quote(run_id, safe='')}/")]
                for key in keys:
                    await self._blobs.delete(key)
            except PortError as error:
                self._failures += 1
                logger.warning("blobs_not_swept", run=run_id, error=str(error))
                continue
            cleared.append(run_id)
        return cleared


def _age(kept: timedelta) -> timedelta | None:
    return None if kept == _NEVER else kept
