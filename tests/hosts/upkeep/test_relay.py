"""The relay: at least once, in each run's order, never what did not commit."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from mainspring import Context, workflow
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.hosts.upkeep.relay import Relay
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.events import run_event
from mainspring.kernel.outlets import PUBLISHING
from mainspring.ports.change import Change, RunPatch
from mainspring.ports.errors import StaleChange, StoreFullError, UnavailableError
from mainspring.ports.event_sink import EventSink, Untried
from mainspring.ports.names import LeaseId
from mainspring.ports.records import Event
from mainspring.ports.sinks import Sink
from tests.hosts.parts import Bench, ManualClock, bench


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


async def world_with_events(count: int, clock: ManualClock) -> Bench:
    """A store that writes events, with the creation of so many runs in its outbox."""
    world = bench(hello, clock=clock)
    await world.store.add_sink(Sink())
    for number in range(count):
        await world.start(hello, str(number))
    return world


def takes(event: Event) -> None:
    """Refuse nothing."""


def relay_of(world: Bench, sink: EventSink, name: str = "relay-1", length: float = 30.0) -> Relay:
    dispatcher = Dispatcher(world.parts.store, world.parts.clock, world.parts.ids)
    return Relay(world.parts.store, dispatcher, sink, LeaseId(name), length=timedelta(seconds=length))


async def test_what_the_sink_confirmed_is_gone_from_the_outbox() -> None:
    world = await world_with_events(3, ManualClock())
    sink = MemoryEventSink()
    settled = await relay_of(world, sink).tick()
    assert settled is not None
    assert (settled.published, len(sink.published)) == (3, 3)
    assert await world.store.unpublished(10) == []


@pytest.mark.fault(9)
async def test_a_crash_between_publishing_and_settling_publishes_again() -> None:
    world = await world_with_events(1, ManualClock())
    sink = MemoryEventSink()
    await sink.publish(await world.store.unpublished(10))  # and the process is gone
    await relay_of(world, sink).tick()
    assert [event.id for event in sink.published] == [sink.published[0].id] * 2


@pytest.mark.fault(10)
async def test_what_did_not_commit_is_never_published() -> None:
    clock = ManualClock()
    world = await world_with_events(1, clock)
    run = await world.start(hello, "x", key="k")
    record = await run.describe()
    phantom = Change(
        run=RunPatch(run_id=record.id, revision=record.revision + 1),
        events=(run_event("run.completed", record.id, clock.now()),),
    )
    with pytest.raises(StaleChange):
        await world.store.commit(phantom)
    sink = MemoryEventSink()
    await relay_of(world, sink).tick()
    assert {event.type for event in sink.published} == {"run.created"}


async def test_a_refused_event_holds_back_its_own_run_only() -> None:
    clock = ManualClock()
    world = await world_with_events(2, clock)
    first, second = await world.store.unpublished(10)
    sink = MemoryEventSink(refuses=lambda event: "no" if event.run_id == first.run_id else None)
    relay = relay_of(world, sink)
    settled = await relay.tick()
    assert settled is not None
    assert (settled.published, settled.postponed) == (1, 1)
    assert [event.run_id for event in sink.published] == [second.run_id]
    assert await relay.tick() is None, "the postponed run waits"
    clock.advance(PUBLISHING.maximum)
    sink.refuses = takes
    await relay.tick()
    assert [event.run_id for event in sink.published] == [second.run_id, first.run_id]


async def test_an_event_that_is_always_refused_becomes_a_dead_letter() -> None:
    clock = ManualClock()
    world = await world_with_events(1, clock)
    relay = relay_of(world, MemoryEventSink(refuses=lambda event: "no use"))
    for _ in range(PUBLISHING.max_attempts):
        await relay.tick()
        clock.advance(PUBLISHING.maximum)
    (letter,) = await world.store.dead_letters(10)
    assert (letter.event.type, letter.error) == ("run.created", "no use")
    assert await world.store.unpublished(10) == []


@pytest.mark.fault(32)
async def test_of_two_relays_one_publishes() -> None:
    world = await world_with_events(2, ManualClock())
    sink = MemoryEventSink()
    first, second = relay_of(world, sink, "relay-1"), relay_of(world, sink, "relay-2")
    await first.tick()
    await world.start(hello, "more")
    assert await second.tick() is None
    await first.close()
    assert await second.tick() is not None


class Broken:
    """A sink that does not keep its promise."""

    def __init__(self, how: str) -> None:
        self._how = how

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        if self._how == "raises":
            raise ValueError("a mistake of its own")
        return [] if self._how == "counts wrong" else None  # type: ignore[return-value]


@pytest.mark.parametrize("how", ["raises", "answers nothing", "counts wrong"])
async def test_a_sink_that_breaks_its_promise_has_confirmed_nothing(how: str) -> None:
    world = await world_with_events(2, ManualClock())
    settled = await relay_of(world, Broken(how), length=0.1).tick()
    assert settled is not None
    assert (settled.published, settled.postponed) == (0, 2)


class Away:
    """A sink that cannot be reached: it says so at once, or of what is left."""

    def __init__(self, taken: int, *, raises: bool = False) -> None:
        self._taken = taken
        self._raises = raises

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        if self._raises:
            raise UnavailableError("the broker is gone")
        return [None if place < self._taken else Untried("the broker is gone") for place in range(len(events))]


@pytest.mark.fault(36)
@pytest.mark.parametrize("raises", [True, False])
async def test_an_outage_is_not_held_against_the_events_however_long_it_lasts(*, raises: bool) -> None:
    world = await world_with_events(2, ManualClock())
    for _ in range(3 * PUBLISHING.max_attempts):
        with pytest.raises(UnavailableError, match="the broker is gone"):
            await relay_of(world, Away(0, raises=raises)).tick()
    assert [event.tries for event in await world.store.unpublished(10)] == [0, 0]
    assert await world.store.dead_letters(10) == []


class Raising:
    """A sink that does not say of an outage that it is one."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        raise self._error


