"""SQS as JobTransport and EventSink keeps the contracts: standard and FIFO queues, on two servers."""

import asyncio
from datetime import timedelta

import pytest

from mainspring.adapters.aws.sqs_event_sink import SqsEventSink
from mainspring.adapters.aws.sqs_job_transport import SqsJobTransport
from mainspring.ports.contracts.event_sink import EventSinkContract
from mainspring.ports.contracts.job_transport import JobTransportContract
from mainspring.ports.event_sink import EventSink
from mainspring.ports.job_transport import JobTransport
from mainspring.ports.records import Event
from tests.aws.queues import Queue, event_in
from tests.aws.sqs_faults import FaultySqs, Refused


class OnAQueue:
    """Makes a queue of the test's own."""

    suffix = ""

    @pytest.fixture(autouse=True, params=["moto", "ministack"])
    def _queue(self, request: pytest.FixtureRequest) -> None:
        self.queue = Queue.fresh(request.getfixturevalue(request.param), self.suffix)


class TestSqsJobTransport(OnAQueue, JobTransportContract):
    delays = timedelta(seconds=1)

    async def open(self) -> JobTransport:
        return SqsJobTransport(self.queue.url)


class TestSqsFifoJobTransport(OnAQueue, JobTransportContract):
    suffix = ".fifo"
    delays = None

    async def open(self) -> JobTransport:
        return SqsJobTransport(self.queue.url)


class TestSqsEventSink(OnAQueue, EventSinkContract):
    """These servers keep the order of a standard queue, too; AWS does not promise it."""

    async def open(self) -> EventSink:
        self.client = FaultySqs(self.queue.client)
        self.drained: list[Event] = []
        self.sink = SqsEventSink(self.queue.url, client=self.client)
        return self.sink

    async def taken(self) -> list[Event]:
        self.drained += [event_in(message) for message in await asyncio.to_thread(self.queue.drain)]
        return self.drained

    async def refuse(self, event_id: str) -> None:
        refused = Refused(f'"id":"{event_id}"', "InvalidMessageContents", senders_fault=True)
        self.client.next("send_message_batch", *[refused] * 10)

    async def finish(self) -> None:
        await self.sink.close()


class TestSqsFifoEventSink(TestSqsEventSink):
    suffix = ".fifo"
