"""Buses and schedules for tests: a bus that leads into a queue, and what a schedule asks for."""

import json
from datetime import UTC, datetime
from typing import Any

import attrs

from mainspring.ports.records import Event
from tests.aws.queues import Queue, event_in
from tests.aws.servers import AwsServer

ROLE = "arn:aws:iam::123456789012:role/scheduler"


@attrs.frozen
class Bus:
    """A bus, and a queue into which a rule leads all of its events."""

    server: AwsServer
    name: str
    queue: Queue

    @classmethod
    def fresh(cls, server: AwsServer) -> "Bus":
        bus = cls(server, server.name("bus"), Queue.fresh(server))
        events = server.client("events")
        events.create_event_bus(Name=bus.name)
        pattern = json.dumps({"source": [{"prefix": ""}]})
        events.put_rule(Name=bus.name, EventBusName=bus.name, EventPattern=pattern)
        events.put_targets(Rule=bus.name, EventBusName=bus.name, Targets=[{"Id": "1", "Arn": arn_of(bus.queue)}])
        return bus

    @property
    def url(self) -> str:
        return self.server.url("eventbridge", self.name)

    def envelopes(self) -> list[dict[str, Any]]:
        """What the bus has handed on since the last look, in order of arrival."""
        return [json.loads(message["Body"]) for message in self.queue.drain()]

    def arrived(self) -> list[Event]:
        """The events in them."""
        return [event_in({"Body": json.dumps(envelope["detail"])}) for envelope in self.envelopes()]


def arn_of(queue: Queue) -> str:
    found = queue.client.get_queue_attributes(QueueUrl=queue.address(), AttributeNames=["QueueArn"])
    return str(found["Attributes"]["QueueArn"])


def asked_at(server: AwsServer, name: str, group: str = "default") -> datetime | None:
    """The moment for which a schedule of that name asks."""
    client = server.client("scheduler")
    try:
        found = client.get_schedule(Name=name, GroupName=group)
    except client.exceptions.ResourceNotFoundException:
        return None
    expression: str = found["ScheduleExpression"]
    return datetime.fromisoformat(expression.removeprefix("at(").removesuffix(")")).replace(tzinfo=UTC)
