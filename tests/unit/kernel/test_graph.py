"""Graphs: order, shape and fingerprint, for any graph."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.definition import Workflow
from mainspring.kernel.retry import Retry
from tests.unit.kernel.bodies import announce, anything, extract, split, taking_and_giving

Edges = dict[str, list[str]]


@st.composite
def acyclic_edges(draw: st.DrawFn) -> Edges:
    """Stage ids, each with the ones before it, in random order of both."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 12)))]
    edges = {
        name: draw(st.permutations(draw(st.lists(st.sampled_from(names[:place]), unique=True)))) if place else []
        for place, name in enumerate(names)
    }
    return {name: edges[name] for name in draw(st.permutations(names))}


def drawn(edges: Edges) -> Workflow[Any, Any]:
    workflow: Workflow[Any, Any] = Workflow("drawn", version="1")
    for name, after in edges.items():
        workflow = workflow.add(anything.named(name), after=after)
    return workflow


@given(acyclic_edges())
def test_stages_come_after_all_their_upstreams(edges: Edges) -> None:
    order: list[str] = list(drawn(edges).plan.stages)
    assert sorted(order) == sorted(edges)
    assert all(order.index(upstream) < order.index(name) for name, after in edges.items() for upstream in after)


@given(acyclic_edges())
def test_downstream_is_after_turned_round(edges: Edges) -> None:
    plan = drawn(edges).plan
    assert {(up, down) for down, after in edges.items() for up in after} == {
        (up, down) for up, followers in plan.downstream.items() for down in followers
    }
    assert set(plan.downstream) == set(edges)


@given(acyclic_edges())
def test_outputs_are_the_stages_nothing_follows(edges: Edges) -> None:
    followed = {upstream for after in edges.values() for upstream in after}
    assert set(drawn(edges).plan.outputs) == set(edges) - followed


@given(acyclic_edges())
def test_the_shape_tells_the_whole_graph(edges: Edges) -> None:
    plan = drawn(edges).plan
    stages = json.loads(plan.shape)["stages"]
    assert [stage["id"] for stage in stages] == list(plan.stages)
    assert {stage["id"]: stage["after"] for stage in stages} == edges


@given(acyclic_edges(), st.randoms())
def test_the_order_of_writing_does_not_change_the_fingerprint(edges: Edges, random: Any) -> None:
    names = list(edges)
    random.shuffle(names)
    again = {name: random.sample(edges[name], len(edges[name])) for name in names}
    assert drawn(again).plan.fingerprint == drawn(edges).plan.fingerprint


@given(acyclic_edges(), acyclic_edges())
def test_graphs_of_different_shape_have_different_fingerprints(one: Edges, other: Edges) -> None:
    alike = {name: set(after) for name, after in one.items()} == {name: set(after) for name, after in other.items()}
    assert (drawn(one).plan.fingerprint == drawn(other).plan.fingerprint) is alike


def test_siblings_keep_the_order_they_were_written_in() -> None:
    late, early = announce.named("z"), announce.named("a")
    assert list(Workflow("x", version="1").parallel(late, early).plan.stages) == ["z", "a"]


def test_a_fingerprint_is_16_hexadecimal_digits_and_stays_the_same_from_release_to_release() -> None:
    assert Workflow("x", version="1").pipe(split).map(extract_text).plan.fingerprint == "678039b32911ce4c"


@pytest.mark.fault(82)
@pytest.mark.promise(12)
def test_a_fingerprint_changes_with_an_id_an_edge_or_a_map() -> None:
    begun = Workflow("x", version="1").pipe(split)
    others = [
        begun.map(extract_text),
        begun.map(extract_text.named("other")),
        begun.add(extract_text, after=split),
        begun.add(announce),
        begun.add(announce, after=split),
    ]
    assert len({workflow.plan.fingerprint for workflow in others}) == len(others)


def test_a_fingerprint_does_not_change_with_code_types_options_or_version() -> None:
    busy = taking_and_giving("extract", str, str).with_options(retry=Retry(max_attempts=9), timeout=timedelta(hours=1))
    one = Workflow("x", version="1").pipe(extract)
    other = Workflow("y", version="2", queue="other", priority=3).pipe(busy)
    assert one.plan.fingerprint == other.plan.fingerprint


extract_text = taking_and_giving("count", Any, int)
