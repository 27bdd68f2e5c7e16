"""What a rerun takes over from a run that has ended, and what begins anew. Rules of the graph only.

Anew: the chosen stage, whatever follows it, and whatever did not complete. All else is taken over as it is on record,
its outputs by reference, so a stage beside the chosen one that completed is not made again.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs

from mainspring.kernel.advance import EMPTY_MAP
from mainspring.kernel.plan import Plan, StagePlan
from mainspring.ports.errors import NotFoundError, UnfinishedError
from mainspring.ports.names import StageId
from mainspring.ports.records import Graph, Run, StageRecord, StageStatus


@attrs.frozen(kw_only=True)
class Rerun:
    """How a run is begun anew."""

    begins: StageId  #: the chosen stage
    taken: tuple[StageRecord, ...]  #: of the old run
    opened: tuple[StagePlan, ...]  #: stages that begin at once
    #: of those, the mapped ones whose elements are to be told: what they are mapped over is no map itself
    apart: tuple[StagePlan, ...]
    nothing: frozenset[StageId]  #: mapped stages among what is taken over that had nothing to map


def rerun(
    plan: Plan, run: Run, records: Sequence[StageRecord], graph: Graph | None, from_stage: StageId | None
) -> Rerun:
    """What becomes of a run that has ended; ``graph``: its shape, which need not be the plan's.

    Raises:
        NotFoundError: the workflow has no such stage.
        UnfinishedError: a stage before the chosen one never completed; or none is chosen, and all completed.
    """
    complete = _complete(plan, records, graph)
    begins = _chosen(plan, run, complete, from_stage)
    missing = sorted(_before(plan, begins) - complete)
    if missing:
        raise UnfinishedError(
            f"run {run.id} cannot be rerun from stage {begins!r}: before it {_listed(missing)} never completed; leave "
            "the stage out to begin with the first that did not complete"
        )
    anew: set[StageId] = set()
    for stage in plan.stages.values():  # in topological order: what is above is decided
        if stage.id == begins or stage.id not in complete or anew.intersection(stage.after):
            anew.add(stage.id)
    taken = tuple(row for row in records if row.stage in plan.stages and row.stage not in anew)
    opened = tuple(one for one in plan.stages.values() if one.id in anew and not anew.intersection(one.after))
    return Rerun(
        begins=begins,
        taken=taken,
        opened=opened,
        apart=tuple(one for one in opened if one.mapped and not any(plan.stages[up].mapped for up in one.after)),
        nothing=frozenset(row.stage for row in taken if row.index == EMPTY_MAP),
    )


def _complete(plan: Plan, records: Sequence[StageRecord], graph: Graph | None) -> set[StageId]:
    """Stages of the plan all of whose instances completed; the run has ended, so none is under way."""
    rows: dict[StageId, list[StageStatus]] = {}
    for record in records:
        rows.setdefault(record.stage, []).append(record.status)
    mapped = _mapped(graph)
    return {
        stage.id
        for stage in plan.stages.values()
        if set(rows.get(stage.id, ())) == {StageStatus.COMPLETED} and mapped.get(stage.id, stage.mapped) == stage.mapped
    }


def _mapped(graph: Graph | None) -> Mapping[StageId, bool]:
    stages: list[Mapping[str, Any]] = [] if graph is None else json.loads(graph.shape)["stages"]
    return {StageId(stage["id"]): stage["mapped"] for stage in stages}


def _chosen(plan: Plan, run: Run, complete: Collection[StageId], from_stage: StageId | None) -> StageId:
    if from_stage is not None and from_stage not in plan.stages:
        raise NotFoundError(f"workflow {plan.workflow!r} has no stage {from_stage!r}; it has {_listed(plan.stages)}")
    if from_stage is not None:
        return from_stage
    first = next((stage for stage in plan.stages if stage not in complete), None)
    if first is None:
        raise UnfinishedError(
            f"every stage of run {run.id} completed; name the one to begin with: {_listed(plan.stages)}"
        )
    return first


def _before(plan: Plan, stage: StageId) -> set[StageId]:
    found: set[StageId] = set()
    waiting = list(plan.stages[stage].after)
    while waiting:
        above = waiting.pop()
        if above not in found:
            found.add(above)
            waiting += plan.stages[above].after
    return found


def _listed(names: Collection[StageId]) -> str:
    return ", ".join(map(repr, names))
