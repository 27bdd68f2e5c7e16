"""A queue that takes a call and never answers: who sends is told in time, for the job is on record."""

import asyncio
import threading
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from mainspring.adapters.aws.sqs_job_transport import SqsJobTransport
from mainspring.ports.errors import UnavailableError
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Pointer

POINTER = Pointer(run_id=RunId("019a0000-0000-7000-8000-000000000001"), stage=StageId("hello"))


class Silent:
    """A client whose calls do not return until the test is over."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def get_queue_url(self, **_: Any) -> dict[str, str]:
        return {"QueueUrl": "https://queue"}

    def send_message_batch(self, **_: Any) -> dict[str, Any]:
        self.over.wait()
        return {}

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def silent() -> Generator[Silent]:
    client = Silent()
    yield client
    client.over.set()


@pytest.mark.fault(35)
@pytest.mark.parametrize("after", [timedelta(0), timedelta(seconds=1)])
async def test_a_message_that_is_not_answered_is_given_up(silent: Silent, after: timedelta) -> None:
    transport = SqsJobTransport("sqs://jobs?region=eu-central-1", client=silent, patience=0.05)
    async with asyncio.timeout(5):
        with pytest.raises(UnavailableError, match=r"jobs did not answer for 0\.05 s"):
            await transport.send([POINTER], after)
    silent.over.set()
    await transport.close()
