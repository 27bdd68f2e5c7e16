"""What only a codec can say about a graph: which types can be encoded at all, and which unrelated types fit each other.

Imported by ``kernel.definition`` only.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from mainspring.kernel.graph import Graph
from mainspring.kernel.graph_checks import Undecided
from mainspring.ports.codec import Codec
from mainspring.ports.errors import DefinitionError


def check(graph: Graph, undecided: Iterable[Undecided], codec: Codec) -> None:
    """Ask the codec about every type of the graph, and about every pair that is undecided.

    Raises:
        DefinitionError: every problem, one per line.
    """
    problems = [*_types_without_schema(graph, codec)]
    problems += [pair.complaint for pair in undecided if not codec.accepts(pair.target, pair.source)]
    if problems:
        raise DefinitionError("\n".join(problems))


def _types_without_schema(graph: Graph, codec: Codec) -> Iterator[str]:
    for node in graph.nodes:
        stage = node.stage
        subjects: list[tuple[str, Any]] = [("input", stage.input_type), ("output", stage.output_type)]
        if stage.config_type is not None:
            subjects.append(("config", stage.config_type))
        if stage.check is not None:
            subjects.append(("state", stage.check.state_type))
        for subject, kind in subjects:
            try:
                codec.schema(kind)
            except DefinitionError as error:
                yield f"{graph.place} stage {node.id!r}: {subject}: {error}"
