"""The sweeper: runs go with rows and blobs when their time is over, never earlier, and only if nobody needs them."""

from datetime import timedelta
from typing import Any

import pytest

from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.hosts.upkeep.relay import Relay
from mainspring.hosts.upkeep.sweeper import BATCH, LINGER, MOST_FAILURES, Sweeper
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.change import Change
from mainspring.ports.errors import ConflictError, NotFoundError, StaleChange, UnavailableError
from mainspring.ports.names import BlobKey, RunId
from mainspring.ports.sinks import Sink
from tests.hosts.parts import Bench, ManualClock, bench
from tests.hosts.upkeep.collecting import LARGE, chain, growing, keys, named, put
from tests.hosts.upkeep.sweeping import KEPT, ended, rows


def sweeper_of(world: Bench, **options: Any) -> Sweeper:
    return Sweeper(world.store, world.parts.blobs, **({"runs": KEPT} | options))


def clock_of(world: Bench) -> ManualClock:
    assert isinstance(world.parts.clock, ManualClock)
    return world.parts.clock


@pytest.mark.fault(96)
async def test_a_run_goes_with_its_rows_and_blobs_when_its_time_is_over() -> None:
    world = bench(chain, clock=ManualClock())
    run = await ended(world)
    orphan = await put(world, run.id, world.parts.ids.new_lease_id())
    before = await keys(world.parts.blobs)
    assert len(before) == 5, "input, signal, two outputs, an orphan"
    clock_of(world).advance(KEPT - timedelta(seconds=1))
    assert await sweeper_of(world).round() == 0
    assert await keys(world.parts.blobs) == before
    clock_of(world).advance(timedelta(seconds=1))
    assert await sweeper_of(world).round() == 1
    assert await rows(world.store, run.id) == []
    assert await keys(world.parts.blobs) == set()
    assert orphan in before


async def test_blobs_of_runs_that_stay_and_of_unknown_runs_stay() -> None:
    world = bench(chain, clock=ManualClock())
    old = await ended(world)
    clock_of(world).advance(KEPT)
    young, active = await ended(world), await world.start(chain, "c" * LARGE)
    unknown = [RunId(old.id[:-1]), RunId(f"{old.id}0"), RunId(f"{old.id[:-1]}{'1' if old.id[-1] == '0' else '0'}")]
    others = {await put(world, run_id, world.parts.ids.new_lease_id()) for run_id in unknown}
    assert await sweeper_of(world).round() == 1
    left = await keys(world.parts.blobs)
    assert left >= await named(world.store, young.id) | await named(world.store, active.id) | others
    assert {key.partition("/")[0] for key in left} == {young.id, active.id, *unknown}


async def test_zero_keeps_for_ever() -> None:
    world = bench(chain, clock=ManualClock())
    run = await ended(world)
    clock_of(world).advance(KEPT * 100)
    never = sweeper_of(world, runs=timedelta(0))
    assert not never.has_work
    assert await never.round() == 0
    assert await world.store.run(run.id) == run


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"runs": KEPT}, (False, False)),
        ({"runs": KEPT, "answers": timedelta(0)}, (False, True)),
        ({"runs": timedelta(0), "answers": KEPT}, (True, False)),
        ({"runs": KEPT, "answers": KEPT * 2}, (False, True)),
    ],
)
async def test_answers_are_kept_as_long_as_runs_unless_told_otherwise(
    settings: dict[str, timedelta], left: tuple[bool, bool]
) -> None:
    world = bench(chain, clock=ManualClock())
    handle = await world.start(chain, "a")
    await handle.cancel(idempotency_key="once")
    clock_of(world).advance(KEPT)
    sweeper = sweeper_of(world, **settings)
    assert sweeper.has_work
    await sweeper.round()
    found = await world.store.run(handle.id), await world.store.answer("run.cancel", "once")
    assert (found[0] is not None, found[1] is not None) == left


async def test_the_key_of_a_swept_run_starts_a_new_run() -> None:
    world = bench(chain, clock=ManualClock())
    run = await ended(world, key="order-42")
    with pytest.raises(ConflictError):
        await world.start(chain, "other", key="order-42")
    clock_of(world).advance(KEPT)
    await sweeper_of(world).round()
    again = await world.start(chain, "other", key="order-42")
    assert again.created
    assert again.id != run.id


@pytest.mark.fault(96)
async def test_who_asks_for_a_swept_run_is_told_that_there_is_none() -> None:
    world = bench(chain, clock=ManualClock())
    run = await ended(world)
    clock_of(world).advance(KEPT)
    await sweeper_of(world).round()
    handle = world.client.handle(run.id)
    for asked in (handle.status(), handle.result(1), handle.cancel(), handle.signal("more", 1)):
        with pytest.raises(NotFoundError):
            await asked


