"""What AWS does for a function behind a queue: polls, invokes with batches, deletes what was not returned; and ticks.

Each sandbox is a thread of its own with handlers of its own, as each is a process of its own there.
"""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import attrs

from mainspring import Workflow
from mainspring.hosts.execution.parts import Timing
from mainspring.serverless import serverless
from tests.aws.queues import Queue

SANDBOXES = 2
TIME_OUT = 7.0
"""Seconds an invocation may take."""


class Context:
    """What a handler is told of its invocation."""

    aws_request_id = "request"

    def __init__(self) -> None:
        self._until = time.monotonic() + TIME_OUT

    def get_remaining_time_in_millis(self) -> int:
        return int((self._until - time.monotonic()) * 1000)


@attrs.frozen
class Deployed:
    """Where a function's handlers find everything."""

    url: str
    blobs: str | None
    queue: Queue
    workflows: list[Workflow[Any, Any]]
    timing: Timing

    def sandbox(self) -> Any:
        """Handlers of a process of their own."""
        return serverless(
            self.url, workflows=self.workflows, transport=self.queue.url, blobs=self.blobs, timing=self.timing
        )


@contextmanager
def functions(deployed: Deployed) -> Generator[None]:
    """Functions at work while the block lasts.

    Raises:
        AssertionError: a handler raised.
    """
    stopping = threading.Event()
    errors: list[BaseException] = []

    def guarded(work: Any) -> None:
        app = deployed.sandbox()
        try:
            while not stopping.is_set():
                work(app)
        except BaseException as error:  # noqa: BLE001  told to the test below
            errors.append(error)
        finally:
            app.close()

    def poll(app: Any) -> None:
        client, address = deployed.queue.client, deployed.queue.address()
        answer = client.receive_message(QueueUrl=address, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        messages = answer.get("Messages", [])
        if not messages:
            return
        returned = app.sqs({"Records": [_record(message, deployed.queue.name) for message in messages]}, Context())
        back = {failure["itemIdentifier"] for failure in returned["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] in back:
                client.change_message_visibility(
                    QueueUrl=address, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=1
                )
            else:
                client.delete_message(QueueUrl=address, ReceiptHandle=message["ReceiptHandle"])

    def tick(app: Any) -> None:
        app.tick({}, Context())
        stopping.wait(0.2)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in (*[poll] * SANDBOXES, tick)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(TIME_OUT)
    assert not errors, errors


def _record(message: dict[str, Any], queue: str) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{queue}",
        "awsRegion": "us-east-1",
    }
