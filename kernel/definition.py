"""Workflow: a graph of stages, drawn by chaining, typed, and checked while it is drawn.

Imported by the face, hosts and tests. A Workflow is immutable; what decisions need of it is its ``plan``, what
executing needs is its stages and types.

How a type checker follows the chain: ``Workflow[I, O]`` starts with an ``I`` and its last stage gives an ``O``. Nothing
drawn yet is ``Workflow[Start, Start]``, whose first stage sets ``I``; after a parallel group it is ``Workflow[I,
Joined]``, which any stage may follow: types cannot say ``{stage id: output}``, so that is checked when it is added.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, TypeVar, cast, final, overload

from mainspring.kernel import codec_checks, graph_checks
from mainspring.kernel.graph import Graph, Node, compiled, joined_type, quoted
from mainspring.kernel.identifiers import checked_priority, checked_timeout, queue_name, version_text, workflow_id
from mainspring.kernel.plan import Plan
from mainspring.kernel.stage import Stage
from mainspring.ports.codec import Codec
from mainspring.ports.errors import DefinitionError, NotFoundError
from mainspring.ports.names import StageId, Version, WorkflowId

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
I = TypeVar("I")  # noqa: E741  the run's input
A = TypeVar("A")  # what the last stage gives and the next one takes
N = TypeVar("N")  # what the next stage gives

AnyStage = Stage[Any, Any]
After = AnyStage | str | Iterable[AnyStage | str]


@final
class Start:
    """Marks a workflow without stages; there are no values of it."""


class Joined(dict[str, Any]):
    """What several last stages give together: a plain ``{stage id: output}``."""


class Workflow(Generic[I_contra, O_co]):
    """A graph of stages that starts with an ``I`` and ends with an ``O``.

    Immutable: each method that adds a stage returns a new workflow, so that one may be continued in several ways.
    """

    _graph: Graph

    def __init__(
        self: "Workflow[Start, Start]",
        id: str,
        /,
        *,
        version: str,
        queue: str = "default",
        priority: int = 0,
        timeout: timedelta | None = None,
    ) -> None:
        """Begin a workflow.

        A run keeps the ``version`` it started with: change it when stages change their meaning. ``queue`` is what
        workers choose by, ``priority`` is higher first, ``timeout`` bounds the whole run.

        Raises:
            DefinitionError: the id, version or an option is malformed.
        """
        name = workflow_id(id)
        place = f"workflow {name!r}"
        self._graph = Graph(
            workflow=name,
            version=version_text(version, place),
            queue=queue_name(queue, place),
            priority=checked_priority(priority, place),
            timeout=checked_timeout(timeout, place),
        )

    # -- drawing ---------------------------------------------------------------------------------------------------

    # The overload for Joined stands first: Workflow[Any, Any] matches every one, and keeps its input by this.

    @overload
    def pipe(self: "Workflow[I, Joined]", stage: Stage[Any, N]) -> "Workflow[I, N]": ...
    @overload
    def pipe(self: "Workflow[Start, Start]", stage: Stage[A, N]) -> "Workflow[A, N]": ...
    @overload
    def pipe(self: "Workflow[I, A]", stage: Stage[A, N]) -> "Workflow[I, N]": ...
    def pipe(self, stage: AnyStage) -> "Workflow[Any, Any]":
        """Go on with this stage after everything that nothing follows yet.

        After one stage it receives its output; after several, ``{stage id: output}``; as the first, the run's input.

        Raises:
            DefinitionError: the id is used already, or the stage cannot take what it would receive.
        """
        return self._with((Node(stage=_stage(stage), after=self._tails()),))

    @overload
    def parallel(
        self: "Workflow[I, Joined]", first: AnyStage, second: AnyStage, /, *more: AnyStage
    ) -> "Workflow[I, Joined]": ...
    @overload
    def parallel(
        self: "Workflow[Start, Start]", first: Stage[A, Any], second: Stage[A, Any], /, *more: Stage[A, Any]
    ) -> "Workflow[A, Joined]": ...
    @overload
    def parallel(
        self: "Workflow[I, A]", first: Stage[A, Any], second: Stage[A, Any], /, *more: Stage[A, Any]
    ) -> "Workflow[I, Joined]": ...
    def parallel(self, *stages: AnyStage) -> "Workflow[Any, Any]":
        """Go on with these stages side by side; each receives what ``pipe`` would give it.

        What follows receives ``{stage id: output}``: as a TypedDict, attrs class or dataclass with these fields, or as
        a mapping.

        Raises:
            DefinitionError: fewer than two stages, an id is used already, or a stage cannot take what it would receive.
        """
        if len(stages) < 2:
            raise DefinitionError(f"{self._graph.place}: parallel(…) takes two stages or more; one is .pipe(stage)")
        after = self._tails()
        return self._with(Node(stage=_stage(stage), after=after) for stage in stages)

    @overload
    def map(
        self: "Workflow[I, list[A] | tuple[A, ...]]", stage: Stage[A, N], *, max_parallel: int | None = None
    ) -> "Workflow[I, list[N]]": ...
    @overload
    def map(
        self: "Workflow[Start, Start]", stage: Stage[A, N], *, max_parallel: int | None = None
    ) -> "Workflow[list[A], list[N]]": ...
    def map(self, stage: AnyStage, *, max_parallel: int | None = None) -> "Workflow[Any, Any]":
        """Go on with one instance of this stage per element of the list before it (as the first: of the run's input).

        At most ``max_parallel`` instances of a run are under way at once; None: as many as there are workers for. What
        follows receives the list of outputs, in the order of the elements.

        Raises:
            DefinitionError: what comes before gives no list, or as ``pipe``.
        """
        return self._with((Node(stage=_stage(stage), after=self._tails(), mapped=True, max_parallel=max_parallel),))

    @overload
    def add(
        self: "Workflow[I, Joined]",
        stage: AnyStage,
        *,
        after: After = ...,
        mapped: bool = ...,
        max_parallel: int | None = ...,
    ) -> "Workflow[I, Any]": ...
    @overload
    def add(self: "Workflow[Start, Start]", stage: Stage[A, N]) -> "Workflow[A, N]": ...
    @overload
    def add(
        self: "Workflow[Start, Start]",
        stage: AnyStage,
        *,
        after: After = ...,
        mapped: bool = ...,
        max_parallel: int | None = ...,
    ) -> "Workflow[Any, Any]": ...
    @overload
    def add(
        self: "Workflow[I, Any]",
        stage: AnyStage,
        *,
        after: After = ...,
        mapped: bool = ...,
        max_parallel: int | None = ...,
    ) -> "Workflow[I, Any]": ...
    def add(
        self, stage: AnyStage, *, after: After = (), mapped: bool = False, max_parallel: int | None = None
    ) -> "Workflow[Any, Any]":
        """Add a stage after others, named by object or id (also ids that are added later); after none: as a first one.

        ``pipe``, ``parallel`` and ``map`` are sugar over this. A first stage receives the run's input.

        Raises:
            DefinitionError: as ``pipe``; what a stage added later makes wrong is told by ``plan``.
        """
        upstream = (after,) if isinstance(after, Stage | str) else tuple(after)
        names = tuple(StageId(one if isinstance(one, str) else _stage(one).id) for one in upstream)
        return self._with((Node(stage=_stage(stage), after=names, mapped=mapped, max_parallel=max_parallel),))

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def workflow_id(self) -> WorkflowId:
        """The workflow's id."""
        return self._graph.workflow

    @property
    def version(self) -> Version:
        """The version new runs start with."""
        return self._graph.version

    @property
    def queue(self) -> str:
        """What workers choose by."""
        return self._graph.queue

    @cached_property
    def plan(self) -> Plan:
        """The graph in topological order, checked whole.

        Raises:
            DefinitionError: the graph cannot run.
        """
        graph_checks.check_whole(self._graph)
        return compiled(self._graph)

    @cached_property
    def stages(self) -> Mapping[StageId, AnyStage]:
        """The stages by id, in the order they were written."""
        return {node.id: node.stage for node in self._graph.nodes}

    def stage(self, id: str) -> AnyStage:
        """A stage by its id.

        Raises:
            NotFoundError: there is none; names those there are.
        """
        found = self.stages.get(StageId(id))
        if found is None:
            raise NotFoundError(f"{self._graph.place} has no stage {id!r}; it has {quoted(self.stages)}")
        return found

    @cached_property
    def input_type(self) -> Any:
        """The type of the run's input; None's own type if no first stage takes one."""
        return graph_checks.run_input(self._graph)[0]

    @cached_property
    def output_type(self) -> Any:
        """The type of the run's output: the last stage's, or a TypedDict ``{stage id: output}`` of several."""
        gives = {node.id: node.output_type for node in self._graph.nodes}
        outputs = {last: gives[last] for last in self.plan.outputs}
        return next(iter(outputs.values())) if len(outputs) == 1 else joined_type("Joined", outputs)

    @cached_property
    def config_types(self) -> Mapping[StageId, Any]:
        """The config types of the stages that take one, by stage id."""
        return {name: stage.config_type for name, stage in self.stages.items() if stage.config_type is not None}

    def check(self, codec: Codec) -> None:
        """Check what only a codec can judge: that every type can be encoded, and pairs of types that are no relatives.

        Raises:
            DefinitionError: the graph cannot run; every problem, one per line.
        """
        undecided = graph_checks.check_whole(self._graph)
        compiled(self._graph)  # no circles
        codec_checks.check(self._graph, undecided, codec)

    def __repr__(self) -> str:
        return f"<Workflow {self.workflow_id}@{self.version}: {', '.join(self.stages) or 'no stages'}>"

    def _tails(self) -> tuple[StageId, ...]:
        tails = self._graph.tails()
        if self._graph.nodes and not tails:
            raise DefinitionError(f"{self._graph.place}: every stage is followed by another: the stages go in a circle")
        return tails

    def _with(self, nodes: Iterable[Node]) -> "Workflow[Any, Any]":
        added = tuple(nodes)
        grown: Workflow[Any, Any] = cast("Any", object.__new__(Workflow))
        grown._graph = self._graph.and_(added)
        graph_checks.check_new(grown._graph, added)
        return grown


def _stage(stage: AnyStage) -> AnyStage:
    if not isinstance(stage, Stage):  # pyright: ignore[reportUnnecessaryIsInstance]  users without a checker
        raise DefinitionError(f"{stage!r} is no stage: decorate the function with @stage")
    return stage
