"""Which Changes may be written in one transaction: the rule of group commit, for every store that checks them together.

All Changes of a batch are checked before any of it is written, so no two may stand in it of which one could refute the
other: one exclusive Change of a run, or any number of shared uses of it; one Change per unique key; one Change per job
row; and wake-ups of a run's jobs only without Changes that were decided by one of these jobs.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol, TypeVar

from mainspring.ports.change import Change
from mainspring.ports.records import JobKey

Uses = Mapping[Hashable, str | None]
"""What a Change uses and how: with others that use it in the same way, or (None) alone."""


class Waiting(Protocol):
    """Whatever holds a Change that waits to be written."""

    @property
    def uses(self) -> Uses:
        """What the Change uses."""
        ...


W = TypeVar("W", bound=Waiting)


def fits(taken: Uses, wanted: Uses) -> bool:
    """Whether a Change may join a batch that uses ``taken``."""
    return all((how := wanted[key]) is not None and taken[key] == how for key in taken.keys() & wanted.keys())


def next_batch(waiting: Sequence[W], most: int | None = None) -> tuple[list[W], list[W]]:
    """The Changes to write now, and those that wait, both in order; nobody overtakes a Change it does not go with."""
    taken: dict[Hashable, str | None] = {}
    batch: list[W] = []
    left: list[W] = []
    for place, handed in enumerate(waiting):
        if most is not None and len(batch) >= most:
            left.extend(waiting[place:])
            break
        if taken.keys().isdisjoint(handed.uses) or fits(taken, handed.uses):
            batch.append(handed)
            taken.update(handed.uses)
        else:
            left.append(handed)
            taken.update(dict.fromkeys(handed.uses))
    return batch, left


def uses(change: Change) -> Uses:
    """What the Change uses; twice in different ways is alone."""
    found: dict[Hashable, str | None] = {}
    _use_runs(found, change)
    _use_jobs(found, change)
    create = change.create
    if create is not None and create.key is not None:
        found["run key", create.workflow, create.key] = None
    for signal in change.signals:
        found["signal", signal.run_id, signal.id] = None
    if change.answer is not None:
        found["answer", change.answer.command, change.answer.key] = None
    for record in change.stages:
        found["stage", record.run_id, record.stage, record.index] = None
    if change.outbox is not None:
        found["relay", change.outbox.sink] = None
    for replayed in change.replays:
        found["event", replayed.sink, replayed.run_id, replayed.seq] = None
    return found


def _use_runs(found: dict[Hashable, str | None], change: Change) -> None:
    if change.run_guard is not None:
        found["run", change.run_guard.run_id] = "shared"
    for wake in change.wakes:
        found["run", wake.run_id] = "shared"
    if change.run is not None:
        found["run", change.run.run_id] = None
    if change.create is not None:
        found["run", change.create.id] = None


def _use_jobs(found: dict[Hashable, str | None], change: Change) -> None:
    for guard in change.leases:
        _use_job(found, guard.key)
    for unleased in change.unleased:
        _use_job(found, unleased.key)
    for move in change.job_moves:
        _use_job(found, move.key)
    for key in change.job_deletes:
        _use_job(found, key)
    if change.progress is not None:
        _use_job(found, change.progress.key)
    for wake in change.wakes:
        jobs = ("jobs", wake.run_id)
        found[jobs] = "woken" if found.get(jobs, "woken") == "woken" else None
    for unpark in change.unpark:
        found["jobs", unpark.run_id] = None
    if change.end_jobs is not None:
        found["jobs", change.end_jobs.run_id] = None


def _use_job(found: dict[Hashable, str | None], key: JobKey) -> None:
    found["jobs", key.run_id] = "by key"
    found["job", key.run_id, key.stage, key.index] = None
