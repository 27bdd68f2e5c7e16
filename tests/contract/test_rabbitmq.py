"""RabbitMQ under the contracts of JobTransport and EventSink."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from attrs import evolve

from mainspring.adapters.rabbitmq.event_sink import RabbitEventSink
from mainspring.adapters.rabbitmq.job_transport import RabbitJobTransport
from mainspring.ports.contracts.event_sink import EventSinkContract
from mainspring.ports.contracts.job_transport import JobTransportContract
from mainspring.ports.event_sink import EventSink
from mainspring.ports.records import Event
from tests.rabbitmq.looking import channel, taken_events
from tests.rabbitmq.server import RabbitServer


class TestRabbitJobTransport(JobTransportContract):
    delays = timedelta(milliseconds=400)

    @pytest.fixture(autouse=True)
    def _address(self, rabbit_queue: str) -> None:
        self.url = rabbit_queue

    async def open(self) -> RabbitJobTransport:
        return RabbitJobTransport(self.url)


class TestRabbitEventSink(EventSinkContract):
    """A queue is bound to the events of stages only. What is to be refused is given another type: no queue takes it."""

    @pytest.fixture(autouse=True)
    def _broker(self, rabbitmq: RabbitServer, rabbit_name: str) -> None:
        self.server, self.name = rabbitmq, rabbit_name
        self.refused: set[str] = set()
        self.arrived: list[Event] = []

    async def open(self) -> EventSink:
        self.sink = RabbitEventSink(self.server.url(exchange=self.name))
        await self.sink.ready()
        async with channel(self.server.address) as made:
            await made.queue_declare(self.name)
            await made.queue_bind(self.name, self.name, "stage.#")
        return self

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        return await self.sink.publish(
            [evolve(event, type="run.completed") if event.id in self.refused else event for event in events]
        )

    async def taken(self) -> list[Event]:
        self.arrived += await taken_events(self.server.address, self.name)
        return self.arrived

    async def refuse(self, event_id: str) -> None:
        self.refused.add(event_id)

    async def finish(self) -> None:
        await self.sink.close()
