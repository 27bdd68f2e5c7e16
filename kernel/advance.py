"""What follows when stages end: the next job rows, and whether the run is complete. Rules of the graph only."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from mainspring.kernel.plan import NO_ROWS, Plan, StagePlan
from mainspring.ports.evolving import evolved
from mainspring.ports.names import Payload, RunId, StageId
from mainspring.ports.records import (
    Job,
    JobPhase,
    RunState,
    StageRecord,
    StageStatus,
    StageTally,
)

EMPTY_MAP = -1
"""Index of the one stage row that a mapped stage over an empty list leaves."""


@attrs.frozen(slots=False)
class Advance:
    """The job rows that become due, the stages that completed without any, and the state with both counted in."""

    jobs: tuple[Job, ...]
    empty: tuple[StageRecord, ...]
    state: RunState


def initial_state(state: RunState, plan: Plan, at: datetime, elements: Sequence[Payload] | None) -> Advance:
    """The jobs of a new run; ``elements`` is the run's input taken apart, where a first stage is mapped."""
    walk = _Walk(plan, state, at)
    for stage in plan.sources:
        walk.open(stage, elements)
    return walk.result()


def resumed_state(
    state: RunState,
    plan: Plan,
    at: datetime,
    opened: Mapping[StageId, Sequence[Payload] | None],
    *,
    nothing: frozenset[StageId],
) -> Advance:
    """The jobs of a run that takes over what stands in ``state``.

    ``opened``: the stages that begin, with what they are mapped over, taken apart; ``nothing``: mapped stages among
    what is taken over that had nothing to map.
    """
    walk = _Walk(plan, state, at, nothing)
    for stage, elements in opened.items():
        walk.open(plan.stages[stage], elements)
    return walk.result()


def initial_tallies(plan: Plan) -> dict[StageId, StageTally]:
    """Where the stages of a new run stand, as ``initial_state`` has it; for plans whose first stages are not mapped."""
    return {stage.id: StageTally(active=1) for stage in plan.sources}


def after_completion(
    state: RunState, plan: Plan, stage: StageId, at: datetime, elements: Sequence[Payload] | None
) -> Advance:
    """The jobs that become due because ``stage`` is complete in ``state``; ``elements``: its output taken apart."""
    if not plan.downstream[stage]:
        return Advance((), (), state)
    walk = _Walk(plan, state, at)
    walk.open_after(stage, elements)
    return walk.result()


def with_tally(state: RunState, stage: StageId, **changes: int) -> RunState:
    """The state with differences added to one stage's tally: ``with_tally(s, stage, active=-1, completed=1)``."""
    tally = state.stages.get(stage, NO_ROWS)
    changed = evolved(tally, **{name: getattr(tally, name) + n for name, n in changes.items()})
    return RunState(run=state.run, stages={**state.stages, stage: changed})


class _Walk:
    """One walk down the graph from completed stages; an empty map completes on the way."""

    def __init__(self, plan: Plan, state: RunState, at: datetime, nothing: frozenset[StageId] = frozenset()) -> None:
        self._plan = plan
        self._run = state.run
        self._at = at
        self._stages: dict[StageId, StageTally] = dict(state.stages)
        self._jobs: list[Job] = []
        self._empty: list[StageRecord] = []
        self._nothing = set(nothing)  #: mapped stages that have nothing to map

    def open_after(self, stage: StageId, elements: Sequence[Payload] | None) -> None:
        for below in self._plan.downstream[stage]:
            if below in self._stages:
                continue  # opened on the way: it also follows a map over nothing
            follower = self._plan.stages[below]
            if len(follower.after) == 1 or all(map(self._is_complete, follower.after)):
                self.open(follower, elements)

    def open(self, stage: StagePlan, elements: Sequence[Payload] | None) -> None:
        if not stage.mapped:
            self._add(stage, [None])
        elif stage.after and self._plan.stages[stage.after[0]].mapped:
            # instance i of a map over a map reads the output of instance i in its own attempt
            self._add_mapped(stage, [None] * self._width(stage.after[0]))
        elif elements is None:
            msg = f"stage {stage.id!r} is mapped, but what it is mapped over was not taken apart"
            raise AssertionError(msg)
        else:
            self._add_mapped(stage, elements)

    def result(self) -> Advance:
        return Advance(tuple(self._jobs), tuple(self._empty), RunState(run=self._run, stages=self._stages))

    def _is_complete(self, stage: StageId) -> bool:
        tally = self._stages.get(stage, NO_ROWS)
        return tally.completed > 0 and tally.completed == tally.width

    def _width(self, stage: StageId) -> int:
        return 0 if stage in self._nothing else self._stages[stage].width

    def _add_mapped(self, stage: StagePlan, inputs: Sequence[Payload | None]) -> None:
        if inputs:
            self._add(stage, inputs)
            return
        record = empty_map(self._run.id, stage.id, self._at)
        self._empty.append(record)
        self._nothing.add(stage.id)
        self._stages[stage.id] = StageTally(completed=1)
        self.open_after(stage.id, ())

    def _add(self, stage: StagePlan, inputs: Sequence[Payload | None]) -> None:
        run = self._run
        at = self._at if run.start_at is None else max(self._at, run.start_at)
        ready = len(inputs) if stage.max_parallel is None else min(stage.max_parallel, len(inputs))
        for index, element in enumerate(inputs):
            self._jobs.append(
                Job(
                    run_id=run.id,
                    stage=stage.id,
                    index=index,
                    route=self._plan.route,
                    phase=JobPhase.READY if index < ready else JobPhase.PARKED,
                    priority=run.priority,
                    available_at=at,
                    not_before=run.start_at,  # though it be past: the store's clock may be set back
                    max_attempts=stage.retry.max_attempts,
                    input=element,
                )
            )
        self._stages[stage.id] = StageTally(active=ready, parked=len(inputs) - ready)


def empty_map(run_id: RunId, stage: StageId, at: datetime) -> StageRecord:
    """The stage row that a mapped stage over an empty list leaves."""
    return StageRecord(
        run_id=run_id,
        stage=stage,
        index=EMPTY_MAP,
        status=StageStatus.COMPLETED,
        attempt=0,
        worker=None,
        started_at=None,
        finished_at=at,
        output=None,
        failure=None,
    )


def group(records: Sequence[StageRecord]) -> Mapping[StageId, tuple[StageRecord, ...]]:
    """Stage rows by stage, instances in order, the empty map's row left out."""
    found: dict[StageId, list[StageRecord]] = {}
    for record in records:
        rows = found.setdefault(record.stage, [])
        if record.index != EMPTY_MAP:
            rows.append(record)
    return {stage: tuple(sorted(rows, key=lambda row: row.index)) for stage, rows in found.items()}