@pytest.mark.fault(96)
async def test_a_run_stays_until_its_events_are_published() -> None:
    world = bench(chain, clock=ManualClock())
    await world.store.add_sink(Sink())
    run = await ended(world)
    clock_of(world).advance(KEPT)
    assert await sweeper_of(world).round() == 0
    dispatcher = Dispatcher(world.store, world.parts.clock, world.parts.ids)
    sink = MemoryEventSink()
    await Relay(world.store, dispatcher, sink, world.parts.ids.new_lease_id()).tick()
    assert sink.published
    assert await sweeper_of(world).round() == 1
    assert await world.store.run(run.id) is None


async def test_one_round_deletes_more_than_one_batch_while_there_is_time() -> None:
    world = bench(chain, clock=ManualClock())
    for number in range(BATCH + 20):
        await (await world.start(chain, str(number))).cancel()
    clock_of(world).advance(KEPT)
    assert await sweeper_of(world).round(lambda: False) == 0
    assert await sweeper_of(world).round() == BATCH + 20


async def test_what_a_paused_writer_puts_after_the_sweep_goes_with_the_tombstone() -> None:
    world = bench(growing, chain, clock=ManualClock())
    run = await ended(world)
    clock_of(world).advance(KEPT)
    await sweeper_of(world).round()
    late = await put(world, run.id, world.parts.ids.new_lease_id())
    clock_of(world).advance(LINGER - timedelta(seconds=1))
    await sweeper_of(world).round()
    assert await keys(world.parts.blobs) == {late}
    clock_of(world).advance(timedelta(seconds=1))
    await sweeper_of(world).round()
    assert await keys(world.parts.blobs) == set()
    assert await world.store.tombstones(timedelta(0), 9) == []


async def test_blobs_that_could_not_be_deleted_go_later_and_hinder_nothing_else() -> None:
    world = bench(chain, clock=ManualClock())
    failing = True

    async def weather(point: str) -> None:
        if failing and point == "delete:before":
            raise UnavailableError("the blob store is down")

    blobs = MemoryBlobStore(point=weather)
    for number in range(MOST_FAILURES + 2):
        run = await world.start(chain, str(number))
        await run.cancel()
        await blobs.put(BlobKey(f"{run.id}/input/{number:064x}"), b"x")
    clock_of(world).advance(KEPT)
    sweeper = Sweeper(world.store, blobs, runs=KEPT)
    assert await sweeper.round() == MOST_FAILURES + 2, "rows go all the same"
    clock_of(world).advance(LINGER)
    await sweeper.round()
    assert len(await keys(blobs)) == MOST_FAILURES + 2
    assert len(await world.store.tombstones(LINGER, 99)) == MOST_FAILURES + 2
    failing = False
    await sweeper.round()
    assert await keys(blobs) == set()
    assert await world.store.tombstones(timedelta(0), 99) == []


async def test_the_tombstone_of_a_run_stays_as_long_as_one_of_its_blobs() -> None:
    world = bench(chain, clock=ManualClock())
    stubborn: list[BlobKey] = []

    class Stubborn(MemoryBlobStore):
        async def delete(self, key: BlobKey) -> None:
            if key in stubborn:
                raise UnavailableError("somebody reads it")
            await super().delete(key)

    blobs = Stubborn()
    runs = [await world.start(chain, str(number)) for number in range(3)]
    for run in runs:
        await run.cancel()
        for owner in ("input", "signal"):
            await blobs.put(BlobKey(f"{run.id}/{owner}/{1:064x}"), b"x")
    stubborn.append(BlobKey(f"{runs[1].id}/signal/{1:064x}"))
    clock_of(world).advance(KEPT)
    sweeper = Sweeper(world.store, blobs, runs=KEPT)
    await sweeper.round()
    clock_of(world).advance(LINGER)
    await sweeper.round()
    assert await keys(blobs) == set(stubborn)
    assert await world.store.tombstones(timedelta(0), 9) == [runs[1].id]


async def test_a_repeated_start_of_a_swept_run_does_not_run_it_again() -> None:
    """Its sender had no answer, was paused, and asks again after everything was over."""
    world = bench(chain, clock=ManualClock())
    run = await ended(world)
    clock_of(world).advance(KEPT)
    await sweeper_of(world).round()
    with pytest.raises(StaleChange):
        await world.store.commit(Change(create=run))
