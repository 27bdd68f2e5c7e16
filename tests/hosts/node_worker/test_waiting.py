"""How the worker's loops wait: what ends a wait early, and that a cancellation from outside is never taken for a bell.

All of it on virtual time, whose moments are exact.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from mainspring.hosts.node_worker.waiting import Bell, either, unless, within
from mainspring.hosts.simulation.loop import new_loop

T = TypeVar("T")


def play(scenario: Coroutine[Any, Any, T]) -> T:
    """Run it to its end on a loop of its own; its value."""
    loop = new_loop()
    task = loop.create_task(scenario)
    loop.run(1_000.0)
    value: T = task.result()
    return value


async def told_after(seconds: float, value: str) -> str:
    await asyncio.sleep(seconds)
    return value


def ring_after(bell: Bell, seconds: float) -> None:
    asyncio.get_running_loop().call_later(seconds, bell.set)


def moment() -> float:
    return asyncio.get_running_loop().time()


def test_a_wait_for_a_bell_ends_when_it_rings_or_when_its_time_is_up() -> None:
    async def scenario() -> list[float]:
        bell, ends = Bell(), list[float]()
        ring_after(bell, 3.0)
        for _ in range(3):
            await within(bell, 2.0)
            ends.append(moment())
        return ends

    assert play(scenario()) == [2.0, 3.0, 3.0]


def test_of_several_bells_the_first_ends_the_wait() -> None:
    async def scenario() -> list[float]:
        first, second, ends = Bell(), Bell(), list[float]()
        ring_after(second, 2.0)
        await either(first, second)
        ends.append(moment())
        await either(first, second)
        return [*ends, moment()]

    assert play(scenario()) == [2.0, 2.0]


def test_a_bell_that_rang_can_be_waited_for_again_once_it_was_cleared() -> None:
    async def scenario() -> float:
        bell = Bell()
        bell.set()
        bell.clear()
        ring_after(bell, 2.0)
        await either(bell)
        return moment()

    assert play(scenario()) == 2.0


def test_what_is_done_before_the_bell_rings_gives_its_value() -> None:
    async def scenario() -> tuple[str, float]:
        bell = Bell()
        ring_after(bell, 2.0)
        value = await unless(bell, told_after(1.0, "done"), "rung")
        await asyncio.sleep(5.0)  # the bell rings meanwhile, and nobody listens
        return value, moment()

    assert play(scenario()) == ("done", 6.0)


def test_what_the_bell_interrupts_is_unwound_before_the_wait_ends() -> None:
    async def scenario() -> tuple[str, float, bool]:
        bell, unwound = Bell(), False

        async def work() -> str:
            nonlocal unwound
            try:
                return await told_after(9.0, "done")
            finally:
                unwound = True

        ring_after(bell, 2.0)
        return await unless(bell, work(), "rung"), moment(), unwound

    assert play(scenario()) == ("rung", 2.0, True)


def test_a_wait_that_a_bell_ended_leaves_no_cancellation_behind() -> None:
    async def scenario() -> tuple[int, str]:
        bell, task = Bell(), asyncio.current_task()
        ring_after(bell, 1.0)
        await unless(bell, told_after(9.0, "done"), "rung")
        left = -1 if task is None else task.cancelling()
        async with asyncio.timeout(5.0):
            return left, await told_after(1.0, "goes on")

    assert play(scenario()) == (0, "goes on")


def test_a_bell_that_has_rung_already_keeps_work_from_beginning() -> None:
    async def scenario() -> tuple[str, bool]:
        bell, began = Bell(), False
        bell.set()

        async def work() -> str:
            nonlocal began
            began = True
            return "done"

        return await unless(bell, work(), "rung"), began

    assert play(scenario()) == ("rung", False)


def test_work_that_rings_the_bell_itself_and_ends_gives_its_value() -> None:
    async def scenario() -> tuple[str, str]:
        bell = Bell()

        async def work() -> str:
            await asyncio.sleep(1.0)
            bell.set()
            return "done"

        return await unless(bell, work(), "rung"), await told_after(1.0, "goes on")

    assert play(scenario()) == ("done", "goes on")


def test_work_that_swallows_the_bell_gives_its_value_and_no_cancellation_is_left() -> None:
    async def scenario() -> tuple[str, int]:
        bell, task = Bell(), asyncio.current_task()

        async def work() -> str:
            try:
                await asyncio.sleep(9.0)
            except asyncio.CancelledError:
                return "in spite of it"
            return "done"

        ring_after(bell, 1.0)
        return await unless(bell, work(), "rung"), -1 if task is None else task.cancelling()

    assert play(scenario()) == ("in spite of it", 0)


@pytest.mark.parametrize("rings_at", [1.0, 2.0, 3.0])
def test_a_cancellation_from_outside_is_never_taken_for_the_bell(rings_at: float) -> None:
    async def scenario() -> bool:
        bell = Bell()

        async def waits() -> str:
            return await unless(bell, slow(), "rung")

        async def slow() -> str:
            try:
                return await told_after(9.0, "done")
            finally:
                await asyncio.sleep(1.5)  # so that the other one comes while it unwinds

        task = asyncio.get_running_loop().create_task(waits())
        ring_after(bell, rings_at)
        asyncio.get_running_loop().call_later(2.0, task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert play(scenario())


def test_no_wait_makes_a_task() -> None:
    async def scenario() -> list[int]:
        bell, other, there = Bell(), Bell(), list[int]()
        for looks_at in (0.5, 1.25, 1.75, 2.5):
            asyncio.get_running_loop().call_later(looks_at, lambda: there.append(len(asyncio.all_tasks())))
        ring_after(bell, 2.0)
        await within(bell, 1.0)
        await unless(bell, told_after(0.5, "done"), "rung")
        await unless(bell, told_after(9.0, "done"), "rung")
        ring_after(other, 1.0)
        bell.clear()
        await either(bell, other)
        return there

    assert play(scenario()) == [1, 1, 1, 1]
