"""What becomes of a message that is no pointer: it goes to the dead letter queue, as it is, with the reason beside it.

Rule: a message is deleted only once another queue has it. Without a dead letter queue, or when that does not take it,
the message is put off for an hour: whoever sent it may have taken our queue for another, and it costs next to nothing.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from mainspring.adapters.aws.sqs_queue import SqsQueue
from mainspring.ports.errors import PortError

PUT_OFF = 3_600
"""Seconds until a message that could not be set aside is looked at again."""

logger = structlog.get_logger("mainspring.transport")


async def set_aside(queue: SqsQueue, refused: Sequence[tuple[dict[str, Any], str]]) -> list[tuple[str, int | None]]:
    """Send messages to the dead letter queue; for each its receipt, and None if it is there now, else the seconds.

    Args:
        queue: where they came from.
        refused: each message as SQS gave it, and what is wrong with it.
    """
    try:
        place = await queue.dead_letter_url()
    except PortError as error:
        logger.warning("dead_letter_queue_not_found", queue=queue.name, error=str(error))
        place = None
    settled: list[tuple[str, int | None]] = []
    for message, reason in refused:
        moved = place is not None and await _moved(queue, place, message, reason)
        settled.append((message["ReceiptHandle"], None if moved else PUT_OFF))
    return settled


async def _moved(queue: SqsQueue, place: str, message: dict[str, Any], reason: str) -> bool:
    told: dict[str, Any] = {
        "MessageBody": message.get("Body", ""),
        "MessageAttributes": {"mainspring-refused": {"DataType": "String", "StringValue": reason}},
    }
    if queue.fifo:
        told |= {"MessageGroupId": "refused", "MessageDeduplicationId": message["MessageId"]}
    try:
        await queue.send_one(place, **told)
    except PortError as error:
        logger.warning("message_not_set_aside", queue=queue.name, message=message.get("MessageId"), error=str(error))
        return False
    return True
