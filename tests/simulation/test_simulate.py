"""``simulate``: a user's workflow in worlds that go wrong; what is found, how it is told, and what is left behind."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mainspring import Context, Retry, Workflow, stage, workflow
from mainspring.errors import InvalidValueError
from mainspring.hosts.simulation.case import crashes
from mainspring.hosts.simulation.faults import Kind
from mainspring.testing import (
    SimulatedRun,
    SimulationError,
    SimulationFailedError,
    TestEngine,
    effect,
    outside,
    simulate,
)
from tests.simulation.shop import Bank, careless, charged_once, checkout, fresh_bank, paying


@workflow(version="1")
async def echo(ctx: Context, number: int) -> int:
    return number


def broken(how: Callable[[], object]) -> SimulationFailedError:
    with pytest.raises(SimulationFailedError) as found:
        how()
    return found.value


# What it finds.


@pytest.mark.parametrize("where", ["by chance", "everywhere"])
def test_a_charge_without_a_key_is_found_and_told_with_at_most_two_faults(where: Any) -> None:
    error = broken(lambda: simulate(careless, 420, fakes=fresh_bank, invariant=charged_once, crashes=where))
    assert 1 <= len(error.faults) <= 2
    assert "charged_once: charged 2 times" in str(error)
    assert "charged 2 times" in str(error.__cause__)


@pytest.mark.parametrize("where", ["by chance", "everywhere"])
def test_a_charge_with_a_key_is_right_in_every_world(where: Any) -> None:
    report = simulate(checkout, 420, fakes=fresh_bank, invariant=charged_once, crashes=where)
    assert report.worlds > 50
    assert report.crashes > 50
    assert report.runs["completed"] > 50


def test_a_crash_everywhere_is_one_crash_in_each_world_and_one_world_for_each_point() -> None:
    met: list[int] = []
    report = simulate(echo, 1, crashes="everywhere", invariant=lambda run: met.append(len(run.attempts)))
    assert report.crashes == report.worlds - 1
    assert report.faults.total() == report.crashes
    assert {0, 1} <= set(met)


@pytest.mark.parametrize("workflow_found", [careless, paying])
def test_the_text_tells_what_broke_what_it_takes_and_what_happened(workflow_found: Workflow[int, str]) -> None:
    def once(run: SimulatedRun[str, Bank]) -> bool:
        return len(run.fakes.charges) <= 1 and len(run.effects) <= 1

    error = broken(lambda: simulate(workflow_found, 420, fakes=fresh_bank, invariant=once, crashes="everywhere"))
    text = str(error)
    assert "once returned False" in text
    assert 'crashed after "charge" was done, before it heard of that' in text
    assert "log in reserve: reserving  cents=420" in text
    assert text.count("outside: charge") == 2
    assert "the run is completed" in text
    assert error.plan in text


def test_the_printed_plan_replays_the_failure() -> None:
    error = broken(lambda: simulate(careless, 420, fakes=fresh_bank, invariant=charged_once))
    again = broken(lambda: simulate(careless, 420, fakes=fresh_bank, invariant=charged_once, plan=error.plan))
    assert (again.plan, again.violations, again.faults) == (error.plan, error.violations, error.faults)
    assert simulate(checkout, 420, fakes=fresh_bank, invariant=charged_once, plan=error.plan).worlds == 1


def test_a_plan_that_nobody_printed_is_refused() -> None:
    with pytest.raises(ValueError, match="not a plan that simulate"):
        simulate(echo, 1, plan='{"seed": 1}')


def test_the_same_seeds_give_the_same_report() -> None:
    one, two = (simulate(checkout, 420, fakes=fresh_bank, invariant=charged_once, seeds=range(7, 30)) for _ in "ab")
    assert one == two
    assert one.steps == two.steps > 0
    assert str(one) == str(two)


def test_what_breaks_without_any_fault_is_told_so() -> None:
    error = broken(lambda: simulate(echo, 1, invariant=lambda run: run.output == 2, seeds=3))
    assert "nothing: it breaks even where all goes well" in str(error)
    assert error.faults == ()


def test_an_invariant_that_stumbles_is_told_with_its_error_and_line() -> None:
    def stumbles(run: SimulatedRun[int, None]) -> None:
        assert run.record.tags[7]

    error = broken(lambda: simulate(echo, 1, invariant=stumbles, seeds=1))
    assert "stumbles: IndexError" in str(error)
    assert "(test_simulate.py:" in str(error)
    assert isinstance(error.__cause__, IndexError)


def test_an_invariant_that_would_have_to_be_awaited_is_refused() -> None:
    async def later(run: SimulatedRun[int, None]) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="later is a coroutine function"):
        simulate(echo, 1, invariant=later, seeds=1)


def test_a_run_that_never_ends_breaks_a_promise_and_says_what_it_waits_for() -> None:
    @workflow(version="1")
    async def forever(ctx: Context, number: int) -> int:
        while True:
            await asyncio.sleep(1000)
            number += 1

    error = broken(lambda: simulate(forever, 1, seeds=1, patience=timedelta(minutes=2)))
    assert "is still running: forever[0]" in str(error)
    assert "patience= gives it longer" in str(error)


def test_a_long_back_off_is_waited_for_with_patience() -> None:
    @stage(retry=Retry(max_attempts=3, initial=timedelta(hours=2), maximum=timedelta(hours=5), jitter=0))
    async def flaky(ctx: Context, number: int) -> int:
        if ctx.attempt < 2:
            raise ValueError("not yet")
        return number

    patient = Workflow("patient", version="1").pipe(flaky)
    report = simulate(patient, 1, seeds=2, patience=timedelta(hours=12))
    assert report.virtual > timedelta(hours=2)
    broken(lambda: simulate(patient, 1, seeds=2))


def test_a_workflow_that_depends_on_something_else_is_told_that_it_does() -> None:
    starts: list[int] = []

    def only_the_first(run: SimulatedRun[int, None]) -> bool:
        starts.append(1)
        return len(starts) > 1

    assert "did not fail again" in str(broken(lambda: simulate(echo, 1, invariant=only_the_first, seeds=1)))


# What an invariant is given, and what bodies may use.


def test_an_invariant_sees_the_run_its_output_and_all_it_did() -> None:
    seen: list[SimulatedRun[str, Bank]] = []
    simulate(paying, 420, fakes=fresh_bank, invariant=seen.append, seeds=5, key="order-1", tags=["a"])
    for run in seen:
        assert run.record.key == "order-1"
        assert run.record.tags == ("a",)
        assert run.completed
        assert run.output == "shipped for 420"
        assert run.failure is None
        assert {(effect.name, effect.value) for effect in run.effects} == {("charge", 420)}
        assert [event.seq for event in run.events] == list(range(1, len(run.events) + 1))
        assert run.events[-1].type == "run.completed"
        assert {record.stage for record in run.stages} == {"reserve", "charge", "ship"}
    assert [run.seed for run in seen] == [0, 1, 2, 3, 4]
    assert len({id(run.fakes) for run in seen}) == 5


def test_a_provider_that_honours_keys_does_it_once() -> None:
    def once(run: SimulatedRun[str, None]) -> bool:
        return len(run.effects) == run.completed or not run.completed

    report = simulate(paying, 1, invariant=once, honours_keys=True, crashes="everywhere")
    assert report.repeated > 0
    broken(lambda: simulate(paying, 1, invariant=once, crashes="everywhere"))


def test_everywhere_leaves_out_no_point_of_any_host() -> None:
    faults = [case.faults for case in crashes(0, {"worker-1": 2, "worker-2": 1}, 60.0)]
    points = [(fault.host, fault.point, fault.kind) for (fault,) in filter(None, faults)]
    assert points == [(host, n, Kind.CRASH) for host, n in (("worker-1", 1), ("worker-1", 2), ("worker-2", 1))]


def test_functions_execute_as_well() -> None:
    report = simulate(checkout, 420, fakes=fresh_bank, invariant=charged_once, hosts=("function", "worker"), seeds=20)
    assert report.runs["completed"] >= 15


def test_random_is_the_worlds_too() -> None:
    @workflow(version="1")
    async def gamble(ctx: Context, number: int) -> float:
        return random.random()

    drawn: list[float | None] = []
    for state in range(2):
        random.seed(state)
        simulate(gamble, 1, invariant=lambda run: drawn.append(run.output), seeds=3)
    assert drawn[:3] == drawn[3:]


def test_an_input_that_does_not_fit_is_the_callers_error() -> None:
    wrongly: Workflow[Any, int] = echo
    with pytest.raises(InvalidValueError, match="input of workflow echo"):
        simulate(wrongly, "text")


def test_no_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="no world to run"):
        simulate(echo, 1, seeds=[])


async def test_effects_are_harmless_outside_a_simulation_and_outside_is_refused() -> None:
    bank = fresh_bank()
    async with TestEngine(checkout, paying) as engine:
        assert await engine.run(checkout, 420) == "shipped for 420"
        assert bank.charges == [420]
    async with effect("anything"):
        pass
    with pytest.raises(SimulationError, match="belongs to a simulated world"):
        outside()


async def test_it_works_inside_a_running_loop_and_leaves_it_alone() -> None:
    loop, ticks = asyncio.get_running_loop(), asyncio.Event()
    loop.call_soon(ticks.set)
    assert simulate(echo, 1, seeds=3).worlds == 3
    assert asyncio.get_running_loop() is loop
    await asyncio.wait_for(ticks.wait(), 5)


@pytest.mark.parametrize("hosts", [(), ("workers",)])
def test_hosts_that_there_are_not_are_refused(hosts: Any) -> None:
    with pytest.raises(ValueError, match="hosts= is one or more of 'worker', 'function'"):
        simulate(echo, 1, hosts=hosts)


def test_a_plan_stands_alone() -> None:
    with pytest.raises(ValueError, match="without seeds="):
        simulate(echo, 1, plan='{"seed": 1}', seeds=[2])


def test_what_a_test_framework_raises_breaks_an_invariant_like_any_other() -> None:
    def never(run: SimulatedRun[int, None]) -> None:
        pytest.fail("not like this")

    error = broken(lambda: simulate(echo, 1, invariant=never))
    assert "not like this" in str(error)
    assert error.seed == 0
