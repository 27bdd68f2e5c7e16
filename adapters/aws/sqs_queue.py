"""A queue of SQS at its address: calls for up to ten messages at a time, and what the queue says of itself.

Rule: every message of a batch has an answer of its own. Those that failed in passing are sent again, without the rest.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from mainspring.adapters.aws.calls import AwsCalls, code_of, is_outage, is_passing, translated
from mainspring.adapters.aws.location import AwsLocation
from mainspring.ports.errors import MainspringError, PortError, SettingsError, UnavailableError
from mainspring.ports.event_sink import Untried

BATCH = 10
"""Messages of one call, at most: the service's limit."""

SMALL_MESSAGE = 256 * 1024
"""Bytes that every queue takes: of one message and of one batch."""

LARGE_BATCH = 1024 * 1024
"""Bytes of one batch, at most, for a queue that takes messages of more than ``SMALL_MESSAGE``."""

_NAME = re.compile(r"(?=.{1,80}\Z)[A-Za-z0-9_-]+(\.fifo)?")


def check_name(location: AwsLocation) -> None:
    """See that the name may be a queue's.

    Raises:
        SettingsError: it may not.
    """
    if _NAME.fullmatch(location.name) is None:
        msg = (
            f"expected sqs:// and a queue's name (letters, digits, _ and -; at its end .fifo); found {location.name!r}"
        )
        raise SettingsError(msg)


class SqsQueue:
    """One queue, for one event loop at a time."""

    def __init__(self, location: AwsLocation, calls: AwsCalls) -> None:
        """Nothing is asked of the service yet.

        Raises:
            SettingsError: the name cannot be a queue's.
        """
        check_name(location)
        self.name = location.name
        self.fifo = location.name.endswith(".fifo")
        self.calls = calls
        self._url: str | None = None
        self._largest: int | None = None

    async def url(self) -> str:
        """The address by which the service knows it.

        Raises:
            UnavailableError: there is no such queue, it is not ours, or the service does not answer.
        """
        if self._url is None:
            self._url = str((await self._ask("get_queue_url", QueueName=self.name))["QueueUrl"])
        return self._url

    async def attributes(self) -> dict[str, str]:
        """What the queue says of itself, now.

        Raises:
            UnavailableError: as ``url``.
        """
        answer = await self._ask("get_queue_attributes", QueueUrl=await self.url(), AttributeNames=["All"])
        found: dict[str, str] = answer.get("Attributes", {})
        return found

    async def largest_message(self) -> int:
        """Bytes of the largest message that it takes; a guess on the safe side where it does not tell."""
        if self._largest is None:
            try:
                self._largest = int((await self.attributes())["MaximumMessageSize"])
            except (PortError, KeyError):
                return SMALL_MESSAGE
        return self._largest

    async def dead_letter_url(self) -> str | None:
        """The address of its dead letter queue; None if it has none.

        Raises:
            UnavailableError: as ``url``.
        """
        _, _, arn = redrive(await self.attributes())
        if not arn:
            return None
        *_, account, name = arn.split(":")
        answer = await self._ask("get_queue_url", QueueName=name, QueueOwnerAWSAccountId=account)
        return str(answer["QueueUrl"])

    async def send_one(self, queue_url: str, **parameters: Any) -> None:
        """Send one message to any queue.

        Raises:
            UnavailableError: it was not taken.
        """
        await self._ask("send_message", QueueUrl=queue_url, **parameters)

    async def batches(self, operation: str, entries: Sequence[dict[str, Any]]) -> list[str | None]:
        """``batch`` for any number of entries, ten to a call, several calls at a time."""
        parts = [entries[start : start + BATCH] for start in range(0, len(entries), BATCH)]
        answers = await asyncio.gather(*(self.batch(operation, part) for part in parts))
        return [answer for part in answers for answer in part]

    async def batch(self, operation: str, entries: Sequence[dict[str, Any]]) -> list[str | None]:
        """For each of up to ten entries of the operation: None when it was done, else why not. Never raises those.

        ``Untried`` where the queue could not be reached.
        """
        left = dict(enumerate(entries))
        refused: dict[int, str] = {}

        def once(client: Any) -> None:
            asked = [{"Id": str(number), **entry} for number, entry in left.items()]
            answer = getattr(client, operation)(QueueUrl=url, Entries=asked)
            for done in answer.get("Successful", ()):
                left.pop(int(done["Id"]), None)
            for not_done in answer.get("Failed", ()):
                told = ClientError({"Error": not_done}, operation)
                if not_done.get("SenderFault", True) and not is_passing(told):
                    left.pop(int(not_done["Id"]), None)
                    refused[int(not_done["Id"])] = str(translated(told, self.calls.shown))
            if left:
                raise UnavailableError(f"{self.calls.shown} did not do {operation} for {len(left)} of {len(asked)}")

        try:
            url = await self.url()
            await self.calls.repeat(once)
        except (ClientError, MainspringError) as error:
            told = str(unavailable(error, self.calls.shown))
            reason = Untried(told) if is_outage(error) else told
            refused.update(dict.fromkeys(left, reason))
        return [refused.get(number) for number in range(len(entries))]

    async def _ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            return await self.calls.call(operation, **parameters)
        except (ClientError, MainspringError) as error:
            raise unavailable(error, self.calls.shown) from error

    def close(self) -> None:
        """Let go of threads and connections."""
        self.calls.close()


def unavailable(error: Exception, shown: str) -> MainspringError:
    """The error as one that may pass: credentials and queues that are not there may be there later."""
    if is_missing(error):
        return UnavailableError(f"{shown} does not exist in this region and account; create it, or mend the URL")
    told = translated(error, shown)
    return told if isinstance(told, PortError) else UnavailableError(str(told))


def is_missing(error: Exception) -> bool:
    """Whether the service knows no such queue."""
    return code_of(error).endswith(("NonExistentQueue", "QueueDoesNotExist"))


def redrive(attributes: dict[str, str]) -> tuple[bool, int, str]:
    """Whether a redrive policy is there, after how many receipts it takes a message, and the ARN where that goes."""
    try:
        policy: Any = json.loads(attributes.get("RedrivePolicy", ""))
        return True, int(policy["maxReceiveCount"]), str(policy["deadLetterTargetArn"])
    except (ValueError, TypeError, KeyError):
        return False, 0, ""
