"""The fixture ``simulated``: a real worker on virtual time, where years of waiting take a few steps."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mainspring import Context, Retry, Workflow, stage, workflow
from mainspring.errors import RunCancelledError, RunFailedError
from mainspring.pytest_plugin import Simulated
from mainspring.testing import SimulatedEngine, SimulationError, StuckError, in_virtual_time

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@workflow(version="1")
async def remind(ctx: Context, name: str) -> str:
    return f"hello {name}"


@workflow(version="1")
async def nap(ctx: Context, hours: float) -> str:
    await asyncio.sleep(hours * 3600)
    return "slept"


@stage(retry=Retry(max_attempts=4, initial=HOUR, factor=1.0, maximum=HOUR, jitter=0))
def flaky(ctx: Context, value: int) -> int:
    if ctx.attempt < 4:
        raise ValueError("not yet")
    return value + ctx.attempt


patient = Workflow("patient", version="1").pipe(flaky)


def test_a_reminder_in_thirty_days_costs_no_waiting(simulated: Simulated) -> None:
    async def scenario(engine: SimulatedEngine) -> timedelta:
        before = engine.now()
        run = await engine.start(remind, "Ada", start_at=before + timedelta(days=30))
        assert await run.result() == "hello Ada"
        return engine.now() - before

    assert timedelta(days=30) <= simulated(scenario, remind) < timedelta(days=30, seconds=1)


def test_thirty_days_take_as_many_steps_as_a_second() -> None:
    def steps(wait: timedelta) -> int:
        async def scenario(engine: SimulatedEngine) -> int:
            run = await engine.start(remind, "Ada", start_at=engine.now() + wait)
            await run.result()
            loop: Any = asyncio.get_running_loop()
            counted: int = loop.steps
            return counted

        return in_virtual_time(scenario, remind)

    assert steps(timedelta(days=30)) <= steps(timedelta(seconds=1)) + 25 < 150


def test_an_hour_of_back_off_is_an_hour_of_virtual_time(simulated: Simulated) -> None:
    async def scenario(engine: SimulatedEngine) -> None:
        before = engine.now()
        assert await engine.run(patient, 1) == 5
        assert 3 * HOUR <= engine.now() - before < 3 * HOUR + timedelta(seconds=1)
        assert [event.type for event in engine.events].count("stage.retrying") == 3

    simulated(scenario, patient)


def test_a_run_time_out_ends_the_run_at_that_very_moment(simulated: Simulated) -> None:
    async def scenario(engine: SimulatedEngine) -> None:
        before = engine.now()
        run = await engine.start(nap, 0.9, timeout=timedelta(minutes=10))
        with pytest.raises(RunFailedError, match="timed_out"):
            await run.result()
        assert timedelta(minutes=10) <= engine.now() - before < timedelta(minutes=10, seconds=1)

    simulated(scenario, nap)


def test_a_result_is_waited_for_no_longer_than_asked(simulated: Simulated) -> None:
    async def scenario(engine: SimulatedEngine) -> None:
        run = await engine.start(remind, "Ada", start_at=engine.now() + DAY)
        with pytest.raises(TimeoutError, match="still pending"):
            await run.result(timeout=HOUR)
        assert await run.result() == "hello Ada"

    simulated(scenario, remind)


def test_cancelling_and_signalling_work_as_on_a_real_engine(simulated: Simulated) -> None:
    async def scenario(engine: SimulatedEngine) -> None:
        run = await engine.start(nap, 0.9)
        await engine.sleep(timedelta(minutes=5))
        assert await run.signal("hurry", id="1")
        assert not await run.signal("hurry", id="1")
        await run.cancel("enough")
        with pytest.raises(RunCancelledError, match="enough"):
            await run.result()
        assert (await engine.runs(workflow="nap")).runs[0].cancel_reason == "enough"

    simulated(scenario, nap)


def test_the_scenarios_value_and_its_errors_come_out(simulated: Simulated) -> None:
    async def right(engine: SimulatedEngine) -> str:
        return await engine.run(remind, "Ada")

    async def wrong(engine: SimulatedEngine) -> None:
        raise LookupError("mine")

    assert simulated(right, remind) == "hello Ada"
    with pytest.raises(LookupError, match="mine"):
        simulated(wrong, remind)


def test_who_waits_for_nothing_that_comes_is_told_so(simulated: Simulated) -> None:
    async def scenario(engine: SimulatedEngine) -> None:
        await asyncio.Event().wait()

    with pytest.raises(StuckError, match="waits for something that time does not bring"):
        simulated(scenario, remind)


def test_a_scenario_that_reaches_out_of_the_world_is_told_so(simulated: Simulated) -> None:
    async def scenario(engine: SimulatedEngine) -> None:
        await asyncio.to_thread(print)

    with pytest.raises(SimulationError, match="reaches for a thread"):
        simulated(scenario, remind)


async def test_it_works_inside_a_running_loop(simulated: Simulated) -> None:
    async def scenario(engine: SimulatedEngine) -> str:
        return await engine.run(remind, "Ada")

    assert simulated(scenario, remind) == "hello Ada"


def test_the_same_scenario_goes_the_same_way_each_time() -> None:
    async def scenario(engine: SimulatedEngine) -> list[str]:
        runs = await engine.start_many(remind, ["a", "b", "c"])
        await asyncio.gather(*(run.result() for run in runs))
        return [f"{event.run_id} {event.type}" for event in engine.events]

    assert in_virtual_time(scenario, remind) == in_virtual_time(scenario, remind)


def test_the_fixture_is_what_testing_offers(simulated: Callable[..., object]) -> None:
    assert simulated is in_virtual_time
