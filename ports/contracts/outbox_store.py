"""What the relay needs: events as they stand, one relay at a time, and what becomes of events that fail."""

import attrs

from mainspring.ports.change import Change, OutboxSettlement, Postponed
from mainspring.ports.contracts.dead_letters import DeadLettersContract
from mainspring.ports.contracts.sinks import SinksContract
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import LEASE_LENGTH, SECOND, World
from mainspring.ports.names import LeaseId
from mainspring.ports.records import Event, Run
from mainspring.ports.sinks import DEFAULT_SINK, Sink


async def _told(world: World, run: Run, *data: str) -> None:
    await world.store.commit(Change(events=tuple(world.event(run, text) for text in data)))


async def _data(world: World, limit: int = 100) -> list[str]:
    return [event.data for event in await world.other.unpublished(limit)]


async def _relay(world: World) -> LeaseId:
    lease_id = world.lease_id()
    assert await world.store.lease_relay(lease_id, LEASE_LENGTH)
    return lease_id


class EventsContract(PersistenceSuite):
    """Events are numbered per run without gaps, and only where they are wanted."""

    async def test_events_are_off_by_default(self) -> None:
        store = await self.open(self.new_clock())
        try:
            assert not await store.sinks()
        finally:
            await store.close()

    async def test_sinks_are_the_stores_and_hold_for_every_process_at_once(self) -> None:
        world = await self.world()
        run = await world.created()
        assert await world.other.sinks()
        await world.other.remove_sink(DEFAULT_SINK)
        assert not await world.store.sinks()
        await _told(world, run, "unwanted")
        assert await _data(world) == []
        await world.other.add_sink(Sink())
        await _told(world, run, "wanted")
        assert [(event.seq, event.data) for event in await world.other.unpublished(10)] == [(1, "wanted")]

    async def test_an_event_comes_back_as_it_was_written(self) -> None:
        world = await self.world()
        run = await world.created()
        draft = world.event(run, '{"a":1}')
        await world.store.commit(Change(events=(draft,)))
        event = Event(run_id=run.id, seq=1, type=draft.type, at=draft.at, data='{"a":1}', tries=0)
        assert await world.other.unpublished(10) == [event]

    async def test_events_are_numbered_per_run_in_their_order(self) -> None:
        world = await self.world()
        one, two = await world.created(), await world.created()
        await _told(world, one, "a", "b")
        await _told(world, two, "c")
        await _told(world, one, "d")
        events = await world.other.unpublished(10)
        assert [(event.run_id, event.seq, event.data) for event in events] == [
            (one.id, 1, "a"),
            (one.id, 2, "b"),
            (two.id, 1, "c"),
            (one.id, 3, "d"),
        ]

    async def test_a_number_is_not_given_twice_though_its_event_is_gone(self) -> None:
        world = await self.world()
        run = await world.created()
        await _told(world, run, "a", "b")
        lease_id = await _relay(world)
        published = ((run.id, 1), (run.id, 2))
        await world.store.commit(Change(outbox=OutboxSettlement(lease_id=lease_id, published=published)))
        await _told(world, run, "c")
        assert [event.seq for event in await world.other.unpublished(10)] == [3]

    async def test_a_new_runs_events_come_with_its_creation(self) -> None:
        world = await self.world()
        run = world.run()
        await world.store.commit(Change(create=run, events=(world.event(run, "born"),)))
        assert await _data(world) == ["born"]


