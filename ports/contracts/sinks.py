"""Sinks beside each other: each has its own copy of the events it wants, its own relay, order and back-off."""

import asyncio

from mainspring.ports.change import Change, OutboxSettlement, Postponed
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import LEASE_LENGTH, SECOND, World
from mainspring.ports.errors import StaleChange
from mainspring.ports.names import LeaseId, SinkName
from mainspring.ports.records import EventDraft, EventType, Run
from mainspring.ports.sinks import DEFAULT_SINK, EventFilter, Sink

AUDIT = SinkName("audit")


def told(world: World, run: Run, kind: EventType, data: str = "{}") -> EventDraft:
    """An event of that type, now."""
    return EventDraft(run_id=run.id, type=kind, at=world.clock.now(), data=data)


async def write(world: World, run: Run, *kinds: EventType) -> None:
    """Commit an event of each type."""
    await world.store.commit(Change(events=tuple(told(world, run, kind) for kind in kinds)))


async def relay_of(world: World, sink: SinkName) -> LeaseId:
    """The sink's relay lease."""
    lease_id = world.lease_id()
    assert await world.store.lease_relay(lease_id, LEASE_LENGTH, sink)
    return lease_id


class SinksContract(PersistenceSuite):
    """What one sink does or leaves undone touches no other."""

    async def test_sinks_are_listed_by_name_as_they_were_added_last(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT, types=("run.*", "stage.failed")))
        assert await world.other.sinks() == [Sink(name=AUDIT, types=("run.*", "stage.failed")), Sink()]
        await world.other.add_sink(Sink(name=AUDIT))
        assert await world.store.sinks() == [Sink(name=AUDIT), Sink()]

    async def test_every_sink_gets_its_own_copy_and_one_settles_for_itself(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT))
        run = await world.created()
        await write(world, run, "run.started", "run.completed")
        lease_id = await relay_of(world, AUDIT)
        done = OutboxSettlement(sink=AUDIT, lease_id=lease_id, published=((run.id, 1), (run.id, 2)))
        await world.store.commit(Change(outbox=done))
        assert await world.other.unpublished(10, AUDIT) == []
        assert [event.seq for event in await world.other.unpublished(10)] == [1, 2]

    async def test_settling_takes_what_was_published_and_nothing_between(self) -> None:
        world = await self.world()
        run = await world.created()
        await write(world, run, *("stage.progress",) * 6)
        lease_id = await relay_of(world, DEFAULT_SINK)
        published = tuple((run.id, seq) for seq in (5, 1, 2, 6))
        await world.store.commit(Change(outbox=OutboxSettlement(lease_id=lease_id, published=published)))
        assert [event.seq for event in await world.other.unpublished(10)] == [3, 4]

    async def test_a_sink_gets_the_types_it_wants_and_numbers_go_on(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT, types=("run.*", "stage.failed")))
        run = await world.created()
        await write(world, run, "run.started", "stage.started", "stage.failed", "stage.retrying", "run.failed")
        assert [event.seq for event in await world.other.unpublished(10, AUDIT)] == [1, 3, 5]
        assert [event.seq for event in await world.other.unpublished(10)] == [1, 2, 3, 4, 5]
        await world.store.remove_sink(DEFAULT_SINK)
        await write(world, run, "stage.progress", "run.cancelled")
        assert [event.seq for event in await world.other.unpublished(10, AUDIT)] == [1, 3, 5, 7]

    async def test_each_sink_has_a_relay_and_a_place_of_its_own(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT))
        one, two = await world.created(), await world.created()
        await write(world, one, "run.started", "run.completed")
        await write(world, two, "run.started")
        mine = await relay_of(world, DEFAULT_SINK)
        theirs = await relay_of(world, AUDIT)
        until = world.clock.now() + SECOND * 10
        waits = Postponed(run_id=one.id, seq=1, tries=1, until=until)
        await world.store.commit(Change(outbox=OutboxSettlement(lease_id=mine, postponed=(waits,))))
        assert [event.run_id for event in await world.other.unpublished(10)] == [two.id]
        assert [event.id for event in await world.other.unpublished(10, AUDIT)] == [
            f"{one.id}/1",
            f"{one.id}/2",
            f"{two.id}/1",
        ]
        dead = OutboxSettlement(sink=AUDIT, lease_id=theirs, dead=((one.id, 1, "no"),))
        await world.store.commit(Change(outbox=dead))
        assert len(await world.other.waiting_events(10)) == 5

    async def test_the_relay_of_one_sink_settles_for_no_other(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT))
        run = await world.created()
        await write(world, run, "run.started")
        lease_id = await relay_of(world, AUDIT)
        try:
            await world.store.commit(Change(outbox=OutboxSettlement(lease_id=lease_id, published=((run.id, 1),))))
        except StaleChange:
            assert len(await world.other.waiting_events(10)) == 2
            return
        raise AssertionError("another sink's lease was good enough")

    async def test_relays_of_two_sinks_may_settle_at_once(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT))
        run = await world.created()
        await write(world, run, "run.started")
        changes = [
            Change(outbox=OutboxSettlement(sink=sink, lease_id=await relay_of(world, sink), published=((run.id, 1),)))
            for sink in (AUDIT, DEFAULT_SINK)
        ]
        await asyncio.gather(*map(world.store.commit, changes))
        assert await world.other.waiting_events(10) == []

    async def test_what_waits_is_listed_by_sink_postponed_or_not(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT, types=("run.*",)))
        one, two = await world.created(), await world.created()
        await write(world, one, "run.started", "stage.failed")
        await world.advance(SECOND)
        await write(world, two, "run.started")
        until = world.clock.now() + SECOND * 10
        waits = Postponed(run_id=one.id, seq=1, tries=2, until=until)
        lease_id = await relay_of(world, AUDIT)
        await world.store.commit(Change(outbox=OutboxSettlement(sink=AUDIT, lease_id=lease_id, postponed=(waits,))))
        found = await world.other.waiting_events(10)
        assert [(row.sink, row.event.id, row.event.tries, row.until) for row in found] == [
            (AUDIT, f"{one.id}/1", 2, until),
            (AUDIT, f"{two.id}/1", 0, None),
            (DEFAULT_SINK, f"{one.id}/1", 0, None),
            (DEFAULT_SINK, f"{one.id}/2", 0, None),
            (DEFAULT_SINK, f"{two.id}/1", 0, None),
        ]
        assert await world.other.waiting_events(2) == found[:2]
        assert await world.other.waiting_events(9, EventFilter(run_id=two.id)) == [found[1], found[4]]
        assert await world.other.waiting_events(9, EventFilter(sink=AUDIT, since=until - SECOND * 10)) == [found[1]]

    async def test_a_sink_that_is_removed_takes_along_all_that_was_kept_for_it(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT))
        run = await world.created()
        await write(world, run, "run.started", "run.completed")
        lease_id = await relay_of(world, AUDIT)
        dead = OutboxSettlement(sink=AUDIT, lease_id=lease_id, dead=((run.id, 1, "no"),))
        await world.store.commit(Change(outbox=dead))
        await world.store.remove_sink(AUDIT)
        await world.store.remove_sink(AUDIT)
        assert await world.other.sinks() == [Sink()]
        await world.store.add_sink(Sink(name=AUDIT))
        assert await world.other.unpublished(10, AUDIT) == []
        assert await world.other.dead_letters(10) == []
        assert await world.other.lease_relay(world.lease_id(), LEASE_LENGTH, AUDIT)
        assert [event.seq for event in await world.other.unpublished(10)] == [1, 2]

    async def test_what_waits_is_counted_by_sink(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT))
        run = await world.created()
        first = world.clock.now()
        await write(world, run, "run.started", "stage.started")
        lease_id = await relay_of(world, AUDIT)
        gone = OutboxSettlement(sink=AUDIT, lease_id=lease_id, published=((run.id, 2),), dead=((run.id, 1, "no"),))
        await world.store.commit(Change(outbox=gone))
        seen = await world.other.backlog()
        assert [(one.sink, one.unpublished, one.oldest_event, one.dead) for one in seen.sinks] == [
            (AUDIT, 0, None, 1),
            (DEFAULT_SINK, 2, first, 0),
        ]
        assert (seen.unpublished, seen.oldest_event) == (2, first)
