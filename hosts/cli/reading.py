"""A run as people look at it: read from the store alone, without the code of its workflow.

Rule: bounded. Of a mapped stage with very many instances only the tallies are read.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import attrs

from mainspring.kernel.advance import EMPTY_MAP
from mainspring.kernel.commands.common import require_run
from mainspring.kernel.transitions import activity
from mainspring.ports.names import RunId, StageId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Artifact,
    AttemptRecord,
    Failure,
    Job,
    JobKey,
    Polling,
    Run,
    RunFilter,
    RunState,
    StageRecord,
    StageTally,
)

WIDE = 1000
"""Instances of a stage above which they are only counted."""

MOST_RERUNS = 20
"""So many reruns of a run are told."""

#: Which state stands for a stage whose instances stand differently: the first of these that one of them is in.
_TELLING = (
    *("failed", "running", "active", "blocked", "retrying", "queued", "scheduled", "suspended", "parked"),
    *("cancelled", "skipped", "completed"),
)


@attrs.frozen(kw_only=True)
class Progress:
    """What a body last told."""

    done: float
    total: float | None
    message: str


@attrs.frozen(kw_only=True)
class Instance:
    """A stage, or one instance of a mapped one, as it stands."""

    index: int
    state: str  #: how it ended, or what it is doing
    attempt: int
    max_attempts: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    available_at: datetime | None = None
    worker: str | None = None
    lease_until: datetime | None = None
    progress: Progress | None = None
    polling: Polling | None = None
    failure: Failure | None = None
    artifacts: tuple[Artifact, ...] = ()


@attrs.frozen(kw_only=True)
class StageView:
    """One stage of the graph."""

    id: str
    after: tuple[str, ...]
    mapped: bool
    level: int  #: stages between it and the run's input
    state: str  #: as of the instance that tells most; ``waiting`` or ``not reached`` if there is none
    counts: Mapping[str, int]  #: instances by state
    instances: tuple[Instance, ...]  #: none where there are more than ``WIDE``
    tries: tuple[AttemptRecord, ...]  #: attempts that did not end it
    taken_over: bool = False  #: it completed in the run that this one is a rerun of

    @property
    def started_at(self) -> datetime | None:
        """When the first attempt on record began."""
        ended = [one.started_at for one in self.tries]
        moments = [one.started_at for one in self.instances if one.started_at is not None]
        return min([*ended, *moments], default=None)

    @property
    def finished_at(self) -> datetime | None:
        """When the last instance ended; None while one is active."""
        moments = [one.finished_at for one in self.instances]
        return None if None in moments else max((moment for moment in moments if moment is not None), default=None)


@attrs.frozen(kw_only=True)
class RunView:
    """A run and its stages in topological order, at the store's time ``at``."""

    run: Run
    stages: tuple[StageView, ...]
    at: datetime
    reruns: tuple[RunId, ...] = ()  #: the newest of them, the newest first

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.run.status in TERMINAL_RUN_STATUSES


_Row = TypeVar("_Row", Job, StageRecord, AttemptRecord)


@attrs.frozen(kw_only=True)
class _Rows:
    jobs: Mapping[StageId, Sequence[Job]]
    records: Mapping[StageId, Sequence[StageRecord]]
    tries: Mapping[StageId, Sequence[AttemptRecord]]
    tallies: Mapping[StageId, StageTally]


async def read_run(store: RunStore, run_id: RunId) -> RunView:
    """Read a run as it stands. What moves meanwhile may be seen at its old place or its new one.

    Raises:
        NotFoundError: there is no such run.
    """
    run = require_run(await store.run(run_id), run_id)
    graph = await store.graph(run.fingerprint)
    shape: list[dict[str, Any]] = [] if graph is None else json.loads(graph.shape)["stages"]
    state = await store.run_state(run_id)
    rows = await _rows(store, run_id, state, [StageId(stage["id"]) for stage in shape])
    run = require_run(await store.run(run_id), run_id)
    now = await store.now()
    levels: dict[str, int] = {}
    for stage in shape:
        levels[stage["id"]] = 1 + max((levels[above] for above in stage["after"]), default=-1)
    ended = run.status in TERMINAL_RUN_STATUSES
    stages = tuple(_stage(stage, levels[stage["id"]], rows, now, ended=ended) for stage in shape)
    if run.rerun_of is not None:
        stages = tuple(attrs.evolve(stage, taken_over=_is_older(stage, run)) for stage in stages)
    later = await store.runs(RunFilter(rerun_of=run_id), limit=MOST_RERUNS)
    ordered = tuple(sorted(stages, key=lambda stage: stage.level))
    return RunView(run=run, stages=ordered, at=now, reruns=tuple(one.id for one in later))