class RelayContract(PersistenceSuite):
    """One relay publishes; it reads what is there, and settles what it did."""

    async def test_no_more_than_the_limit_are_read_the_oldest_first(self) -> None:
        world = await self.world()
        run = await world.created()
        await _told(world, run, *"abcde")
        assert await _data(world, 2) == ["a", "b"]
        assert await _data(world, 0) == []

    async def test_published_events_are_gone_and_others_stay(self) -> None:
        world = await self.world()
        run = await world.created()
        await _told(world, run, *"abc")
        lease_id = await _relay(world)
        settlement = OutboxSettlement(lease_id=lease_id, published=((run.id, 1), (run.id, 3)))
        await world.store.commit(Change(outbox=settlement))
        assert await _data(world) == ["b"]
        await world.store.commit(Change(outbox=settlement))
        assert await _data(world) == ["b"]

    async def test_a_postponed_event_holds_up_its_own_run_only(self) -> None:
        world = await self.world()
        one, two = await world.created(), await world.created()
        await _told(world, one, "a1", "a2")
        await _told(world, two, "b1", "b2")
        until = world.clock.now() + SECOND * 10
        postponed = Postponed(run_id=one.id, seq=1, tries=3, until=until)
        lease_id = await _relay(world)
        await world.store.commit(Change(outbox=OutboxSettlement(lease_id=lease_id, postponed=(postponed,))))
        await _told(world, one, "a3")
        assert await _data(world) == ["b1", "b2"]
        assert await _data(world, 1) == ["b1"]
        await world.advance(SECOND * 11)
        events = [event for event in await world.other.unpublished(10) if event.run_id == one.id]
        assert [(event.data, event.tries) for event in events] == [("a1", 3), ("a2", 0), ("a3", 0)]
        assert await _data(world) == ["a1", "a2", "b1", "b2", "a3"]

    async def test_a_hopeless_event_becomes_a_dead_letter_and_its_run_goes_on(self) -> None:
        world = await self.world()
        run = await world.created()
        await _told(world, run, *"abc")
        first, second, _ = await world.other.unpublished(10)
        lease_id = await _relay(world)
        until = world.clock.now() + SECOND
        await world.store.commit(
            Change(
                outbox=OutboxSettlement(
                    lease_id=lease_id,
                    postponed=(Postponed(run_id=run.id, seq=1, tries=1, until=until),),
                )
            )
        )
        dead = OutboxSettlement(lease_id=lease_id, dead=((run.id, 1, "no sink"), (run.id, 2, "no luck")))
        await world.store.commit(Change(outbox=dead))
        assert await _data(world) == ["c"]
        letters = await world.other.dead_letters(10)
        assert [(attrs.evolve(letter.event, tries=0), letter.error) for letter in letters] == [
            (first, "no sink"),
            (second, "no luck"),
        ]
        assert len(await world.other.dead_letters(1)) == 1
        await world.store.commit(Change(outbox=dead))
        assert len(await world.other.dead_letters(10)) == 2

    async def test_one_settlement_publishes_postpones_and_gives_up(self) -> None:
        world = await self.world()
        one, two, three = await world.created(), await world.created(), await world.created()
        for run in (one, two, three):
            await _told(world, run, "x")
        until = world.clock.now() + SECOND
        settlement = OutboxSettlement(
            lease_id=await _relay(world),
            published=((one.id, 1),),
            postponed=(Postponed(run_id=two.id, seq=1, tries=1, until=until),),
            dead=((three.id, 1, "e"),),
        )
        await world.store.commit(Change(outbox=settlement))
        assert await _data(world) == []
        await world.advance(SECOND * 2)
        assert [event.run_id for event in await world.other.unpublished(10)] == [two.id]
        assert [letter.event.run_id for letter in await world.other.dead_letters(10)] == [three.id]

    async def test_one_relay_holds_the_lease_until_it_gives_it_back(self) -> None:
        world = await self.world()
        mine, theirs = world.lease_id(), world.lease_id()
        assert await world.store.lease_relay(mine, LEASE_LENGTH)
        assert not await world.other.lease_relay(theirs, LEASE_LENGTH)
        await world.other.release_relay(theirs)
        assert not await world.other.lease_relay(theirs, LEASE_LENGTH)
        await world.store.release_relay(mine)
        assert await world.other.lease_relay(theirs, LEASE_LENGTH)
        assert not await world.store.lease_relay(mine, LEASE_LENGTH)

    async def test_the_relays_lease_runs_out_by_the_stores_time_unless_it_is_kept(self) -> None:
        world = await self.world()
        mine, theirs = world.lease_id(), world.lease_id()
        assert await world.store.lease_relay(mine, LEASE_LENGTH)
        await world.advance(LEASE_LENGTH - SECOND)
        assert await world.store.lease_relay(mine, LEASE_LENGTH)
        await world.advance(LEASE_LENGTH - SECOND)
        assert not await world.other.lease_relay(theirs, LEASE_LENGTH)
        await world.advance(SECOND * 2)
        assert await world.other.lease_relay(theirs, LEASE_LENGTH)


class OutboxStoreContract(EventsContract, RelayContract, SinksContract, DeadLettersContract):
    """All of OutboxStore, and the dead letters of RunStore."""
