"""A batch of SQS messages, as Lambda hands it over, and the answer that tells which must come again.

Rule: one message never spoils another: what is no pointer is returned by itself. Texts of messages are not logged.
"""

from collections.abc import Collection
from typing import Any

import attrs
import structlog

from mainspring.ports.messages import InvalidMessageError, read_pointer
from mainspring.ports.records import JobKey, Pointer

logger = structlog.get_logger("mainspring.serverless")

SOURCE = "aws:sqs"


@attrs.frozen(kw_only=True)
class Message:
    """One message of the batch."""

    id: str
    group: str | None  #: of a FIFO queue; None: order does not matter
    pointer: Pointer | None  #: None: it is none


@attrs.frozen(kw_only=True)
class Batch:
    """The messages, in the order in which they came."""

    messages: tuple[Message, ...]

    @property
    def pointers(self) -> list[Pointer]:
        """Those of the messages that are pointers."""
        return [message.pointer for message in self.messages if message.pointer is not None]

    def answer(self, again: Collection[JobKey]) -> dict[str, Any]:
        """The answer if the messages that point at these jobs must come again."""
        broken: set[str] = set()  #: groups of which one came back
        returned: list[str] = []
        for message in self.messages:
            if message.pointer is None or message.pointer.key in again or message.group in broken:
                returned.append(message.id)
                if message.group is not None:
                    broken.add(message.group)
        return {"batchItemFailures": [{"itemIdentifier": one} for one in returned]}


def read_batch(event: Any) -> Batch:
    """The batch of an invocation by SQS.

    Raises:
        InvalidMessageError: the event is no such batch; says what was expected.
    """
    records: Any = event.get("Records") if isinstance(event, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(records, list):
        found = f"found {type(event).__name__}" if not isinstance(event, dict) else "found none"
        msg = f"expected an event of SQS, an object with a list of Records; {found}. Is it another handler's?"
        raise InvalidMessageError(msg)
    return Batch(messages=tuple(_read(record) for record in records))  # pyright: ignore[reportUnknownVariableType]


def _read(record: Any) -> Message:
    fields = _object(record)
    name = fields.get("messageId")
    if not isinstance(name, str) or not name or fields.get("eventSource", SOURCE) != SOURCE:
        msg = f"expected records of {SOURCE}, each with a messageId; this event is another service's"
        raise InvalidMessageError(msg)
    pointer: Pointer | None = None
    try:
        body = fields.get("body")
        if not isinstance(body, str):
            raise InvalidMessageError("a pointer is a text")
        pointer = read_pointer(body)
    except InvalidMessageError as error:
        logger.warning("message_refused", message=name, reason=str(error))
    return Message(id=name, group=_group(fields), pointer=pointer)


def _group(fields: dict[str, Any]) -> str | None:
    """The message's group, in a queue that keeps the order of groups."""
    if not str(fields.get("eventSourceARN", "")).endswith(".fifo"):
        return None
    group = _object(fields.get("attributes")).get("MessageGroupId")
    return group if isinstance(group, str) else ""


def _object(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]
