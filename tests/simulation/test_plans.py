"""Small worlds whose workload and faults Hypothesis draws: it searches where chance does not, and shrinks by itself.

``--hypothesis-profile=long`` draws a hundred times as many.
"""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mainspring.hosts.simulation.faults import SECONDS, Fault, Kind
from mainspring.hosts.simulation.timeline import report
from tests.simulation.campaign import undisturbed
from tests.simulation.case import Case
from tests.simulation.workload import Order, Work, Workload

PARTS = 4
"""Parts of a scenario, each with examples of its own: processes share them."""

EXAMPLES = 5 * settings().max_examples
"""Of each part: 500, unless a profile asks for more."""

POINTS = {"worker": 60, "function": 40, "client": 12}
"""Those a host passes in a small world, unless faults prolong it."""

KINDS = (*Kind, Kind.ERROR, Kind.CRASH, Kind.FREEZE, Kind.FREEZE)
"""Those that break most are drawn most."""

SHORT = st.sampled_from((0.0, 0.05, 1.0, 14.0))
TIMES = st.sampled_from((0, 0, 0, 1))


def fault(hosts: tuple[str, ...]) -> SearchStrategy[Fault]:
    """One fault at one point."""

    def planned(host: str, point: int, kind: Kind, size: int) -> Fault:
        return Fault(host, 1 + point % POINTS[host.partition("-")[0]], kind, SECONDS[kind][size % len(SECONDS[kind])])

    return st.builds(planned, st.sampled_from(hosts), st.integers(0, 59), st.sampled_from(KINDS), st.integers(0, 7))


def orders(workflow: str, **others: SearchStrategy[Any]) -> SearchStrategy[Order]:
    """One order of this workflow; ``others``: what else is drawn of it, or of its work."""
    fields = {field.name for field in attrs.fields(Work)}
    work = {name: strategy for name, strategy in others.items() if name in fields}
    rest = {name: strategy for name, strategy in others.items() if name not in fields}
    naps = st.lists(SHORT, min_size=3, max_size=3)
    fails = st.lists(TIMES, min_size=3, max_size=3)
    return st.builds(Order, workflow=st.just(workflow), work=st.builds(Work, naps=naps, fails=fails, **work), **rest)


WORKERS, MIXED = ("worker", "worker"), ("worker", "function")
AGAIN = st.sampled_from((None, 0.0, 0.01, 0.3, 1.5))

SCENARIOS: dict[str, tuple[SearchStrategy[Order], tuple[str, ...]]] = {
    "a line, with a start that is repeated": (orders("line", repeat=AGAIN), WORKERS),
    "a map with a bound": (orders("fan", width=st.integers(0, 5), timeout=st.sampled_from((None, 8.0))), WORKERS),
    "a fork that is cancelled": (orders("fork", cancel=AGAIN), WORKERS),
    "a worker and a function": (orders("fork", hopeless=st.booleans()), MIXED),
    "large payloads": (orders("fan", large=st.just(True), width=st.integers(1, 3)), WORKERS),
}


def cases(order: SearchStrategy[Order], kinds: tuple[str, ...]) -> SearchStrategy[Case]:
    """Worlds of one order and up to four faults."""
    hosts = (*(f"{kind}-{number}" for number, kind in enumerate(kinds, 1)), "client-1")
    return st.builds(
        Case,
        seed=st.integers(0, 3),
        workload=st.builds(Workload, st.tuples(order), st.just(kinds), st.booleans()),
        faults=st.lists(fault(hosts), max_size=4, unique_by=lambda one: (one.host, one.point)).map(tuple),
    )


def searched(worlds: SearchStrategy[Case], part: int, check: Callable[[Case], None]) -> None:
    """Check so many worlds, the same in every run."""
    search = given(worlds)(check)
    search = settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.differing_executors),
    )(search)
    with undisturbed():
        seed(part)(search)()


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_plan_of_faults_breaks_a_promise(name: str, part: int) -> None:
    def holds(case: Case) -> None:
        outcome = case.run()
        if outcome.violations:
            note(report(case.run(traced=True)))
        assert outcome.violations == ()

    searched(cases(*SCENARIOS[name]), part, holds)
