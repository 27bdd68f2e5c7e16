"""What arrives by a bus, how much goes in one call, and what becomes of events that the bus does not take."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mainspring.adapters.aws.eventbridge_sink import MOST_BYTES, EventBridgeSink
from mainspring.ports.contracts.event_sink import ONE, TWO, event
from mainspring.ports.errors import SettingsError
from mainspring.ports.names import RunId
from tests.aws.buses import Bus
from tests.aws.faulty import Call, Faulty, Mishap, Sleeps, cut, cut_before, fails

Opened = Callable[..., tuple[EventBridgeSink, Faulty]]

SLOW = fails("ThrottlingException")


@pytest.fixture(params=["moto", "ministack"])
def bus(request: pytest.FixtureRequest) -> Bus:
    return Bus.fresh(request.getfixturevalue(request.param))


@pytest.fixture
async def opened(bus: Bus) -> AsyncIterator[Opened]:
    to_close: list[EventBridgeSink] = []

    def opened(*put_events: Mishap) -> tuple[EventBridgeSink, Faulty]:
        client = Faulty(bus.server.client("events"), {"put_events": list(put_events)})
        to_close.append(EventBridgeSink(bus.url, source="shop", sleep=Sleeps(), client=client))
        return to_close[-1], client

    yield opened
    for sink in to_close:
        await sink.close()


def as_it_is(call: Call) -> Any:
    return call()


def the_second_throttled(call: Call) -> Any:
    return {**call(), "Entries": [{"EventId": "1"}, {"ErrorCode": "ThrottlingException"}]}


def malformed(_: Call) -> Any:
    return {"Entries": [{"ErrorCode": "MalformedDetail", "ErrorMessage": "said so"}]}


def run(number: int) -> RunId:
    return RunId(f"019a0000-0000-7000-8000-{number:012x}")


async def test_an_event_arrives_as_a_cloud_event_with_its_type_source_and_time(bus: Bus, opened: Opened) -> None:
    sink, client = opened()
    assert await sink.publish([event(ONE, 1, '{"a":1}')]) == [None]
    (envelope,) = bus.envelopes()
    assert envelope["detail-type"] == "stage.progress"
    assert envelope["source"] == "shop"
    assert client.asked[0][1]["Entries"][0]["Time"] == event(ONE, 1).at
    detail = envelope["detail"]
    assert (detail["id"], detail["source"], detail["sequence"], detail["data"]) == (f"{ONE}/1", "shop", "1", {"a": 1})


async def test_events_of_many_runs_are_published_ten_to_a_call(bus: Bus, opened: Opened) -> None:
    sink, client = opened()
    events = [event(run(number), seq) for number in range(15) for seq in (1, 2)]
    assert await sink.publish(events) == [None] * 30
    assert sorted(len(asked["Entries"]) for _, asked in client.asked) == [5, 5, 10, 10]
    assert sorted(taken.id for taken in bus.arrived()) == sorted(one.id for one in events)


async def test_a_call_holds_no_more_than_the_service_takes(bus: Bus, opened: Opened) -> None:
    sink, client = opened()
    large = '"' + "x" * 100_000 + '"'
    assert await sink.publish([event(run(number), 1, large) for number in range(4)]) == [None] * 4
    assert [len(asked["Entries"]) for _, asked in client.asked] == [2, 2]
    assert len(bus.arrived()) == 4


async def test_an_event_too_large_for_the_service_is_refused_and_holds_up_its_run_only(
    bus: Bus, opened: Opened
) -> None:
    sink, _ = opened()
    answers = await sink.publish([event(ONE, 1, '"' + "x" * MOST_BYTES + '"'), event(ONE, 2), event(TWO, 1)])
    assert answers[0] is not None
    assert f"at most {MOST_BYTES}" in answers[0]
    assert answers[1:] == [f"held up by event {ONE}/1, which was refused", None]
    assert [taken.run_id for taken in bus.arrived()] == [TWO]


async def test_a_call_that_is_throttled_is_made_again(bus: Bus, opened: Opened) -> None:
    sink, client = opened(SLOW, cut_before)
    assert await sink.publish([event(ONE, 1)]) == [None]
    assert client.calls["put_events"] == 3
    assert len(bus.arrived()) == 1


async def test_only_the_entries_that_were_throttled_are_sent_again(bus: Bus, opened: Opened) -> None:
    sink, client = opened(the_second_throttled)
    assert await sink.publish([event(ONE, 1), event(TWO, 1)]) == [None, None]
    assert [len(asked["Entries"]) for _, asked in client.asked] == [2, 1]
    assert TWO in client.asked[1][1]["Entries"][0]["Detail"]


@pytest.mark.fault(38)
async def test_a_lost_confirmation_makes_a_repeat_with_the_same_id(bus: Bus, opened: Opened) -> None:
    sink, _ = opened(cut)
    assert await sink.publish([event(ONE, 1)]) == [None]
    assert [taken.id for taken in bus.arrived()] == [f"{ONE}/1"] * 2


async def test_a_bus_that_stays_busy_has_taken_nothing_and_later_events_wait(bus: Bus, opened: Opened) -> None:
    sink, client = opened(*[SLOW] * 5)
    answers = await sink.publish([event(ONE, 1), event(ONE, 2)])
    assert answers[0] is not None
    assert "ThrottlingException" in answers[0]
    assert answers[1] == f"held up by event {ONE}/1, which was refused"
    assert client.calls["put_events"] == 5
    assert bus.arrived() == []


async def test_what_was_taken_before_an_outage_is_confirmed(bus: Bus, opened: Opened) -> None:
    sink, _ = opened(as_it_is, *[cut_before] * 5)
    answers = await sink.publish([event(ONE, 1), event(ONE, 2), event(ONE, 3)])
    assert [answer is None for answer in answers] == [True, False, False]
    assert [taken.seq for taken in bus.arrived()] == [1]


async def test_an_entry_refused_for_good_is_told_with_the_reason(bus: Bus, opened: Opened) -> None:
    sink, client = opened(malformed)
    (answer,) = await sink.publish([event(ONE, 1)])
    assert answer == f"events {bus.name!r}: MalformedDetail: said so"
    assert client.calls["put_events"] == 1


async def test_a_closed_sink_takes_nothing(opened: Opened) -> None:
    sink, _ = opened()
    await sink.close()
    (answer,) = await sink.publish([event(ONE, 1)])
    assert answer is not None
    assert "closed" in answer


@pytest.mark.parametrize("url", ["eventbridge://", "eventbridge://bus/path", "sqs://bus", "eventbridge://a:b@bus"])
def test_a_url_of_another_form_is_refused(url: str, aws_environment: None) -> None:
    with pytest.raises(SettingsError):
        EventBridgeSink(url)
