"""The loop of simulated worlds: its handles, its naps, and points that cost nothing where nothing happens."""

import asyncio
import gc

from mainspring.hosts.simulation.faults import Fault, Kind, Plan
from mainspring.hosts.simulation.lives import Life
from mainspring.hosts.simulation.loop import NOTHING, Nap, new_loop
from mainspring.hosts.simulation.quiet import kept_apart
from mainspring.hosts.simulation.world import World


def test_a_handle_that_is_cancelled_is_not_run_and_tells_so() -> None:
    loop, ran = new_loop(), list[str]()
    soon, later = loop.call_soon(ran.append, "soon"), loop.call_later(2.0, ran.append, "later")
    kept = loop.call_at(3.0, ran.append, "kept")
    for handle in (soon, later):
        handle.cancel()

    loop.run(10.0)

    assert ran == ["kept"]
    assert [handle.cancelled() for handle in (soon, later, kept)] == [True, True, False]
    assert [handle.when() for handle in (soon, later, kept)] == [0.0, 2.0, 3.0]


def test_handles_of_one_moment_and_one_callback_are_two() -> None:
    loop, ran = new_loop(), list[str]()
    handles = {loop.call_at(1.0, ran.append, "again") for _ in range(2)}

    assert len(handles) == 2
    loop.run(10.0)
    assert ran == ["again", "again"]


def test_naps_leave_nothing_to_the_garbage_collector() -> None:
    loop = new_loop()

    async def naps() -> None:
        for _ in range(1_000):
            await Nap(loop, 0.001)

    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        task = loop.create_task(naps())
        loop.run(10.0)
        assert task.done()
        assert sum(type(one) is Nap for one in gc.get_objects()) < 100
    finally:
        if collects:
            gc.enable()


def test_a_point_at_which_nothing_happens_takes_no_time_and_no_coroutine() -> None:
    world, passed = World(0, Plan([Fault("host", 3, Kind.DELAY, 2.0)])), list[float]()

    async def boot(life: Life) -> None:
        for _ in range(4):
            point = world.point("run:after")
            passed.append(world.loop.time() if point is NOTHING else -1.0)
            await point

    world.host("host", boot, restarts=False)
    world.loop.run(10.0)

    assert passed == [0.0, 0.0, -1.0, 2.0]


def test_the_stores_clock_tells_each_moment_and_each_jump() -> None:
    world, told = World(0, Plan()), list[float]()
    began = world.time.now()

    async def boot(life: Life) -> None:
        for jump in (0.0, -20.0, 5.0, 50.0):
            world.time.skew += jump
            told.append((world.time.now() - began).total_seconds())
            await asyncio.sleep(1.0 if jump < 5.0 else 0.0)

    world.host("host", boot, restarts=False)
    world.loop.run(10.0)

    assert told == [0.0, -19.0, -13.0, 37.0]
    assert (world.time.newest - began).total_seconds() == 37.0


def test_garbage_of_worlds_is_looked_for_among_what_came_with_them_and_all_is_as_before_afterwards() -> None:
    assert gc.get_freeze_count() == 0
    with kept_apart():
        assert gc.get_freeze_count() > 0
        with kept_apart():
            pass
        assert gc.get_freeze_count() > 0, "what another froze is his to let go"
    assert gc.get_freeze_count() == 0
