"""Drafts of lifecycle events. Their data are fields of our own; payloads never enter an event."""

import json
from datetime import datetime
from functools import lru_cache

from mainspring.ports.names import RunId
from mainspring.ports.records import EventDraft, EventType, Failure, JobKey

_ENCODE = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def run_event(kind: EventType, run_id: RunId, at: datetime, **data: object) -> EventDraft:
    """An event of a run."""
    return EventDraft(run_id=run_id, type=kind, at=at, data=_text(tuple(data.items())) if data else "{}")


def stage_event(kind: EventType, key: JobKey, at: datetime, **data: object) -> EventDraft:
    """An event of a stage's instance."""
    told = (("stage", key.stage), ("index", key.index), *data.items())
    return EventDraft(run_id=key.run_id, type=kind, at=at, data=_text(told))


def failure_data(failure: Failure) -> dict[str, object]:
    """What an event tells of a failure: never its traceback or details."""
    return {"code": failure.code, "message": failure.message, "type": failure.type}


@lru_cache(maxsize=512)
def _text(fields: tuple[tuple[str, object], ...]) -> str:
    """The fields as JSON text; remembered, because linear runs of a workflow tell the same of each of their stages."""
    return _ENCODE(dict(fields))
