"""The sweeper dies anywhere and meets anybody: a run is whole or gone, and what is left of it goes later.

Each actor is a process of its own that may be stopped, or killed, before and after every effect.
"""

from collections.abc import Coroutine, Generator
from datetime import timedelta
from random import Random
from types import coroutine
from typing import Any

import pytest

from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.memory.points import Point, straight_on
from mainspring.hosts.upkeep.sweeper import LINGER, Sweeper
from mainspring.kernel.commands.outbox_settle import SettleOutbox
from mainspring.kernel.commands.run_signal import SignalRun
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.outlets import PUBLISHING
from mainspring.ports.errors import CommandError
from mainspring.ports.names import BlobKey, Payload, RunId
from mainspring.ports.records import RunStatus
from mainspring.ports.sinks import Sink
from tests.hosts.parts import Bench, ManualClock, bench
from tests.hosts.upkeep.collecting import LENGTH, chain, keys, named
from tests.hosts.upkeep.sweeping import KEPT, ended, rows

SEEDS = 300


@coroutine
def pause(name: str) -> Generator[str, None, None]:
    yield name


async def stop_here(name: str) -> None:
    await pause(name)


def stepped(actor: Coroutine[Any, Any, object], steps: int) -> bool:
    """Step it so often, then kill it; whether it had ended by then."""
    try:
        for _ in range(steps):
            actor.send(None)
    except StopIteration:
        return True
    actor.close()
    return False


async def copied(blobs: object, point: Point) -> MemoryBlobStore:
    """A store with the same blobs, which stops its caller."""
    assert isinstance(blobs, MemoryBlobStore)
    copy = MemoryBlobStore()
    for key in await keys(blobs):
        await copy.put(key, await blobs.get(key))
    copy._point = point  # pyright: ignore[reportPrivateUsage]  it was filled without being stopped
    return copy


async def present(blobs: MemoryBlobStore) -> set[BlobKey]:
    return set(blobs._blobs)  # pyright: ignore[reportPrivateUsage]  read without being stopped


@pytest.mark.fault(12, 13, 96)
async def test_a_crash_anywhere_leaves_whole_runs_or_what_the_next_rounds_collect() -> None:
    steps, finished, half = 0, False, 0
    while not finished:
        clock = ManualClock()
        world = bench(chain, clock=clock)
        runs = [await ended(world) for _ in range(3)]
        clock.advance(KEPT)
        blobs = await copied(world.parts.blobs, stop_here)
        stop = world.store.another(stop_here)
        crashing = Sweeper(stop, blobs, runs=KEPT, linger=timedelta(0))
        finished = stepped(crashing.round(), steps)
        for run in runs:
            left = await rows(world.store, run.id)
            whole = await present(blobs) >= (await named(world.store, run.id) if left else set())
            assert whole, f"step {steps}: a run that is there names a blob that is not"
            assert len(left) in {0, 4}, f"step {steps}: a run is there in part"
        gone = [run.id for run in runs if await world.store.run(run.id) is None]
        half += bool(gone) and any(key.partition("/")[0] in gone for key in await present(blobs))
        blobs._point = straight_on  # pyright: ignore[reportPrivateUsage]  nobody is stopped any more
        clock.advance(LINGER)
        await Sweeper(world.store, blobs, runs=KEPT).round()
        clock.advance(LINGER)
        await Sweeper(world.store, blobs, runs=KEPT).round()
        assert await present(blobs) == set(), f"step {steps}: blobs are left for ever"
        assert await world.store.tombstones(timedelta(0), 9) == []
        steps += 1
    assert half > 10, "the sweeper must have died between rows and blobs"


async def _signals(store: MemoryPersistence, world: Bench, run_id: RunId, taken: list[str]) -> None:
    dispatcher = Dispatcher(store, world.parts.clock, world.parts.ids)
    for _ in range(3):
        try:
            await dispatcher.dispatch(SignalRun(run_id=run_id, signal="more", payload=Payload("1")))
        except CommandError:
            continue
        taken.append(run_id)


async def _publishes(store: MemoryPersistence, world: Bench, sink: MemoryEventSink) -> None:
    """What the relay does, without the time-out that needs an event loop."""
    dispatcher = Dispatcher(store, world.parts.clock, world.parts.ids)
    lease_id = world.parts.ids.new_lease_id()
    assert await store.lease_relay(lease_id, LENGTH)
    for _ in range(6):
        events = await store.unpublished(2)
        answers = await sink.publish(events)
        settle = SettleOutbox(lease_id=lease_id, events=tuple(events), answers=tuple(answers), retry=PUBLISHING)
        await dispatcher.dispatch(settle)


def interleaved(random: Random, *actors: Coroutine[Any, Any, object]) -> None:
    left = list(actors)
    while left:
        actor = random.choice(left)
        for _ in range(random.choice((1, 1, 2, 5, 50))):
            try:
                actor.send(None)
            except StopIteration:
                left.remove(actor)
                break


@pytest.mark.fault(96)
async def test_sweepers_signals_and_the_relay_in_any_order_lose_no_event_and_leave_no_part() -> None:
    early = 0
    for seed in range(SEEDS):
        clock = ManualClock()
        world = bench(chain, clock=clock)
        await world.store.add_sink(Sink())
        runs = [await ended(world) for _ in range(2)]
        told = {event.id for event in await world.store.unpublished(1_000)}
        active = await world.start(chain, "c")
        clock.advance(KEPT)
        blobs = await copied(world.parts.blobs, stop_here)
        sink, taken = MemoryEventSink(), list[str]()

        def client(world: Bench = world) -> MemoryPersistence:
            return world.store.another(stop_here)

        interleaved(
            Random(seed),
            Sweeper(client(), blobs, runs=KEPT).round(),
            Sweeper(client(), blobs, runs=KEPT).round(),
            _publishes(client(), world, sink),
            _signals(client(), world, runs[0].id, taken),
            _signals(client(), world, active.id, taken),
        )
        waiting = {event.id for event in await world.store.unpublished(1_000)}
        published = {event.id for event in sink.published}
        assert told <= waiting | published, f"seed {seed}: an event was lost"
        assert taken == [active.id] * 3, f"seed {seed}: a signal was taken by a run that has ended"
        assert await active.status() is RunStatus.PENDING
        for run in runs:
            left = await rows(world.store, run.id)
            assert len(left) in {0, 4}, f"seed {seed}: a run is there in part"
            assert left or not any(event.startswith(run.id) for event in waiting), f"seed {seed}: swept too early"
            early += not left
    assert SEEDS / 10 < early < 2 * SEEDS, "sometimes a run must be swept, sometimes its events must keep it"
