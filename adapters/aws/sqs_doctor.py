"""Making a queue of SQS as Mainspring wants it, and examining one that somebody made.

Rule: an examination writes nothing and takes no message; making leaves a queue that is there as it is.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import attrs
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from mainspring.adapters.aws.calls import code_of, make_client
from mainspring.adapters.aws.location import AwsLocation, locate
from mainspring.adapters.aws.sqs_queue import check_name, is_missing, redrive, unavailable
from mainspring.ports.diagnosis import Check, failed, passed, warned

VISIBILITY = timedelta(seconds=60)
RETENTION = timedelta(days=4)
DEAD_RETENTION = timedelta(days=14)
RECEIPTS = 10
"""A message that came so often goes to the dead letter queue at the next receipt."""

_FEWEST_RECEIPTS = 5
_SHORTEST_VISIBILITY = timedelta(seconds=10)
_LONGEST_VISIBILITY = timedelta(minutes=15)

Attributes: TypeAlias = dict[str, str]


@attrs.frozen
class _Queue:
    name: str
    shown: str
    client: Any
    attributes: Attributes

    def length(self, name: str) -> timedelta:
        return timedelta(seconds=int(self.attributes.get(name, "0")))


def create_queue(url: str, *, client: Any = None) -> tuple[str, ...]:
    """Make the queue and its dead letter queue (``jobs-dead`` beside ``jobs``); the names of those that were made.

    Blocks for some round trips. One that is there already is left as it is: examine it.

    Args:
        url: ``sqs://queue?region=…&endpoint=…``.
        client: another than boto3's own.

    Raises:
        SettingsError: the URL names no queue, or no region is known.
        UnavailableError: the service refused it, or cannot be reached.
    """
    location = _located(url)
    asked = client or make_client("sqs", location)
    try:
        return tuple(_made(asked, location.name))
    except (ClientError, BotoCoreError) as error:
        raise unavailable(error, f"sqs {location.name!r}") from error
    finally:
        if client is None:
            asked.close()


def dead_letter_name(name: str) -> str:
    """The name of the dead letter queue that ``create_queue`` makes."""
    stem, fifo, _ = name.partition(".fifo")
    return f"{stem}-dead{fifo}"


def _made(client: Any, name: str) -> Iterator[str]:
    attributes: Attributes = {}
    if name.endswith(".fifo"):
        attributes = {
            "FifoQueue": "true",
            "ContentBasedDeduplication": "false",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
        }
    if _found(client, name):
        return
    dead = dead_letter_name(name)
    if not _found(client, dead):
        client.create_queue(QueueName=dead, Attributes={**attributes, "MessageRetentionPeriod": _text(DEAD_RETENTION)})
        yield dead
    dead_url = client.get_queue_url(QueueName=dead)["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    attributes |= {
        "VisibilityTimeout": _text(VISIBILITY),
        "MessageRetentionPeriod": _text(RETENTION),
        "ReceiveMessageWaitTimeSeconds": "20",
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIPTS}),
    }
    client.create_queue(QueueName=name, Attributes=attributes)
    yield name


def _found(client: Any, name: str) -> bool:
    try:
        client.get_queue_url(QueueName=name)
    except ClientError as error:
        if is_missing(error):
            return False
        raise
    return True


def _text(length: timedelta) -> str:
    return str(int(length.total_seconds()))


_Checking: TypeAlias = Callable[[_Queue], Check]


def examine_sqs(url: str, *, client: Any = None) -> list[Check]:
    """Look at a queue. Blocks for some round trips.

    Args:
        url: ``sqs://queue?region=…&endpoint=…``.
        client: another than boto3's own.

    Raises:
        SettingsError: the URL names no queue, or no region is known.
    """
    location = _located(url)
    shown = f"sqs {location.name!r}"
    asked = client or make_client("sqs", location)
    try:
        address = asked.get_queue_url(QueueName=location.name)["QueueUrl"]
        found: Attributes = asked.get_queue_attributes(QueueUrl=address, AttributeNames=["All"])["Attributes"]
        queue = _Queue(location.name, shown, asked, found)
        told = f"{shown}, about {found.get('ApproximateNumberOfMessages', '?')} messages"
        return [passed("reachable", told), *_examined(queue)]
    except (ClientError, BotoCoreError) as error:
        remedy = "create the queue, or check its name, region and endpoint, the credentials, and the right to use it"
        return [failed("reachable", str(unavailable(error, shown)), remedy)]
    finally:
        if client is None:
            asked.close()


def _located(url: str) -> AwsLocation:
    location = locate(url, "sqs")
    check_name(location)
    return location


def _examined(queue: _Queue) -> Iterator[Check]:
    for name, checking in _CHECKS.items():
        if name != "deduplication" or queue.name.endswith(".fifo"):
            yield checking(queue)


def _dead_letters(queue: _Queue) -> Check:
    there, receipts, arn = redrive(queue.attributes)
    if not there:
        remedy = (
            "set a redrive policy with maxReceiveCount = 10: messages that are broken circle until they are too old"
        )
        return warned("dead letters", "no redrive policy", remedy)
    *_, account, name = arn.split(":")
    told = f"to {name} after {receipts} receipts"
    if receipts < _FEWEST_RECEIPTS:
        remedy = f"set maxReceiveCount to {RECEIPTS}: pointers to sound jobs are given up on when workers are restarted"
        return warned("dead letters", told, remedy)
    try:
        address = queue.client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
        dead: Attributes = queue.client.get_queue_attributes(QueueUrl=address, AttributeNames=["All"])["Attributes"]
    except ClientError as error:
        remedy = "create it, or allow sqs:GetQueueUrl, sqs:GetQueueAttributes and sqs:SendMessage on it"
        return warned("dead letters", f"{told}; which cannot be looked at: {code_of(error)}", remedy)
    kept = timedelta(seconds=int(dead.get("MessageRetentionPeriod", "0")))
    if kept <= queue.length("MessageRetentionPeriod"):
        remedy = "set its MessageRetentionPeriod to 14 days: the age of a message goes on counting there"
        return warned("dead letters", f"{told}, kept for {kept} in all", remedy)
    return passed("dead letters", told)


def _visibility(queue: _Queue) -> Check:
    found = queue.length("VisibilityTimeout")
    told = f"a message is invisible for {found} after its receipt"
    if not found:
        remedy = f"set VisibilityTimeout to {_text(VISIBILITY)}: every message is delivered without end"
        return failed("visibility", told, remedy)
    if found < _SHORTEST_VISIBILITY:
        remedy = f"set VisibilityTimeout to {_text(VISIBILITY)}: messages come again before their job is claimed"
        return warned("visibility", told, remedy)
    if found > _LONGEST_VISIBILITY:
        remedy = f"set VisibilityTimeout to {_text(VISIBILITY)}: what a crashed process received comes again so late"
        return warned("visibility", told, remedy)
    return passed("visibility", told)


def _retention(queue: _Queue) -> Check:
    found = queue.length("MessageRetentionPeriod")
    told = f"messages are kept for {found}"
    if found < RETENTION:
        remedy = (
            f"set MessageRetentionPeriod to {_text(RETENTION)} or more: events that nobody read are lost after that"
        )
        return warned("retention", told, remedy)
    return passed("retention", told)


def _delay(queue: _Queue) -> Check:
    found = queue.length("DelaySeconds")
    if found:
        return warned("delay", f"every message is kept back for {found}", "set DelaySeconds to 0: jobs begin so late")
    return passed("delay", "messages are delivered at once")


def _deduplication(queue: _Queue) -> Check:
    if queue.attributes.get("ContentBasedDeduplication") == "true":
        remedy = "turn it off: Mainspring gives each message an id; what others send twice in 5 minutes is swallowed"
        return warned("deduplication", "by content", remedy)
    return passed("deduplication", "by id")


_CHECKS: dict[str, _Checking] = {
    "dead letters": _dead_letters,
    "visibility": _visibility,
    "retention": _retention,
    "delay": _delay,
    "deduplication": _deduplication,
}
