"""dead_letter.replay: each letter once, whoever asks and however often."""

from datetime import timedelta

import attrs
import pytest

from mainspring.adapters.memory import Fault, ManualClock, MemoryPersistence, SeededIds
from mainspring.kernel.commands.dead_letter_replay import MOST, ReplayDeadLetters, decide
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.change import Change, OutboxSettlement, Replayed
from mainspring.ports.contracts.world import World
from mainspring.ports.errors import UnknownOutcomeError
from mainspring.ports.records import Run
from mainspring.ports.sinks import DEFAULT_SINK, DeadLetter, EventFilter, Sink
from tests.kernel_records import FACTS

HOUR = timedelta(hours=1)


@attrs.frozen
class Site:
    """A store in which all events of some runs were given up on."""

    world: World
    runs: list[Run]
    clock: ManualClock

    def dispatcher(self, store: MemoryPersistence | None = None) -> Dispatcher:
        return Dispatcher(store or self.world.store, self.clock, SeededIds(self.clock, 9))


@pytest.fixture
async def site() -> Site:
    clock = ManualClock()
    store = MemoryPersistence(clock, SeededIds(clock, 1))

    async def advance(by: timedelta) -> None:
        clock.advance(by)

    world = World(store=store, other=store.another(), clock=clock, advance=advance)
    await store.add_sink(Sink())
    runs = [await world.created() for _ in range(3)]
    lease_id = world.lease_id()
    await store.lease_relay(lease_id, HOUR)
    for run in runs:
        await store.commit(Change(events=(world.event(run), world.event(run))))
        dead = ((run.id, 1, "no"), (run.id, 2, "no"))
        await store.commit(Change(outbox=OutboxSettlement(lease_id=lease_id, dead=dead)))
    return Site(world, runs, clock)


@pytest.mark.fault(47)
async def test_a_second_replay_moves_none(site: Site) -> None:
    dispatcher = site.dispatcher()
    first = await dispatcher.dispatch(ReplayDeadLetters())
    second = await dispatcher.dispatch(ReplayDeadLetters())
    assert (len(first.letters), len(second.letters)) == (6, 0)
    assert len(await site.world.other.unpublished(10)) == 6


@pytest.mark.fault(47)
async def test_of_two_replays_beside_each_other_each_is_told_of_what_it_moved_itself(site: Site) -> None:
    assert isinstance(site.world.store, MemoryPersistence)
    run = site.runs[1]

    async def overtaken(name: str) -> None:
        if name == "commit:before" and await site.world.other.dead_letters(9, EventFilter(run_id=run.id)):
            moved = await site.dispatcher().dispatch(ReplayDeadLetters(where=EventFilter(run_id=run.id)))
            assert len(moved.letters) == 2

    answer = await site.dispatcher(site.world.store.another(overtaken)).dispatch(ReplayDeadLetters())
    assert {letter.event.run_id for letter in answer.letters} == {site.runs[0].id, site.runs[2].id}
    assert len(await site.world.other.unpublished(10)) == 6


async def test_a_replay_that_was_written_though_nobody_could_tell_is_not_written_again(site: Site) -> None:
    assert isinstance(site.world.store, MemoryPersistence)
    lost = Fault("commit:after", UnknownOutcomeError("lost"))
    answer = await site.dispatcher(site.world.store.another(lost)).dispatch(ReplayDeadLetters())
    assert lost.met
    assert answer.letters == ()
    assert len(await site.world.other.unpublished(10)) == 6


@pytest.mark.fault(48)
async def test_an_event_whose_run_is_gone_is_replayed_all_the_same(site: Site) -> None:
    assert isinstance(site.world.store, MemoryPersistence)
    site.world.store.store.runs.write(site.runs[0].id, None)
    answer = await site.dispatcher().dispatch(ReplayDeadLetters(where=EventFilter(run_id=site.runs[0].id)))
    assert len(answer.letters) == 2
    assert [event.seq for event in await site.world.other.unpublished(10)] == [1, 2]


async def test_no_more_are_replayed_than_asked_for_the_oldest_first(site: Site) -> None:
    answer = await site.dispatcher().dispatch(ReplayDeadLetters(limit=3))
    assert [letter.event.id for letter in answer.letters] == [
        f"{site.runs[0].id}/1",
        f"{site.runs[0].id}/2",
        f"{site.runs[1].id}/1",
    ]
    assert len(await site.world.other.dead_letters(MOST)) == 3


async def test_letters_of_the_named_types_and_moments_only(site: Site) -> None:
    dispatcher = site.dispatcher()
    for where in (
        EventFilter(types=("no.such",)),
        EventFilter(before=site.clock.now()),
        EventFilter(since=site.clock.now() + HOUR),
    ):
        assert (await dispatcher.dispatch(ReplayDeadLetters(where=where))).letters == ()
    assert len(await site.world.other.dead_letters(MOST)) == 6


@pytest.mark.fault(47)
async def test_letters_that_are_discarded_are_gone_once_and_for_all(site: Site) -> None:
    dispatcher, of_one = site.dispatcher(), EventFilter(run_id=site.runs[0].id)
    first = await dispatcher.dispatch(ReplayDeadLetters(where=of_one, discard=True))
    second = await dispatcher.dispatch(ReplayDeadLetters(where=of_one))
    assert (len(first.letters), len(second.letters)) == (2, 0)
    assert await site.world.other.unpublished(10) == []
    assert len(await site.world.other.dead_letters(MOST)) == 4


async def test_the_change_names_every_letter_and_nothing_else(site: Site) -> None:
    letters: list[DeadLetter] = await site.world.other.dead_letters(2)
    decision = decide(ReplayDeadLetters(), letters, FACTS)
    run_id = site.runs[0].id
    assert decision.change == Change(
        replays=tuple(Replayed(sink=DEFAULT_SINK, run_id=run_id, seq=seq) for seq in (1, 2))
    )
    assert decide(ReplayDeadLetters(), [], FACTS).change is None
