"""The audit's own arithmetic: what it says of a broken promise, and which rows it judges."""

import ast
import inspect
from string import Formatter

import pytest

from mainspring.hosts.simulation import audit, books, judges
from mainspring.hosts.simulation.books import Books, net_of
from mainspring.hosts.simulation.faults import Plan
from mainspring.hosts.simulation.world import World
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import JobKey


def test_a_broken_promise_is_told_in_full_and_one_that_holds_is_only_counted() -> None:
    world = World(0, Plan())
    kept = Books(world, {})
    key = JobKey(RunId("r"), StageId("s"), 2)

    kept.expect(1, "{} never {!r}", key, "{told}")
    assert world.violations == []
    kept.expect([], "{} had {!r}, after {:.1f} s", key, "{braces}", 1.25)
    kept.expect(None, "plain {words}")

    assert world.violations == ["stage s[2] of run r had '{braces}', after 1.2 s", "plain {words}"]
    assert kept.checks == 3


@pytest.mark.parametrize("module", [audit, books, judges])
def test_every_expectation_has_as_many_places_as_parts(module: object) -> None:
    for call in ast.walk(ast.parse(inspect.getsource(module))):  # type: ignore[arg-type]
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "expect":
            what, *parts = call.args[1:]
            assert isinstance(what, ast.Constant), ast.unparse(call)
            places = [name for _, name, _, _ in Formatter().parse(str(what.value)) if name is not None]
            assert len(places) == len(parts), ast.unparse(call)


def test_a_row_that_was_written_twice_is_judged_once_and_of_other_tables_none() -> None:
    writes = [
        ("jobs", 1, None, "made"),
        ("counters", 1, None, 7),
        ("runs", 1, "old", "new"),
        ("jobs", 1, "made", "moved"),
        ("jobs", 1, "moved", None),
    ]

    assert list(net_of(writes, {"jobs", "runs"})) == [("jobs", 1, None, None), ("runs", 1, "old", "new")]
    assert list(net_of(writes, {"runs"})) == [("runs", 1, "old", "new")]
    assert list(net_of(writes, ())) == []
