"""EventBridge as EventSink and Scheduler keeps the contracts, on two servers."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from mainspring.adapters.aws.eventbridge_scheduler import EventBridgeScheduler
from mainspring.adapters.aws.eventbridge_sink import EventBridgeSink
from mainspring.adapters.system import SystemClock
from mainspring.ports.contracts.event_sink import EventSinkContract
from mainspring.ports.contracts.scheduler import SchedulerContract
from mainspring.ports.event_sink import EventSink
from mainspring.ports.records import Event
from mainspring.ports.scheduler import Scheduler
from tests.aws.buses import ROLE, Bus, arn_of, asked_at
from tests.aws.faulty import Faulty
from tests.aws.queues import Queue
from tests.aws.servers import AwsServer


class Refusing(Faulty):
    """Some entries of a call are refused, as a bus does; the others are published."""

    def put_events(self, *, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803  boto3's name
        refused = {number for number, entry in enumerate(Entries) if any(one in entry["Detail"] for one in self.words)}
        passed = [entry for number, entry in enumerate(Entries) if number not in refused]
        said = iter(self.client.put_events(Entries=passed)["Entries"] if passed else ())
        refusal = {"ErrorCode": "MalformedDetail", "ErrorMessage": "said so"}
        return {"Entries": [refusal if number in refused else next(said) for number in range(len(Entries))]}

    words: frozenset[str] = frozenset()


class TestEventBridgeSink(EventSinkContract):
    """These servers hand on in order; AWS does not promise it."""

    @pytest.fixture(autouse=True, params=["moto", "ministack"])
    def _bus(self, request: pytest.FixtureRequest) -> None:
        self.bus = Bus.fresh(request.getfixturevalue(request.param))

    async def open(self) -> EventSink:
        self.arrived: list[Event] = []
        self.client = Refusing(self.bus.server.client("events"), {})
        self.sink = EventBridgeSink(self.bus.url, client=self.client)
        return self.sink

    async def taken(self) -> list[Event]:
        self.arrived += await asyncio.to_thread(self.bus.arrived)
        return self.arrived

    async def refuse(self, event_id: str) -> None:
        self.client.words |= {f'"id":"{event_id}"'}

    async def finish(self) -> None:
        await self.sink.close()


class TestEventBridgeScheduler(SchedulerContract):
    moment = datetime(2100, 1, 1, 12, tzinfo=UTC)

    @pytest.fixture(autouse=True, params=["moto", "ministack"])
    def _schedule(self, request: pytest.FixtureRequest) -> None:
        self.server: AwsServer = request.getfixturevalue(request.param)
        self.name = self.server.name("schedule")
        self.target = arn_of(Queue.fresh(self.server))

    async def open(self) -> Scheduler:
        url = self.server.url("scheduler", self.name, target=self.target, role=ROLE)
        self.scheduler = EventBridgeScheduler(url, SystemClock())
        return self.scheduler

    async def asked(self) -> datetime | None:
        return await asyncio.to_thread(asked_at, self.server, self.name)

    async def finish(self) -> None:
        await self.scheduler.close()
