"""Dead letters: found by every filter, and replayed once however often that is asked."""

import asyncio
from datetime import datetime

import attrs

from mainspring.ports.change import Change, OutboxSettlement, Replayed
from mainspring.ports.contracts.sinks import AUDIT, relay_of, write
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import SECOND, World
from mainspring.ports.errors import StaleChange
from mainspring.ports.names import SinkName
from mainspring.ports.records import EventType, Run
from mainspring.ports.sinks import DEFAULT_SINK, DeadLetter, EventFilter, Sink

_FIVE: tuple[EventType, ...] = ("run.started", "stage.started", "stage.failed", "stage.retrying", "run.failed")


async def bury(world: World, run: Run, *numbers: int, sink: SinkName = DEFAULT_SINK) -> datetime:
    """Give up on these events; when that was."""
    lease_id = await relay_of(world, sink)
    dead = tuple((run.id, seq, f"error {seq}") for seq in numbers)
    await world.store.commit(Change(outbox=OutboxSettlement(sink=sink, lease_id=lease_id, dead=dead)))
    await world.store.release_relay(lease_id, sink)
    return world.clock.now()


def replay(*letters: DeadLetter) -> Change:
    """Have these wait again."""
    return Change(replays=tuple(Replayed(sink=one.sink, run_id=one.event.run_id, seq=one.event.seq) for one in letters))


def discard(*letters: DeadLetter) -> Change:
    """Have these gone."""
    return Change(replays=tuple(attrs.evolve(one, discarded=True) for one in replay(*letters).replays))


async def refused(world: World, change: Change) -> bool:
    """Whether the store refuses it."""
    try:
        await world.other.commit(change)
    except StaleChange:
        return True
    return False


class DeadLettersContract(PersistenceSuite):
    """What was given up on is kept, found, and waits again when it is asked for."""

    async def test_letters_are_found_by_every_filter(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT))
        one, two = await world.created(), await world.created()
        await write(world, one, *_FIVE)
        await write(world, two, "run.started")
        first = await bury(world, one, 1, 3)
        await world.advance(SECOND)
        second = await bury(world, two, 1, sink=AUDIT)
        letters = await world.other.dead_letters(10)
        assert [(row.sink, row.event.id, row.error, row.died_at) for row in letters] == [
            (DEFAULT_SINK, f"{one.id}/1", "error 1", first),
            (DEFAULT_SINK, f"{one.id}/3", "error 3", first),
            (AUDIT, f"{two.id}/1", "error 1", second),
        ]
        for where, expected in (
            (EventFilter(sink=AUDIT), [2]),
            (EventFilter(sink=SinkName("no such")), []),
            (EventFilter(run_id=one.id), [0, 1]),
            (EventFilter(run_id=one.id, seq=3), [1]),
            (EventFilter(types=("run.started",)), [0, 2]),
            (EventFilter(types=("stage.*", "run.completed")), [1]),
            (EventFilter(since=second), [2]),
            (EventFilter(before=second), [0, 1]),
            (EventFilter(sink=DEFAULT_SINK, types=("run.*",), before=second), [0]),
        ):
            assert await world.other.dead_letters(10, where) == [letters[place] for place in expected], where
        assert await world.other.dead_letters(1, EventFilter(run_id=one.id)) == letters[:1]

    async def test_a_letter_is_replayed_once(self) -> None:
        world = await self.world()
        run = await world.created()
        await write(world, run, "run.started", "run.completed")
        await bury(world, run, 1)
        (letter,) = await world.other.dead_letters(10)
        assert not await refused(world, replay(letter))
        assert await world.store.dead_letters(10) == []
        waiting = await world.store.unpublished(10)
        assert waiting[0] == attrs.evolve(letter.event, tries=0)
        assert [event.seq for event in waiting] == [1, 2]
        assert await refused(world, replay(letter))
        assert await world.store.unpublished(10) == waiting

    async def test_a_letter_that_is_discarded_is_gone_and_does_not_wait_again(self) -> None:
        world = await self.world()
        run = await world.created()
        await write(world, run, "run.started", "run.completed")
        await bury(world, run, 1, 2)
        one, two = await world.other.dead_letters(10)
        await world.store.commit(discard(one))
        assert await world.other.dead_letters(10) == [two]
        assert await world.other.unpublished(10) == []
        assert await refused(world, discard(one))
        assert await refused(world, replay(one))
        await world.store.commit(replay(two))
        assert [event.seq for event in await world.other.unpublished(10)] == [2]

    async def test_of_two_replays_at_once_one_is_refused(self) -> None:
        world = await self.world()
        run = await world.created()
        await write(world, run, *_FIVE)
        await bury(world, run, 1, 2, 3)
        one, two, three = await world.other.dead_letters(10)
        outcomes = await asyncio.gather(
            refused(world, replay(one, two)), refused(world, replay(two, three)), refused(world, replay(two))
        )
        assert sorted(outcomes) == [False, True, True]
        assert len(await world.store.waiting_events(10)) + len(await world.store.dead_letters(10)) == len(_FIVE)

    async def test_a_refused_replay_moves_none_of_its_letters(self) -> None:
        world = await self.world()
        run = await world.created()
        await write(world, run, "run.started", "run.completed")
        await bury(world, run, 1, 2)
        one, two = await world.other.dead_letters(10)
        await world.store.commit(replay(two))
        assert await refused(world, replay(one, two))
        assert await world.other.dead_letters(10) == [one]

    async def test_a_replayed_letter_comes_before_later_events_of_its_run(self) -> None:
        world = await self.world()
        run, another = await world.created(), await world.created()
        await write(world, run, *_FIVE)
        await write(world, another, "run.started")
        await bury(world, run, 2, 3)
        await world.store.commit(replay(*await world.other.dead_letters(10)))
        assert [event.seq for event in await world.other.unpublished(10) if event.run_id == run.id] == [1, 2, 3, 4, 5]
        await bury(world, run, 1, 2, 4, 5)
        await world.store.commit(replay(*await world.other.dead_letters(10)))
        await write(world, run, "run.cancelled")
        found = await world.other.unpublished(10)
        assert [event.seq for event in found if event.run_id == run.id] == [1, 2, 3, 4, 5, 6]

    async def test_a_replay_for_one_sink_leaves_the_others_alone(self) -> None:
        world = await self.world()
        await world.store.add_sink(Sink(name=AUDIT))
        run = await world.created()
        await write(world, run, "run.started")
        await bury(world, run, 1)
        await bury(world, run, 1, sink=AUDIT)
        (letter,) = await world.other.dead_letters(10, EventFilter(sink=AUDIT))
        await world.store.commit(replay(letter))
        assert [row.sink for row in await world.other.waiting_events(10)] == [AUDIT]
        assert [row.sink for row in await world.other.dead_letters(10)] == [DEFAULT_SINK]
