"""The compiled form of a workflow: what decisions need to know of its graph, and nothing of its code.

``kernel.definition`` builds plans from what users write; decisions read them. A plan's shape is stored once per
fingerprint, so that a run can be drawn without the user's code.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property

import attrs

from mainspring.kernel.retry import Retry
from mainspring.ports.names import Fingerprint, Route, StageId, Version, WorkflowId
from mainspring.ports.records import RunState, StageTally

NO_ROWS = StageTally()


@attrs.frozen(kw_only=True)
class StagePlan:
    """One node of the graph."""

    id: StageId
    after: tuple[StageId, ...] = ()  #: upstream stages; empty: it receives the run's input
    mapped: bool = False  #: one instance per element of its only upstream's output (or of the run's input)
    max_parallel: int | None = None  #: bound on a mapped stage's instances at once
    retry: Retry = Retry()
    timeout: timedelta | None = None  #: of one attempt


@attrs.frozen(kw_only=True)
class Plan:
    """A workflow's graph, checked: acyclic, ids unique, in topological order."""

    workflow: WorkflowId
    version: Version
    fingerprint: Fingerprint
    queue: str = "default"
    stages: Mapping[StageId, StagePlan]  #: in topological order
    downstream: Mapping[StageId, tuple[StageId, ...]]
    outputs: tuple[StageId, ...]  #: stages nothing follows; one: its output is the run's, several: ``{id: output}``
    priority: int = 0
    timeout: timedelta | None = None  #: of the whole run
    shape: str  #: JSON text: ``{"stages": [{"id", "after", "mapped"}]}``

    @cached_property
    def route(self) -> Route:
        """What a worker must serve to take jobs of these runs."""
        return route(self.queue, self.workflow, self.version, self.fingerprint)

    @cached_property
    def sources(self) -> tuple[StagePlan, ...]:
        """Stages that begin at once."""
        return tuple(stage for stage in self.stages.values() if not stage.after)

    def is_complete(self, stage: StageId, state: RunState) -> bool:
        """Whether every instance of the stage has completed.

        A mapped stage over an empty list has no rows; it leaves one stage row of index -1 (``completed``) instead.
        """
        tally = state.stages.get(stage, NO_ROWS)
        return tally.completed > 0 and tally.completed == tally.width


def route(queue: str, workflow: WorkflowId, version: Version, fingerprint: Fingerprint) -> Route:
    """The route of a workflow's jobs."""
    return Route(f"{queue}/{workflow}@{version}#{fingerprint}")
