"""The suite's share of the campaign: the same 20,000 worlds every time, none of which breaks a promise."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring.hosts.simulation.faults import Fault, Kind
from mainspring.hosts.simulation.messages import Manners
from mainspring.hosts.simulation.trial import Outcome
from tests.simulation.campaign import campaign, explain, totals_of, undisturbed
from tests.simulation.case import MIXED, Case, from_json, run
from tests.simulation.mutants import mark_before_publish
from tests.simulation.totals import MUST, SOMETIMES, Totals, seen
from tests.simulation.workload import Order, Work, Workload

CHUNK = 1_000
CHUNKS = 20

RARE = {
    "crash around an effect outside",
    "crash around an upload",
    "crash between publishing and noting it",
    "crash around the sending of hints",
    "freeze around an upload",
    "heartbeat failed",
    "confirmation of a publication lost",
    "stale token refused outside",
    "stage timed out",
    "signal came too late",
}
"""What a chunk may be too small to see."""


@pytest.fixture
def quiet() -> Iterator[None]:
    with undisturbed():
        yield


@pytest.mark.fault(1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14)
@pytest.mark.fault(17, 24, 29, 30, 31, 32)
@pytest.mark.fault(33, 34, 35, 38)
@pytest.mark.fault(89, 95)
@pytest.mark.promise(1, 2, 3, 4, 7, 13)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_world_of_a_thousand_breaks_a_promise(chunk: int, quiet: None, tmp_path: Path) -> None:
    totals = totals_of(range(chunk * CHUNK, (chunk + 1) * CHUNK), MIXED)
    assert not totals.failed, explain(totals.failed[0], MIXED, tmp_path)
    assert totals.schedules == CHUNK
    assert totals.never(name for name in MUST if name not in RARE) == []


def done(case: Case) -> tuple[Outcome, Totals]:
    """A world that holds, and what was seen of it."""
    trial = case.trial()
    outcome = run(trial, chaos=case.chaos)
    assert outcome.violations == ()
    totals = Totals()
    totals.add(outcome, trial, case.store)
    return outcome, totals


QUICK = Work([0.05] * 3, [0] * 3)


@pytest.mark.fault(34)
@pytest.mark.parametrize("seed", range(20))
def test_hints_that_overtake_each_other_lead_to_the_same_end(seed: int, quiet: None) -> None:
    work = Work([2.0] * 3, [0] * 3, width=5)
    orders = tuple(Order(workflow, work) for workflow in ("line", "fork", "fan"))
    _, told = done(Case(seed=seed, workload=Workload(orders), manners=Manners(doubled=0.5, late=0.5)))
    assert told.counts["hint late"] > 0
    assert told.counts["run completed"] == 3
    assert told.counts["effect repeated"] == 0


@pytest.mark.fault(40)
@pytest.mark.parametrize("seed", range(5))
def test_a_message_that_is_visible_again_during_the_body_runs_nothing_twice(seed: int, quiet: None) -> None:
    order = Order("line", Work([18.0, 0.0, 0.0], [0] * 3))
    _, told = done(Case(seed=seed, workload=Workload((order,), ("function", "function"))))
    assert told.counts["hint delivered again"] > 0
    assert told.counts["effect repeated"] == 0
    assert told.counts["run completed"] == 1


@pytest.mark.fault(38)
@pytest.mark.parametrize("kind", [Kind.ERROR, Kind.CRASH])
def test_a_publication_whose_confirmation_is_lost_is_repeated_and_nothing_is_missing(kind: Kind, quiet: None) -> None:
    again = 0
    for point in range(1, 60):
        plan = (Fault("worker-1", point, kind, 0.5),)
        case = Case(seed=1, workload=Workload((Order("line", QUICK),), ("worker",)), faults=plan)
        outcome, told = done(case)
        if outcome.counts.get(f"{kind} at publish:after"):
            again += 1
            assert told.counts["event published again"] > 0
    assert again > 0


def test_a_campaign_of_processes_does_what_one_process_does(quiet: None) -> None:
    spread, alone = campaign(first=3, jobs=2, schedules=120), totals_of(range(3, 123), "memory")
    assert (spread.schedules, spread.steps, spread.checks) == (120, alone.steps, alone.checks)
    assert spread.counts == alone.counts


def test_a_world_that_fails_is_shrunk_told_and_kept(quiet: None, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mark_before_publish(patch)
        totals = totals_of(range(100), "memory")
        (seed,) = totals.failed
        told = explain(seed, "memory", tmp_path)
        (file,) = tmp_path.iterdir()
        kept = from_json(file.read_text(encoding="utf-8"))
        assert kept.violation in kept.run().violations
    assert (kept.faults, len(kept.workload.orders)) == ((), 1)
    assert f"kept as {file}" in told
    assert f"--seed {seed} --store memory" in told
    assert "timeline:" in told
    assert kept.run().violations == ()


def test_what_must_come_to_pass_is_told_when_it_did_not() -> None:
    assert Totals().never() == list(MUST)
    assert set(MUST) <= set(SOMETIMES)
    assert set(MUST) >= RARE


def test_the_books_tell_of_maps_and_ends(quiet: None) -> None:
    case = Case(seed=1, workload=Workload((Order("fan", QUICK), Order("line", QUICK)), ("worker", "function")))
    trial = case.trial()
    trial.run()
    assert seen(trial) == {
        "run completed": 2,
        "stage mapped": 2,
        "map of nothing": 0,
        "worker and function together": 1,
    }
