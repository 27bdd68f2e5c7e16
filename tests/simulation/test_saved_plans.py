"""Worlds that once failed, or that broke a mutant: each is run again, and holds. See CONTRIBUTING.md."""

import json
from pathlib import Path

import attrs
import pytest

from mainspring.hosts.simulation.faults import Fault, Kind
from mainspring.hosts.simulation.timeline import report
from mainspring.ports.errors import InvalidValueError
from tests.simulation.campaign import undisturbed
from tests.simulation.case import Case, drawn_case, from_json, save, to_json

PLANS = sorted(Path(__file__).with_name("plans").glob("*.json"))

CASE = attrs.evolve(
    drawn_case(7), faults=(Fault("worker-1", 3, Kind.CRASH, 0.5), Fault("client-1", 1, Kind.DELAY, 2.0))
)


def test_there_are_saved_plans() -> None:
    assert PLANS


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.stem)
def test_a_saved_plan_breaks_nothing_any_more(file: Path) -> None:
    case = from_json(file.read_text(encoding="utf-8"))
    with undisturbed():
        outcome = case.run()
        assert outcome.violations == (), report(case.run(traced=True))


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.stem)
def test_a_saved_plan_says_what_it_broke(file: Path) -> None:
    assert from_json(file.read_text(encoding="utf-8")).violation


def test_a_case_survives_being_saved(tmp_path: Path) -> None:
    file = save(CASE, tmp_path)
    assert from_json(file.read_text(encoding="utf-8")) == CASE


@pytest.mark.parametrize("place", [(), ("workload",), ("workload", "orders", 0), ("faults", 0), ("manners",)])
def test_a_field_that_is_unknown_is_refused_with_its_place(place: tuple[str | int, ...]) -> None:
    told = json.loads(to_json(CASE))
    inner = told
    for step in place:
        inner = inner[step]
    inner["luck"] = 1
    with pytest.raises(InvalidValueError) as refused:
        from_json(json.dumps(told))
    assert "luck" in str(refused.value.problems)


def test_a_seed_says_what_its_case_is() -> None:
    assert drawn_case(7) == drawn_case(7) != drawn_case(8)
    assert isinstance(drawn_case(7), Case)
