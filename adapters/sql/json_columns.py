"""Parts of records that stand in one column, as JSON in ASCII.

Rule: fields that newer code may have added are left out when they are read.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from mainspring.adapters.sql.moments import from_micros, maybe_from_micros, span, to_micros
from mainspring.ports.records import Artifact, Polling


def artifacts_text(artifacts: Sequence[Artifact]) -> str | None:
    """Artifacts as JSON by their names; None if there are none."""
    if not artifacts:
        return None
    return json.dumps({one.name: {"blob": one.blob, "size": one.size, "type": one.media_type} for one in artifacts})


def read_artifacts(text: str) -> tuple[Artifact, ...]:
    """The artifacts in a column."""
    told: dict[str, Any] = json.loads(text)
    return tuple(
        Artifact(name=name, blob=one["blob"], size=one["size"], media_type=one["type"]) for name, one in told.items()
    )


def polling_text(polling: Polling | None) -> str | None:
    """What a stage waits for, as JSON; durations and moments in microseconds."""
    if polling is None:
        return None
    fields = {
        "state": polling.state,
        "every": span(polling.every),
        "since": to_micros(polling.since),
        "until": to_micros(polling.until),
        "checks": polling.checks,
    }
    return json.dumps(fields)


def read_polling(text: str) -> Polling:
    """What the stage in a row waits for."""
    fields: dict[str, Any] = json.loads(text)
    return Polling(
        state=fields["state"],
        every=timedelta(microseconds=fields["every"]),
        since=from_micros(fields["since"]),
        until=maybe_from_micros(fields["until"]),
        checks=fields["checks"],
    )
