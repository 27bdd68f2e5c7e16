"""Drafts of lifecycle events. Their data are fields of our own; payloads never enter an event."""

import json
from datetime import datetime

from mainspring.ports.names import RunId
from mainspring.ports.records import EventDraft, EventType, Failure, JobKey


def run_event(kind: EventType, run_id: RunId, at: datetime, **data: object) -> EventDraft:
    """An event of a run."""
    return EventDraft(run_id=run_id, type=kind, at=at, data=_text(data))


def stage_event(kind: EventType, key: JobKey, at: datetime, **data: object) -> EventDraft:
    """An event of a stage's instance."""
    return EventDraft(run_id=key.run_id, type=kind, at=at, data=_text({"stage": key.stage, "index": key.index} | data))


def failure_data(failure: Failure) -> dict[str, object]:
    """What an event tells of a failure: never its traceback or details."""
    return {"code": failure.code, "message": failure.message, "type": failure.type}


def _text(data: dict[str, object]) -> str:
    return json.dumps(data, separators=(",", ":"), sort_keys=True) if data else "{}"
