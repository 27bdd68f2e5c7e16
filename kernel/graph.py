"""A workflow's graph as its author drew it, its order, its shape and its fingerprint.

Imported by ``kernel.definition`` and ``kernel.graph_checks``. Only ids and edges matter here; types are
checked elsewhere.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from types import GenericAlias
from typing import Any, TypedDict

import attrs

from mainspring.kernel.plan import Plan, StagePlan
from mainspring.kernel.stage import Stage
from mainspring.ports.errors import DefinitionError
from mainspring.ports.names import Fingerprint, StageId, Version, WorkflowId


@attrs.frozen(kw_only=True, eq=False)
class Node:
    """A stage at its place in a graph."""

    stage: Stage[Any, Any]
    after: tuple[StageId, ...] = ()  #: empty: it receives the run's input
    mapped: bool = False
    max_parallel: int | None = None

    @property
    def id(self) -> StageId:
        """The stage's id."""
        return self.stage.id

    @property
    def input_type(self) -> Any:
        """What the node as a whole takes: a list when the stage is mapped."""
        return GenericAlias(list, self.stage.input_type) if self.mapped else self.stage.input_type

    @property
    def output_type(self) -> Any:
        """What the node as a whole gives: a list when the stage is mapped."""
        return GenericAlias(list, self.stage.output_type) if self.mapped else self.stage.output_type


@attrs.frozen(kw_only=True, eq=False)
class Graph:
    """Nodes in the order they were written, and what was said of the whole."""

    workflow: WorkflowId
    version: Version
    queue: str
    priority: int
    timeout: timedelta | None
    nodes: tuple[Node, ...] = ()

    @property
    def place(self) -> str:
        """How messages call the workflow."""
        return f"workflow {self.workflow!r}"

    def tails(self) -> tuple[StageId, ...]:
        """Stages nothing follows (yet), in the order they were written."""
        followed = {upstream for node in self.nodes for upstream in node.after}
        return tuple(node.id for node in self.nodes if node.id not in followed)

    @cached_property
    def by_id(self) -> Mapping[StageId, Node]:
        """The nodes by their ids."""
        return {node.id: node for node in self.nodes}

    def and_(self, nodes: Iterable[Node]) -> "Graph":
        """The graph with these nodes besides."""
        return attrs.evolve(self, nodes=(*self.nodes, *nodes))


def ordered(graph: Graph) -> tuple[Node, ...]:
    """The nodes in topological order; where that leaves a choice, in the order they were written.

    Raises:
        DefinitionError: the edges go round in a circle; names the stages on it.
    """
    nodes = graph.by_id
    sorter = TopologicalSorter({node.id: node.after for node in graph.nodes})
    try:
        sorter.prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        raise DefinitionError(
            f"{graph.place}: the stages go round in a circle: {' -> '.join(map(repr, circle))}; take one of these out "
            "of an `after`"
        ) from None
    written = {name: place for place, name in enumerate(nodes)}
    order: list[Node] = []
    while sorter.is_active():
        for ready in sorted(sorter.get_ready(), key=written.__getitem__):
            order.append(nodes[ready])
            sorter.done(ready)
    return tuple(order)


def shape_of(nodes: Iterable[Node]) -> str:
    """JSON text of stages and edges: enough to draw the graph without the user's code."""
    return _canonical([{"after": list(node.after), "id": node.id, "mapped": node.mapped} for node in nodes])


def fingerprint_of(nodes: Iterable[Node]) -> Fingerprint:
    """A hash of the shape alone: not of code, types or options, nor of the order in which it was written."""
    stages = [
        {"after": sorted(node.after), "id": node.id, "mapped": node.mapped}
        for node in sorted(nodes, key=lambda node: node.id)
    ]
    return Fingerprint(hashlib.sha256(_canonical(stages).encode()).hexdigest()[:16])


def compiled(graph: Graph) -> Plan:
    """The plan of a graph whose ids are known to be right.

    Raises:
        DefinitionError: the edges go round in a circle.
    """
    nodes = ordered(graph)
    downstream: dict[StageId, tuple[StageId, ...]] = {node.id: () for node in nodes}
    for node in nodes:
        for upstream in node.after:
            downstream[upstream] += (node.id,)
    return Plan(
        workflow=graph.workflow,
        version=graph.version,
        fingerprint=fingerprint_of(nodes),
        queue=graph.queue,
        stages={node.id: _stage_plan(node) for node in nodes},
        downstream=downstream,
        outputs=tuple(last for last, followers in downstream.items() if not followers),
        priority=graph.priority,
        timeout=graph.timeout,
        shape=shape_of(nodes),
    )


def joined_type(name: str, outputs: Mapping[StageId, Any]) -> Any:
    """The type of ``{stage id: output}``: a TypedDict with these keys, which need not be identifiers."""
    make: Any = TypedDict  # a checker only knows literal ones
    return make(name, dict(outputs))


def quoted(ids: Collection[str]) -> str:
    """Ids as a list for a message."""
    return ", ".join(map(repr, ids)) or "none"


def _stage_plan(node: Node) -> StagePlan:
    return StagePlan(
        id=node.id,
        after=node.after,
        mapped=node.mapped,
        max_parallel=node.max_parallel,
        retry=node.stage.retry,
        timeout=node.stage.timeout,
    )


def _canonical(stages: list[dict[str, Any]]) -> str:
    return json.dumps({"stages": stages}, sort_keys=True, separators=(",", ":"))
