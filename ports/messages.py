"""The text that goes over queues: pointers to jobs, and events in the form of CloudEvents 1.0.

A message carries no payload and no name of anything to import. Reading one is strict: what is not exactly of the form
is refused, however it came there.
"""

import json
import re
from typing import Any, cast

from mainspring.ports.errors import CommandError
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Event, Pointer

LONGEST_POINTER = 1024
"""Bytes; every pointer that Mainspring writes is shorter."""

MOST_INSTANCES = 10_000_000
"""No mapped stage is wider; a greater index was not written by Mainspring."""

_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STAGE_ID = re.compile(r"[A-Za-z0-9~_][A-Za-z0-9._~-]{0,199}")
_FIELDS = {"mainspring", "run", "stage", "index"}


class InvalidMessageError(CommandError):
    """A message is not of the form that Mainspring writes. The text of the message is not repeated."""


def write_pointer(pointer: Pointer) -> str:
    """The pointer as a message: JSON, ASCII, one line."""
    return json.dumps(
        {"mainspring": 1, "run": pointer.run_id, "stage": pointer.stage, "index": pointer.index},
        separators=(",", ":"),
    )


def read_pointer(message: str | bytes) -> Pointer:
    """The pointer of a message.

    Raises:
        InvalidMessageError: it is not exactly what ``write_pointer`` makes; says what is wrong.
    """
    if len(message) > LONGEST_POINTER:
        msg = f"a pointer is at most {LONGEST_POINTER} bytes long; this message has {len(message)}"
        raise InvalidMessageError(msg)
    try:
        found: Any = json.loads(message, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise InvalidMessageError("a pointer is a JSON object; this message is no JSON") from error
    fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if set(fields) != _FIELDS:
        msg = f"a pointer is a JSON object with exactly the fields {', '.join(sorted(_FIELDS))}"
        raise InvalidMessageError(msg)
    version, run, stage, index = fields["mainspring"], fields["run"], fields["stage"], fields["index"]
    if type(version) is not int or version != 1:
        raise InvalidMessageError("a pointer's field mainspring tells its version: 1")
    if not isinstance(run, str) or _RUN_ID.fullmatch(run) is None:
        raise InvalidMessageError("a pointer's run is a UUID in lower case")
    if not isinstance(stage, str) or _STAGE_ID.fullmatch(stage) is None:
        raise InvalidMessageError("a pointer's stage is a stage's id")
    if type(index) is not int or not 0 <= index < MOST_INSTANCES:
        msg = f"a pointer's index is a whole number from 0 to {MOST_INSTANCES - 1}"
        raise InvalidMessageError(msg)
    return Pointer(run_id=RunId(run), stage=StageId(stage), index=index)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def write_event(event: Event, source: str = "mainspring") -> str:
    """The event as a CloudEvent in structured JSON form, ASCII, one line.

    ``id`` is the event's own (``<run id>/<seq>``): consumers recognise a repeat by ``source`` and ``id``. ``subject``
    and ``partitionkey`` are the run's id; ``sequence`` is the event's number in its run, without gaps.
    """
    head = {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": f"mainspring.{event.type}",
        "subject": event.run_id,
        "time": event.at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "partitionkey": event.run_id,
        "sequence": str(event.seq),
        "data": json.loads(event.data),
    }
    return json.dumps(head, separators=(",", ":"))
