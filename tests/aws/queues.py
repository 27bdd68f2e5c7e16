"""Queues for tests: one of the test's own at a server, and what is in it."""

import json
from datetime import datetime
from typing import Any

import attrs

from mainspring.adapters.aws.sqs_doctor import create_queue, dead_letter_name
from mainspring.ports.messages import write_pointer
from mainspring.ports.records import Event, Pointer
from tests.aws.servers import AwsServer


@attrs.frozen
class Queue:
    """A queue with its dead letter queue, as Mainspring makes them."""

    server: AwsServer
    name: str

    @classmethod
    def fresh(cls, server: AwsServer, suffix: str = "", **attributes: str) -> "Queue":
        """One under a name of its own; attributes are set to other values than Mainspring's."""
        queue = cls(server, server.name("jobs") + suffix)
        create_queue(queue.url)
        if attributes:
            queue.set(**attributes)
        return queue

    @property
    def url(self) -> str:
        return self.server.url("sqs", self.name)

    @property
    def dead(self) -> "Queue":
        return Queue(self.server, dead_letter_name(self.name))

    @property
    def client(self) -> Any:
        return self.server.client("sqs")

    def address(self) -> str:
        return str(self.client.get_queue_url(QueueName=self.name)["QueueUrl"])

    def arn(self) -> str:
        found = self.client.get_queue_attributes(QueueUrl=self.address(), AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    def set(self, **attributes: str) -> None:
        """Change what the queue says of itself."""
        self.client.set_queue_attributes(QueueUrl=self.address(), Attributes=attributes)

    def put(self, body: str, **more: Any) -> None:
        """A message from somebody else."""
        self.client.send_message(QueueUrl=self.address(), MessageBody=body, **more)

    def put_pointer(self, pointer: Pointer) -> None:
        """A pointer from another process."""
        self.put(write_pointer(pointer))

    def drain(self, wait: int = 0) -> list[dict[str, Any]]:
        """Take out all messages that are to be seen, waiting seconds for the first."""
        address, found = self.address(), list[dict[str, Any]]()
        while messages := self.client.receive_message(
            QueueUrl=address,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait if not found else 0,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", []):
            for message in messages:
                self.client.delete_message(QueueUrl=address, ReceiptHandle=message["ReceiptHandle"])
            found += messages
        return found


def event_in(message: dict[str, Any]) -> Event:
    """The event that a CloudEvent tells of."""
    told = json.loads(message["Body"])
    return Event(
        run_id=told["subject"],
        seq=int(told["sequence"]),
        type=told["type"].removeprefix("mainspring."),
        at=datetime.fromisoformat(told["time"]),
        data=json.dumps(told["data"], ensure_ascii=False, separators=(",", ":")),
    )
