"""Which Changes may be written in one transaction: the rule of group commit.

All Changes of a batch are checked before any of it is written, so no two may stand in it of which one could refute the
other: one exclusive Change of a run, or any number of shared uses of it; one Change per unique key; one Change per job
row; and wake-ups of a run's jobs only without Changes that were decided by one of these jobs.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import attrs

from mainspring.adapters.memory.row_locks import LockKey
from mainspring.adapters.memory.store import stage_key
from mainspring.ports.change import Change
from mainspring.ports.records import JobKey

Uses = Mapping[LockKey, str | None]
"""What a Change uses and how: with others that use it in the same way, or (None) alone."""


@attrs.frozen(kw_only=True, eq=False)
class Handed:
    """A Change that was handed in, and who waits for its verdict."""

    change: Change
    verdict: asyncio.Future[None]
    uses: Uses


def fits(taken: Uses, wanted: Uses) -> bool:
    """Whether a Change may join a batch that uses ``taken``."""
    return all(key not in taken or (how is not None and taken[key] == how) for key, how in wanted.items())


def next_batch(waiting: Sequence[Handed]) -> tuple[list[Handed], list[Handed]]:
    """The Changes to write now, and those that wait, both in order; nobody overtakes a Change it does not go with."""
    taken: dict[LockKey, str | None] = {}
    batch: list[Handed] = []
    left: list[Handed] = []
    for handed in waiting:
        if fits(taken, handed.uses):
            batch.append(handed)
            taken.update(handed.uses)
        else:
            left.append(handed)
            taken.update(dict.fromkeys(handed.uses))
    return batch, left


def uses(change: Change) -> Uses:
    """What the Change uses; twice in different ways is alone."""
    found: dict[LockKey, str | None] = {}
    for key, how in (*_runs(change), *_jobs(change), *_unique_keys(change)):
        found[key] = how if found.get(key, how) == how else None
    return found


def _runs(change: Change) -> Iterator[tuple[LockKey, str | None]]:
    if change.run is not None:
        yield ("run", change.run.run_id), None
    if change.create is not None:
        yield ("run", change.create.id), None
    if change.run_guard is not None:
        yield ("run", change.run_guard.run_id), "shared"
    for wake in change.wakes:
        yield ("run", wake.run_id), "shared"


def _jobs(change: Change) -> Iterator[tuple[LockKey, str | None]]:
    for wake in change.wakes:
        yield ("jobs", wake.run_id), "woken"
    for unpark in change.unpark:
        yield ("jobs", unpark.run_id), None
    if change.end_jobs is not None:
        yield ("jobs", change.end_jobs.run_id), None
    for key in dict.fromkeys(_job_keys(change)):
        yield ("jobs", key.run_id), "by key"
        yield ("job", key), None


def _job_keys(change: Change) -> Iterator[JobKey]:
    for several in (change.leases, change.unleased, change.job_moves):
        for part in several:
            yield part.key
    yield from change.job_deletes
    if change.progress is not None:
        yield change.progress.key


def _unique_keys(change: Change) -> Iterator[tuple[LockKey, str | None]]:
    if change.create is not None and change.create.key is not None:
        yield ("run key", change.create.workflow, change.create.key), None
    for signal in change.signals:
        yield ("signal", signal.run_id, signal.id), None
    if change.answer is not None:
        yield ("answer", change.answer.command, change.answer.key), None
    for record in change.stages:
        yield ("stage", stage_key(record)), None
    if change.outbox is not None:
        yield ("relay",), None
