"""What events at RabbitMQ promise beyond the contract."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable

import pytest
from attrs import evolve

from mainspring.adapters.rabbitmq.event_sink import RabbitEventSink
from mainspring.adapters.rabbitmq.link import Timing
from mainspring.ports.contracts.event_sink import ONE, TWO, event
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.event_sink import Untried
from mainspring.ports.names import RunId
from tests.postgres.daemons import free_port
from tests.rabbitmq.looking import channel, take, taken_events
from tests.rabbitmq.proxy import proxied
from tests.rabbitmq.server import RabbitServer

Opening = Callable[..., RabbitEventSink]


@pytest.fixture
async def opening(rabbitmq: RabbitServer, rabbit_name: str) -> AsyncGenerator[Opening]:
    """Makes sinks on the test's exchange; closes them."""
    opened: list[RabbitEventSink] = []

    def make(address: str = "", *, timing: Timing | None = None, **options: str) -> RabbitEventSink:
        server = RabbitServer(address or rabbitmq.address)
        opened.append(RabbitEventSink(server.url(exchange=rabbit_name, **options), timing=timing))
        return opened[-1]

    yield make
    for sink in opened:
        await sink.close()


@pytest.mark.fault(39)
async def test_an_event_that_no_queue_takes_is_not_taken_and_says_how_to_bind_one(opening: Opening) -> None:
    (answer,) = await opening().publish([event(ONE, 1)])
    assert answer is not None
    assert "no queue is bound for 'stage.progress'" in answer
    assert "queue=name" in answer


@pytest.mark.fault(36)
async def test_a_queue_that_is_full_is_not_held_against_the_event(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    sink = opening()
    await sink.ready()
    async with channel(rabbitmq.address) as made:
        await made.queue_declare(
            rabbit_name, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}, exclusive=True
        )
        await made.queue_bind(rabbit_name, rabbit_name, "#")
        assert await sink.publish([event(ONE, 1)]) == [None]
        (answer,) = await sink.publish([event(TWO, 1)])
    assert isinstance(answer, Untried)
    assert "would not keep" in answer


async def test_events_that_no_queue_takes_may_be_let_go(opening: Opening) -> None:
    assert await opening(mandatory="false").publish([event(ONE, 1)]) == [None]


async def test_a_queue_for_all_events_is_made_on_request(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    sink = opening(queue=rabbit_name)
    events = [event(ONE, 1), evolve(event(ONE, 2), type="run.completed")]
    assert await sink.publish(events) == [None, None]
    assert await taken_events(rabbitmq.address, rabbit_name) == events


async def test_a_message_is_a_cloud_event_that_is_known_by_its_id_and_outlives_the_broker(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    await opening(queue=rabbit_name).publish([event(ONE, 1, '{"a":1}')])
    (message,) = await take(rabbitmq.address, rabbit_name, 1)
    properties = message.header.properties
    assert (properties.message_id, properties.delivery_mode) == (f"{ONE}/1", 2)
    assert properties.content_type == "application/cloudevents+json; charset=utf-8"
    assert message.routing_key == "stage.progress"
    assert json.loads(message.body)["data"] == {"a": 1}


@pytest.mark.fault(38)
async def test_after_a_lost_confirmation_a_run_waits_and_nothing_is_lost(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    async with proxied(rabbitmq.address) as way:
        sink = opening(way.url, timing=Timing(patience=0.5), queue=rabbit_name)
        assert await sink.publish([event(ONE, 1)]) == [None]
        way.swallow_answers()
        answers = await sink.publish([event(ONE, 2), event(ONE, 3), event(TWO, 1)])
        assert all(answers)
        assert answers[1] is not None
        assert f"event {ONE}/2 of its run was not taken" in answers[1]
    there = await taken_events(rabbitmq.address, rabbit_name)
    assert [taken.seq for taken in there if taken.run_id == ONE] == [1, 2]
    assert await opening(queue=rabbit_name).publish([event(ONE, 2), event(ONE, 3)]) == [None, None]
    assert [taken.seq for taken in await taken_events(rabbitmq.address, rabbit_name)] == [2, 3]


@pytest.mark.fault(36)
async def test_without_a_broker_nothing_is_published_and_the_call_says_so(opening: Opening) -> None:
    sink = opening(f"amqp://me:secret@127.0.0.1:{free_port()}/", timing=Timing(patience=0.2))
    with pytest.raises(UnavailableError, match=r"cannot be used") as told:
        await sink.publish([event(ONE, 1)])
    assert "secret" not in str(told.value)


async def test_an_exchange_of_another_kind_is_refused(
    opening: Opening, rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    async with channel(rabbitmq.address) as made:
        await made.exchange_declare(rabbit_name, exchange_type="fanout", durable=True)
    with pytest.raises(SettingsError, match=r"inequivalent arg 'type'.*received 'topic' but current is 'fanout'"):
        await opening().ready()


async def test_runs_do_not_wait_for_each_other(opening: Opening, rabbitmq: RabbitServer, rabbit_name: str) -> None:
    async with proxied(rabbitmq.address) as way:
        sink = opening(way.url, timing=Timing(patience=30.0, answer=30.0), queue=rabbit_name)
        session = await sink.link.session()
        way.hold_answers()
        runs = [evolve(event(ONE, 1), run_id=RunId(f"{ONE[:-2]}{number:02x}")) for number in range(50)]
        publishing = asyncio.create_task(sink.publish([*runs, *(evolve(first, seq=2) for first in runs)]))
        async with asyncio.timeout(30):
            while session.unconfirmed < 50:
                await asyncio.sleep(0)
        way.pass_on()
        assert await publishing == [None] * 100
        await sink.close()