def _is_older(stage: StageView, run: Run) -> bool:
    return stage.finished_at is not None and stage.finished_at < run.created_at


async def _rows(store: RunStore, run_id: RunId, state: RunState | None, stages: Sequence[StageId]) -> _Rows:
    tallies: Mapping[StageId, StageTally] = {} if state is None else state.stages
    narrow = [stage for stage in stages if tallies.get(stage, StageTally()).width <= WIDE]
    if len(narrow) == len(stages):
        jobs = await store.jobs(run_id)
    else:
        found = [await store.job(JobKey(run_id, stage)) for stage in narrow]
        jobs = [job for job in found if job is not None]
    return _Rows(
        jobs=_by_stage(jobs),
        records=_by_stage(await store.stages(run_id, narrow)),
        tries=_by_stage(await store.attempts(run_id)),
        tallies=tallies,
    )


def _by_stage(rows: Iterable[_Row]) -> Mapping[StageId, Sequence[_Row]]:
    found: dict[StageId, list[_Row]] = defaultdict(list)
    for row in rows:
        found[row.stage].append(row)
    return found


def _stage(shape: Mapping[str, Any], level: int, rows: _Rows, now: datetime, *, ended: bool) -> StageView:
    stage = StageId(shape["id"])
    tally = rows.tallies.get(stage, StageTally())
    instances: tuple[Instance, ...] = ()
    if tally.width > WIDE:
        counts = {name: count for name, count in attrs.asdict(tally).items() if count}
    else:
        instances = tuple(_instances(rows.records.get(stage, ()), rows.jobs.get(stage, ()), now))
        counts = _counted(instances)
    empty = any(row.index == EMPTY_MAP for row in rows.records.get(stage, ()))
    otherwise = "completed" if empty else "not reached" if ended else "waiting"
    state = next((name for name in _TELLING if name in counts), otherwise)
    return StageView(
        id=stage,
        after=tuple(shape["after"]),
        mapped=shape["mapped"],
        level=level,
        state="running" if state == "active" else state,
        counts=counts,
        instances=instances,
        tries=tuple(rows.tries.get(stage, ())),
    )


def _instances(records: Iterable[StageRecord], jobs: Iterable[Job], now: datetime) -> list[Instance]:
    """By index; an instance that ended while we read counts as ended."""
    found = {job.index: _active(job, now) for job in jobs}
    found |= {row.index: _ended(row) for row in records if row.index != EMPTY_MAP}
    return [found[index] for index in sorted(found)]


def _active(job: Job, now: datetime) -> Instance:
    held = job.lease_id is not None
    return Instance(
        index=job.index,
        state=str(activity(job, now)),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        started_at=job.polling.since if job.polling is not None else job.claimed_at if held else None,
        available_at=None if held else job.available_at,
        worker=job.worker if held else None,
        lease_until=job.lease_until if held else None,
        progress=_progress(job.progress) if held else None,
        polling=job.polling,
    )


def _ended(row: StageRecord) -> Instance:
    return Instance(
        index=row.index,
        state=str(row.status),
        attempt=row.attempt,
        started_at=row.started_at,
        finished_at=row.finished_at,
        worker=row.worker,
        failure=row.failure,
        artifacts=row.artifacts,
    )


def _progress(text: str | None) -> Progress | None:
    if text is None:
        return None
    told = json.loads(text)
    return Progress(done=told["done"], total=told["total"], message=told["message"])


def _counted(instances: Iterable[Instance]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for one in instances:
        counts[one.state] += 1
    return {name: counts[name] for name in _TELLING if name in counts}
