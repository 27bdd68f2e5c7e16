"""The store's time on another machine: how far off it may be, and what may not move it."""

from datetime import timedelta

import attrs
import pytest

from mainspring import Context, Mainspring, workflow
from mainspring.adapters.memory.clock import ManualClock
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.system import SystemIds
from mainspring.hosts.execution.store_clock import StoreClock
from mainspring.ports.errors import UnavailableError
from tests.hosts.parts import bench

SECOND = timedelta(seconds=1)
HOUR = 3600.0


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


class Network:
    """A store at the end of a wire, and a machine whose monotonic clock began at some other moment."""

    def __init__(self) -> None:
        self.truth = ManualClock()
        self.monotonic = 4_711.0
        self.there = self.back = 0.001  # seconds under way
        self.drift = 0.0  #: seconds by which the store gains on the machine in one second
        self.down = False
        self.clock = StoreClock(MemoryPersistence(self.truth, SystemIds(), point=self._travel), lambda: self.monotonic)

    async def _travel(self, point: str) -> None:
        if self.down:
            raise UnavailableError("the store is down")
        self.pass_by(self.there if point == "now:before" else self.back)

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.truth.advance(timedelta(seconds=seconds * (1 + self.drift)))

    @property
    def ahead(self) -> float:
        """Seconds by which the clock is ahead of the store."""
        return (self.clock.now() - self.truth.now()) / SECOND


def about(seconds: float) -> object:
    return pytest.approx(seconds, abs=5e-6)


async def test_the_time_is_not_told_before_the_store_was_asked() -> None:
    with pytest.raises(RuntimeError, match="refresh"):
        Network().clock.now()


async def test_the_time_it_takes_to_connect_does_not_set_the_clock_ahead() -> None:
    class Connecting(Network):
        async def _travel(self, point: str) -> None:
            await super()._travel(point)
            self.there = 0.001  # from the second time on

    network = Connecting()
    network.there = 0.5
    await network.clock.refresh()
    assert network.ahead == about(0.001)


@pytest.mark.parametrize(("there", "back"), [(0.0, 0.0), (0.2, 0.0), (0.0, 0.2), (0.1, 0.1)])
async def test_the_clock_is_never_behind_the_store_and_ahead_by_the_way_there_at_most(
    there: float, back: float
) -> None:
    network = Network()
    network.there, network.back = there, back
    await network.clock.refresh()
    assert network.ahead == about(there)


@pytest.mark.fault(22, 23)
async def test_between_answers_only_the_monotonic_clock_moves_it() -> None:
    network = Network()
    await network.clock.refresh()
    before = network.clock.now()
    assert network.clock.now() == before
    network.pass_by(HOUR)
    assert network.ahead == about(0.001)


async def test_an_answer_that_was_long_under_way_does_not_replace_a_fast_one() -> None:
    network = Network()
    await network.clock.refresh()
    network.there = 2.0
    await network.clock.refresh()
    assert network.ahead == about(0.001)


async def test_a_fast_answer_replaces_one_that_was_long_under_way() -> None:
    network = Network()
    network.there = 2.0
    await network.clock.refresh()
    network.there = 0.001
    await network.clock.refresh()
    assert network.ahead == about(0.001)


@pytest.mark.fault(24)
@pytest.mark.parametrize("jump", [HOUR, -HOUR, 0.01, -0.01])
async def test_a_store_whose_clock_jumps_is_followed_at_the_next_answer(jump: float) -> None:
    network = Network()
    await network.clock.refresh()
    network.truth.advance(timedelta(seconds=jump))
    assert network.ahead == about(0.001 - jump)
    await network.clock.refresh()
    assert network.ahead == about(0.001)


@pytest.mark.parametrize("drift", [100e-6, -100e-6])
async def test_a_clock_that_drifts_away_is_brought_back_by_each_answer(drift: float) -> None:
    network = Network()
    network.drift, network.back = drift, 0.05
    for _ in range(200):
        await network.clock.refresh()
        assert network.ahead == pytest.approx(0.001, abs=5e-5)
        network.pass_by(10)


async def test_a_store_that_does_not_answer_leaves_the_clock_going() -> None:
    network = Network()
    await network.clock.refresh()
    network.down = True
    with pytest.raises(UnavailableError):
        await network.clock.refresh()
    network.pass_by(5)
    assert network.ahead == about(0.001)


async def test_an_engine_knows_the_stores_time_before_its_first_command() -> None:
    world = bench()
    clock = StoreClock(world.store, lambda: 0.0)
    parts = attrs.evolve(world.parts, clock=clock, refresh_clock=clock.refresh)
    async with Mainspring(parts=parts, workflows=[hello], worker=False) as engine:
        run = await engine.start(hello, "x")
        assert (await run.describe()).created_at == clock.now()
