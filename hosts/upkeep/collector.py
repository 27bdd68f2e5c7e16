"""The collector: deletes blobs of known runs that no row names and none ever will. By fencing, never by age.

A large payload is put under ``<run id>/<lease id>/<sha256>`` before the row that names it is committed, so a blob that
nothing names is an orphan, or the work of a writer that has not committed yet: for how long does not matter, a paused
process may take days. What tells them apart is the writer's lease. In this order, of one run at a time:

1. The keys are listed. A lease is claimed before anything is put under it, so every lease among them is on record by
   now, or was.
2. The run's jobs are read. A lease that no job holds is dead, and stays so: its id never comes again, each commit of
   its attempt is guarded by it, and a hand-over moves the row but keeps its lease. A lease that ran out and was not
   reaped, or whose commit has an unknown outcome, stands on its row and is alive.
3. Stages, then the run, are read. All that a dead lease ever committed was committed before the second step, so these
   reads show it. A reference goes from a job to a stage to the run, never back: one that moves meanwhile is met later.
   A run that the store does not know ends here: all its blobs are kept.
4. What is under a dead lease and was named by none of these rows is deleted. A late put of the fenced attempt is an
   orphan of the next round; its commit is refused.

A rerun names blobs of the run it took over: only such as that run's own rows name, which stay as long as the rerun is
there. So a run's own rows tell all.

Stores may share a blob store, for each leaves alone the runs it does not know. Not so **a live older copy of a store**:
it knows the run but not its newer leases, which it takes for dead.

Kept whatever their owner: blobs of a run that the store does not know. It may be another store's; of a run that was
swept a tombstone tells that it was this one's, and the sweeper (:mod:`sweeper`) deletes its blobs. Kept whatever the
rows say: blobs whose owner is no lease. ``input`` and ``signal`` are put before a row knows of them and have no lease
to tell whether their writer may still commit. Keys of any other form are not ours.
"""

import re
from collections.abc import Callable
from typing import Final

import structlog

from mainspring.ports.blob_store import BlobStore
from mainspring.ports.errors import PortError
from mainspring.ports.names import BlobKey, RunId
from mainspring.ports.persistence import Persistence

logger = structlog.get_logger("mainspring.upkeep")

MOST = 10_000
"""So many keys are looked at in one round at most."""

MOST_FAILURES = 10
"""So many failures end a round: the store is down, and the next round goes on behind them."""

_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_LEASED: Final = re.compile(rf"{_UUID}/({_UUID})/[0-9a-f]{{64}}")


class Collector:
    """One host's collector. Any number may work on one store at once; a blob that vanishes meanwhile is fine."""

    def __init__(self, store: Persistence, blobs: BlobStore, *, most: int = MOST) -> None:
        """``most``: keys looked at in one round; the next round goes on where this one ended, in order of keys."""
        self._store = store
        self._blobs = blobs
        self._most = most
        self._place = ""  #: the last key that was settled; empty: begin anew
        self._failures = 0

    async def round(self, go_on: Callable[[], bool] = lambda: True) -> int:
        """Look at some of the blobs and delete the orphans among them; how many.

        ``go_on`` is asked before each blob: whether there is time left. What fails for one run or blob is logged and
        leaves the others their turn.

        Raises:
            PortError: the blobs could not be listed.
        """
        began, looked, deleted, ended = self._place, 0, 0, True
        self._failures = 0
        group: list[BlobKey] = []  # consecutive keys of one run
        try:
            async for key in self._blobs.list():
                if looked == self._most or not self._may(go_on):
                    ended = False
                    break
                if key <= began:
                    continue
                looked += 1
                if group and _run_of(key) != _run_of(group[-1]):
                    deleted += await self._settle(group, go_on)
                    group = []
                group.append(key)
            deleted += await self._settle(group, go_on)
            if ended and self._may(go_on):
                self._place = ""
        finally:
            if self._place == began:  # it cannot be reached in time, or what follows cannot be listed
                self._place = ""
        if deleted:
            logger.info("blobs_collected", blobs=deleted)
        return deleted

    def _may(self, go_on: Callable[[], bool]) -> bool:
        return self._failures < MOST_FAILURES and go_on()

    async def _settle(self, keys: list[BlobKey], go_on: Callable[[], bool]) -> int:
        """Delete the orphans among keys of one run, and remember how far it came; how many."""
        if not keys or not self._may(go_on):
            return 0
        deleted = 0
        orphans = await self._orphans(keys)
        for key in keys:
            if not self._may(go_on):
                break
            deleted += key in orphans and await self._delete(key)
            self._place = key
        return deleted

    async def _orphans(self, keys: list[BlobKey]) -> set[BlobKey]:
        """Those of one run's keys that no row names, nor ever will. None, if the run is unknown or cannot be read."""
        owners = {key: match[1] for key in keys if (match := _LEASED.fullmatch(key))}
        if not owners:
            return set()
        run_id = _run_of(keys[0])
        try:
            jobs = await self._store.jobs(run_id)
            alive = {job.lease_id for job in jobs}
            dead = {key for key, owner in owners.items() if owner not in alive}
            if not dead:
                return dead
            stages = await self._store.stages(run_id)
            run = await self._store.run(run_id)
        except PortError as error:
            self._failures += 1
            logger.warning("orphans_not_told", run=run_id, error=str(error))
            return set()
        if run is None:
            return set()
        named: set[str | None] = {run.input, run.config, run.metadata, run.output}
        named |= {job.input for job in jobs} | {stage.output for stage in stages}
        named |= {job.polling.state for job in jobs if job.polling is not None}
        named |= {f"@{artifact.blob}" for stage in stages for artifact in stage.artifacts}
        return {key for key in dead if f"@{key}" not in named}

    async def _delete(self, key: BlobKey) -> bool:
        try:
            await self._blobs.delete(key)
        except PortError as error:
            self._failures += 1
            logger.warning("blob_not_deleted", blob=key, error=str(error))
            return False
        return True


def _run_of(key: BlobKey) -> RunId:
    return RunId(key.partition("/")[0])
