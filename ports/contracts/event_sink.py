"""The suite of EventSink: an answer for each event, in order, and no event overtakes one that was not taken."""

from datetime import UTC, datetime

from mainspring.ports.event_sink import EventSink
from mainspring.ports.names import RunId
from mainspring.ports.records import Event

ONE = RunId("019a0000-0000-7000-8000-000000000001")
TWO = RunId("019a0000-0000-7000-8000-000000000002")


def event(run_id: RunId, seq: int, data: str = "{}") -> Event:
    """An event that was committed."""
    return Event(run_id=run_id, seq=seq, type="stage.progress", at=datetime(2026, 1, 1, tzinfo=UTC), data=data)


class EventSinkContract:
    """What the relay may rely on."""

    #: ``refuse`` makes the sink fail one event.
    can_refuse = True

    async def open(self) -> EventSink:
        """A sink that took nothing yet."""
        raise NotImplementedError

    async def taken(self) -> list[Event]:
        """What arrived at the other side of the sink that ``open`` gave, in order of arrival."""
        raise NotImplementedError

    async def refuse(self, event_id: str) -> None:
        """From now on the sink fails that event; only asked if ``can_refuse``."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Close what the test opened, if it needs closing; to be called after each."""

    async def test_events_arrive_as_they_are_and_are_confirmed(self) -> None:
        sink = await self.open()
        events = [event(ONE, 1, '{"a":"\u2028\U0001f680"}'), event(TWO, 1), event(ONE, 2)]
        assert await sink.publish(events) == [None, None, None]
        assert sorted(await self.taken(), key=lambda taken: taken.id) == [events[0], events[2], events[1]]

    async def test_events_of_a_run_arrive_in_their_order(self) -> None:
        sink = await self.open()
        events = [event(ONE, seq) for seq in range(1, 51)]
        assert await sink.publish(events[:30]) == [None] * 30
        assert await sink.publish(events[30:]) == [None] * 20
        assert await self.taken() == events

    async def test_a_repeat_is_taken_again(self) -> None:
        sink = await self.open()
        assert await sink.publish([event(ONE, 1)]) == [None]
        assert await sink.publish([event(ONE, 1)]) == [None]
        assert {taken.id for taken in await self.taken()} == {event(ONE, 1).id}

    async def test_an_event_that_is_not_taken_holds_up_its_own_run_only(self) -> None:
        sink = await self.open()
        if not self.can_refuse:
            return
        await self.refuse(event(ONE, 2).id)
        answers = await sink.publish([event(ONE, 1), event(ONE, 2), event(TWO, 1), event(ONE, 3), event(TWO, 2)])
        assert [answer is None for answer in answers] == [True, False, True, False, True]
        assert [taken.seq for taken in await self.taken() if taken.run_id == ONE] == [1]
        assert [taken.seq for taken in await self.taken() if taken.run_id == TWO] == [1, 2]

    async def test_publishing_nothing_answers_nothing(self) -> None:
        sink = await self.open()
        assert await sink.publish([]) == []
