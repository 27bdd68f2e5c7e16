"""What must hold of a graph before it may run: ids, edges, bounds and types, each with its place and its cure.

Imported by ``kernel.definition`` only. Whatever is known when a stage is added is checked there and then, so that the
error stands at the line that made the mistake; the rest when the graph is compiled.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

import attrs

from mainspring.kernel.fields import Field, fields_of
from mainspring.kernel.graph import Graph, Node, joined_type, quoted
from mainspring.kernel.type_fit import fits
from mainspring.ports.errors import DefinitionError
from mainspring.ports.names import StageId

MAX_STAGES = 500
MAX_PARALLEL = 1024


@attrs.frozen
class Undecided:
    """A pair of types that only the codec can judge."""

    complaint: str  #: what to say if it refuses
    target: Any
    source: Any


def check_new(graph: Graph, nodes: Collection[Node]) -> tuple[Undecided, ...]:
    """Check nodes of this graph as far as their upstreams are known; the pairs of types that are left to the codec.

    Raises:
        DefinitionError: an id is used twice, a stage follows itself, there are too many stages, ``max_parallel`` is out
            of range, or types do not fit.
    """
    if len(graph.nodes) > MAX_STAGES:
        raise DefinitionError(
            f"{graph.place} has {len(graph.nodes)} stages: at most {MAX_STAGES}; map one stage over a list, or split it"
        )
    uses = Counter(node.id for node in graph.nodes)
    undecided: list[Undecided] = []
    for node in nodes:
        place = f"{graph.place} stage {node.id!r}"
        if uses[node.id] > 1:
            raise DefinitionError(f"{place}: the id is used twice; give the second use its own with stage.named(…)")
        _check_edges(place, node)
        _check_bound(place, node)
        if all(upstream in uses for upstream in node.after):
            undecided += _pairs(graph, place, node)
    if not all(node.after for node in nodes):
        undecided += run_input(graph)[1]
    return tuple(undecided)


def check_whole(graph: Graph) -> tuple[Undecided, ...]:
    """Check everything but circles; the pairs of types that are left to the codec.

    Raises:
        DefinitionError: as ``check_new``, and: no stages, or a stage follows one that does not exist.
    """
    if not graph.nodes:
        raise DefinitionError(f"{graph.place} has no stages: begin with .pipe(…), .parallel(…) or .map(…)")
    for node in graph.nodes:
        if unknown := [upstream for upstream in node.after if upstream not in graph.by_id]:
            others = [other for other in graph.by_id if other != node.id]
            raise DefinitionError(
                f"{graph.place} stage {node.id!r}: `after` names {quoted(unknown)}, no stage of this workflow; "
                f"there are {quoted(others)}"
            )
    return check_new(graph, graph.nodes)


def run_input(graph: Graph) -> tuple[Any, tuple[Undecided, ...]]:
    """The type of the run's input, the narrowest that every first stage takes, and what is undecided about it.

    None's own type if no first stage takes an input.

    Raises:
        DefinitionError: two first stages take types that have nothing in common.
    """
    takers: list[Node] = []  # one for each type: most stages share theirs
    for node in graph.nodes:
        takes = not node.after and (node.stage.takes_input or node.mapped)
        if takes and not any(node.input_type == other.input_type for other in takers):
            takers.append(node)
    if not takers:
        return type(None), ()
    candidates = [node for node in takers if node.input_type is not Any] or takers
    best = min(candidates, key=lambda node: sum(_doubt(taker, node) for taker in takers))
    undecided: list[Undecided] = []
    for taker in takers:
        undecided += _pair(
            f"{graph.place} stage {taker.id!r}: takes {shown(taker.input_type)} but stage {best.id!r} takes "
            f"{shown(best.input_type)}, and both receive the run's input; let them take one type, or put one "
            "after another",
            taker.input_type,
            best.input_type,
        )
    return best.input_type, tuple(undecided)


def shown(kind: Any) -> str:
    """How messages call a type: as it is written, without modules."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " | ".join(map(shown, arguments))
    if isinstance(origin, type) and arguments:
        return f"{origin.__name__}[{', '.join('...' if one is Ellipsis else shown(one) for one in arguments)}]"
    if isinstance(kind, type):
        return "None" if kind is type(None) else kind.__name__
    return str(kind).replace("typing.", "")


