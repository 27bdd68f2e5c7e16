"""The registry: the definitions this process serves, with what executing them needs looked up once."""

from collections.abc import Iterable
from typing import Any

import attrs

from mainspring.kernel.advance import initial_tallies
from mainspring.kernel.definition import Workflow
from mainspring.kernel.plan import Plan, StagePlan
from mainspring.kernel.stage import Stage
from mainspring.ports.codec import Codec
from mainspring.ports.errors import DefinitionError, NotFoundError
from mainspring.ports.names import Fingerprint, Route, StageId, Version, WorkflowId
from mainspring.ports.records import StageTally


@attrs.frozen(kw_only=True)
class Served:
    """A workflow as this process executes it."""

    definition: Workflow[Any, Any]
    plan: Plan
    #: every stage upstream of each stage
    ancestors: dict[StageId, frozenset[StageId]]
    #: stages whose output a mapped stage takes apart
    taken_apart: frozenset[StageId]
    #: where the stages of a new run stand; None: its input tells, for a mapped first stage
    first_tallies: dict[StageId, StageTally] | None

    def stage(self, stage: StageId) -> tuple[Stage[Any, Any], StagePlan]:
        """The stage and its plan."""
        return self.definition.stage(stage), self.plan.stages[stage]


def served(definition: Workflow[Any, Any]) -> Served:
    """Look up once what every attempt needs."""
    plan = definition.plan
    ancestors: dict[StageId, frozenset[StageId]] = {}
    for stage in plan.stages.values():  # topological order: upstream first
        above = [ancestors[up] | {up} for up in stage.after]
        ancestors[stage.id] = frozenset().union(*above)
    apart = frozenset(
        up for stage in plan.stages.values() if stage.mapped for up in stage.after if not plan.stages[up].mapped
    )
    tallies = None if any(stage.mapped for stage in plan.sources) else initial_tallies(plan)
    return Served(definition=definition, plan=plan, ancestors=ancestors, taken_apart=apart, first_tallies=tallies)


class WorkflowRegistry:
    """Definitions by name, version and shape; checked against the codec when they are registered."""

    def __init__(self, workflows: Iterable[Workflow[Any, Any]], codec: Codec) -> None:
        """Raises ``DefinitionError``: a definition cannot run, or two have one name and version."""
        self._served: dict[tuple[WorkflowId, Version], Served] = {}
        self._newest: dict[WorkflowId, Served] = {}
        for definition in workflows:
            self._register(definition, codec)
        self._routes = tuple(sorted(one.plan.route for one in self._served.values()))

    def workflow(self, workflow: WorkflowId, version: Version | None = None) -> Served:
        """The definition; without a version, the one registered last."""
        found = self._newest.get(workflow) if version is None else self._served.get((workflow, version))
        if found is None:
            asked = workflow if version is None else f"{workflow}@{version}"
            known = ", ".join(f"{name}@{of}" for name, of in self._served) or "none"
            msg = f"unknown workflow {asked!r}; this process knows: {known}. Hand it over as workflows=[…]"
            raise NotFoundError(msg)
        return found

    def by_fingerprint(self, workflow: WorkflowId, version: Version, fingerprint: Fingerprint) -> Served | None:
        """The definition if its shape is this very one, else None."""
        found = self._served.get((workflow, version))
        return found if found is not None and found.plan.fingerprint == fingerprint else None

    def of(self, definition: Workflow[Any, Any]) -> Served:
        """What is registered for this very definition.

        Raises:
            NotFoundError: it is not registered here.
        """
        found = self.workflow(definition.plan.workflow, definition.plan.version)
        if found.plan.fingerprint != definition.plan.fingerprint:
            msg = (
                f"workflow {definition.plan.workflow}@{definition.plan.version} is registered here with another shape; "
                "give the changed graph a new version"
            )
            raise NotFoundError(msg)
        return found

    def routes(self) -> tuple[Route, ...]:
        """The routes this process serves."""
        return self._routes

    def all(self) -> tuple[Served, ...]:
        """Every definition, in order of registration."""
        return tuple(self._served.values())

    def _register(self, definition: Workflow[Any, Any], codec: Codec) -> None:
        definition.check(codec)
        one = served(definition)
        key = (one.plan.workflow, one.plan.version)
        other = self._served.get(key)
        if other is not None and other.definition is not definition:
            msg = f"two workflows are called {key[0]}@{key[1]}; give one another name or version"
            raise DefinitionError(msg)
        self._served[key] = one
        self._newest[one.plan.workflow] = one
