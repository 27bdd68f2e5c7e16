"""Sinks on AWS end their batches before the relay gives them up: what was taken is known, the rest was not tried."""

import inspect
import json
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from mainspring.adapters.aws.eventbridge_sink import EventBridgeSink
from mainspring.adapters.aws.rounds import PATIENCE, in_rounds
from mainspring.adapters.aws.sqs_event_sink import SqsEventSink
from mainspring.hosts.upkeep import relay
from mainspring.ports.contracts.event_sink import ONE, TWO, event
from mainspring.ports.event_sink import EventSink, Untried
from mainspring.ports.names import RunId
from mainspring.ports.records import Event

URL = "{}?region=eu-central-1"
RUNS = [RunId(f"019a0000-0000-7000-8000-{number:012x}") for number in range(15)]


class Hanging:
    """A service that takes the first ten events, and answers no other call."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.first = threading.Lock()

    def get_queue_url(self, **_: Any) -> dict[str, Any]:
        return {"QueueUrl": "http://somewhere"}

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"MaximumMessageSize": str(256 * 1024)}}

    def send_message_batch(self, **asked: Any) -> dict[str, Any]:
        self._hang_unless(len(asked["Entries"]) == 10)
        return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]]}

    def put_events(self, **asked: Any) -> dict[str, Any]:
        self._hang_unless(len(asked["Entries"]) == 10)
        assert all(json.loads(entry["Detail"]) for entry in asked["Entries"])
        return {"Entries": [{"EventId": "1"} for _ in asked["Entries"]]}

    def close(self) -> None:
        self.over.set()

    def _hang_unless(self, good: bool) -> None:
        if not good:
            self.over.wait(30)


@pytest.fixture
def service() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.close()


def sinks(service: Hanging) -> list[EventSink]:
    return [
        SqsEventSink(URL.format("sqs://events"), patience=0.5, client=service),
        EventBridgeSink(URL.format("eventbridge://bus"), patience=0.5, client=service),
    ]


@pytest.mark.fault(36)
@pytest.mark.parametrize("which", [0, 1])
async def test_what_was_taken_before_the_service_hung_is_known_and_the_rest_was_not_tried(
    which: int, service: Hanging
) -> None:
    sink = sinks(service)[which]
    events = [event(run_id, 1) for run_id in RUNS] + [event(RUNS[0], 2), event(RUNS[-1], 2)]
    answers = await sink.publish(events)
    assert answers[:10] == [None] * 10
    assert [isinstance(answer, Untried) for answer in answers[10:15]] == [True] * 5
    assert None not in answers[15:], "no later round begins"


async def test_no_round_begins_once_the_patience_is_over() -> None:
    rounds: list[list[str]] = []

    async def publish(events: Sequence[Event], until: float) -> list[str | None]:
        rounds.append([one.id for one in events])
        return [None] * len(events)

    assert await in_rounds([event(ONE, 1), event(TWO, 1)], publish, patience=0.0) == [Untried("not tried")] * 2
    assert rounds == []


def test_the_patience_is_less_than_a_relay_s() -> None:
    length: timedelta = inspect.signature(relay.Relay).parameters["length"].default
    assert length.total_seconds() * relay.PATIENCE > PATIENCE