def _check_edges(place: str, node: Node) -> None:
    if node.id in node.after:
        raise DefinitionError(f"{place} comes after itself; take it out of its `after`")
    if twice := [upstream for upstream, times in Counter(node.after).items() if times > 1]:
        raise DefinitionError(f"{place}: `after` names {quoted(twice)} twice; once is enough")


def _check_bound(place: str, node: Node) -> None:
    bound: Any = node.max_parallel
    if bound is None:
        return
    if not node.mapped:
        raise DefinitionError(f"{place}: max_parallel bounds a mapped stage's instances; use .map(…), or leave it out")
    if not isinstance(bound, int) or isinstance(bound, bool) or not 1 <= bound <= MAX_PARALLEL:
        raise DefinitionError(f"{place}: max_parallel={bound!r} must be an int from 1 to {MAX_PARALLEL}")


def _doubt(taker: Node, candidate: Node) -> int:
    """0: it takes the candidate's type; 1: perhaps; many: it does not."""
    verdict = fits(taker.input_type, candidate.input_type)
    return {True: 0, None: 1, False: MAX_STAGES}[verdict]


def _pairs(graph: Graph, place: str, node: Node) -> Iterator[Undecided]:
    """The pairs that are undecided between a node and what it follows.

    Raises:
        DefinitionError: a pair that cannot fit.
    """
    gives = {upstream: graph.by_id[upstream].output_type for upstream in node.after}
    if not gives or not (node.stage.takes_input or node.mapped):
        return
    if len(gives) > 1:
        yield from _join(place, node, gives)
        return
    ((upstream, given),) = gives.items()
    if node.mapped:
        subject = f"{place}: is mapped over {shown(node.input_type)} but {upstream!r} gives {shown(given)}"
        cure = "let that return such a list, or use .pipe(…)"
    else:
        subject = f"{place}: takes {shown(node.input_type)} but {upstream!r} gives {shown(given)}"
        cure = "change one of the two, or put a stage between that converts"
    yield from _pair(f"{subject}; {cure}", node.input_type, given)


def _join(place: str, node: Node, gives: Mapping[StageId, Any]) -> Iterator[Undecided]:
    """The pairs of a node that receives ``{stage id: output}``."""
    if node.mapped:
        raise DefinitionError(
            f"{place}: is mapped over the outputs of {quoted(gives)}, which are no list; "
            "put a stage between that makes one of them"
        )
    taken = node.input_type
    fields = fields_of(taken)
    if fields is not None:
        yield from _join_fields(place, shown(taken), fields, gives)
        return
    yield from _pair(
        f"{place}: takes {shown(taken)} but receives a mapping with the outputs of {quoted(gives)}; let it take a "
        "TypedDict, attrs class or dataclass with these fields, or dict[str, Any]",
        taken,
        joined_type("Joined", gives),
    )


def _join_fields(
    place: str, taken: str, fields: Mapping[str, Field], gives: Mapping[StageId, Any]
) -> Iterator[Undecided]:
    if missing := [name for name, field in fields.items() if field.required and name not in gives]:
        raise DefinitionError(
            f"{place}: {taken} requires {quoted(missing)}, but receives the outputs of {quoted(gives)}; "
            "rename the field or the stage (stage.named(…)), or give the field a default"
        )
    if left := [upstream for upstream in gives if upstream not in fields]:
        raise DefinitionError(
            f"{place}: {taken} has no field for the output of {quoted(left)}; add one, or name only the others in "
            "`after`"
        )
    for upstream, given in gives.items():
        kind = fields[upstream].type
        yield from _pair(
            f"{place}: {taken}.{upstream} takes {shown(kind)} but {upstream!r} gives {shown(given)}; "
            "change one of the two",
            kind,
            given,
        )


def _pair(complaint: str, target: Any, source: Any) -> Iterator[Undecided]:
    verdict = fits(target, source)
    if verdict is False:
        raise DefinitionError(complaint)
    if verdict is None:
        yield Undecided(complaint, target, source)