@pytest.mark.fault(36)
@pytest.mark.parametrize(
    "error", [ConnectionResetError("gone"), TimeoutError(), StoreFullError("no space"), OSError(5)]
)
async def test_what_looks_like_an_outage_is_none_of_the_events_fault(error: Exception) -> None:
    world = await world_with_events(2, ManualClock())
    with pytest.raises(UnavailableError, match=str(error) or "TimeoutError"):
        await relay_of(world, Raising(error)).tick()
    assert [event.tries for event in await world.store.unpublished(10)] == [0, 0]


class TooSlow:
    """A sink that is not done with more than so many events in time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[int] = []

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        self.asked.append(len(events))
        if len(events) > self.most:
            await asyncio.Event().wait()
        return [None] * len(events)


@pytest.mark.fault(36)
async def test_a_sink_that_is_too_slow_is_given_half_as_many_and_twice_as_many_again_once_it_keeps_up() -> None:
    world = await world_with_events(9, ManualClock())
    sink = TooSlow(most=2)
    relay = relay_of(world, sink, length=0.1)
    for _ in range(2):
        with pytest.raises(UnavailableError, match=r"longer than 0\.075 s"):
            await relay.tick()
    assert [event.tries for event in await world.store.unpublished(10)] == [0] * 9
    sink.most = 100
    for _ in range(3):
        await relay.tick()
    assert sink.asked == [9, 4, 2, 4, 3]


async def test_a_sink_may_take_no_longer_than_the_caller_has() -> None:
    world = await world_with_events(1, ManualClock())
    async with asyncio.timeout(5):
        with pytest.raises(UnavailableError, match=r"longer than 0\.01 s"):
            await relay_of(world, TooSlow(0)).tick(timedelta(seconds=0.01))


async def test_what_a_sink_does_not_want_is_settled_without_it() -> None:
    world = await world_with_events(2, ManualClock())
    sink = MemoryEventSink()
    dispatcher = Dispatcher(world.parts.store, world.parts.clock, world.parts.ids)
    relay = Relay(world.parts.store, dispatcher, sink, LeaseId("relay"), types=("stage.*",))
    settled = await relay.tick()
    assert settled is not None
    assert (settled.published, sink.published) == (2, [])


async def test_what_was_taken_before_an_outage_is_settled() -> None:
    world = await world_with_events(2, ManualClock())
    settled = await relay_of(world, Away(1)).tick()
    assert settled is not None
    assert (settled.published, settled.postponed) == (1, 0)
    assert len(await world.store.unpublished(10)) == 1


class Cancelled:
    """A sink whose own connection is cancelled under it."""

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        raise asyncio.CancelledError


async def test_a_sink_that_is_cancelled_by_itself_does_not_end_the_relay() -> None:
    world = await world_with_events(1, ManualClock())
    settled = await relay_of(world, Cancelled()).tick()
    assert settled is not None
    assert settled.postponed == 1
