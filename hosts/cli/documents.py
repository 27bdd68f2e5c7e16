"""Runs as JSON documents: what ``--json`` prints. Names are stable; moments are ISO 8601 in UTC, durations seconds."""

from datetime import datetime
from typing import Any

from mainspring.hosts.cli.reading import Instance, RunView, StageView
from mainspring.ports.records import Artifact, AttemptRecord, Failure, Polling, Run


def run_document(run: Run) -> dict[str, Any]:
    """A run without its payloads."""
    return {
        "run": run.id,
        "workflow": run.workflow,
        "version": run.version,
        "status": str(run.status),
        "key": run.key,
        "queue": run.queue,
        "priority": run.priority,
        "tags": list(run.tags),
        "created_at": moment(run.created_at),
        "start_at": moment(run.start_at),
        "started_at": moment(run.started_at),
        "finished_at": moment(run.finished_at),
        "deadline": moment(run.deadline),
        "seconds": seconds(run.started_at, run.finished_at),
        "cancel_reason": run.cancel_reason,
        "rerun_of": run.rerun_of,
        "rerun_from": run.rerun_from,
        "failure": failure_document(run.failure),
    }


def view_document(view: RunView) -> dict[str, Any]:
    """A run with its stages."""
    return {
        **run_document(view.run),
        "reruns": list(view.reruns),
        "at": moment(view.at),
        "stages": [_stage(stage) for stage in view.stages],
    }


def failure_document(failure: Failure | None) -> dict[str, Any] | None:
    """Why something failed; without its traceback."""
    if failure is None:
        return None
    return {"code": failure.code, "type": failure.type, "message": failure.message, "stage": failure.stage}


def moment(at: datetime | None) -> str | None:
    """ISO 8601."""
    return None if at is None else at.isoformat()


def seconds(begin: datetime | None, end: datetime | None) -> float | None:
    """What passed between two moments, if both are known."""
    return None if begin is None or end is None else round((end - begin).total_seconds(), 6)


def _stage(stage: StageView) -> dict[str, Any]:
    document: dict[str, Any] = {
        "stage": stage.id,
        "after": list(stage.after),
        "mapped": stage.mapped,
        "state": stage.state,
        "taken_over": stage.taken_over,
        "started_at": moment(stage.started_at),
        "finished_at": moment(stage.finished_at),
        "counts": dict(stage.counts),
        "instances": [_instance(one) for one in stage.instances],
        "tries": [_try(one) for one in stage.tries],
    }
    return document


def _instance(one: Instance) -> dict[str, Any]:
    progress = one.progress
    told = None if progress is None else {"done": progress.done, "total": progress.total, "message": progress.message}
    return {
        "index": one.index,
        "state": one.state,
        "attempt": one.attempt,
        "max_attempts": one.max_attempts,
        "worker": one.worker,
        "lease_until": moment(one.lease_until),
        "available_at": moment(one.available_at),
        "started_at": moment(one.started_at),
        "finished_at": moment(one.finished_at),
        "seconds": seconds(one.started_at, one.finished_at),
        "progress": told,
        "polling": _polling(one.polling),
        "failure": failure_document(one.failure),
        "artifacts": [artifact_document(artifact) for artifact in one.artifacts],
    }


def _polling(waits: Polling | None) -> dict[str, Any] | None:
    """What a stage waits for whose check is called again and again."""
    if waits is None:
        return None
    return {
        "since": moment(waits.since),
        "every": waits.every.total_seconds(),
        "until": moment(waits.until),
        "checks": waits.checks,
    }


def artifact_document(artifact: Artifact) -> dict[str, Any]:
    """An artifact without its content."""
    return {"name": artifact.name, "size": artifact.size, "media_type": artifact.media_type}


def _try(one: AttemptRecord) -> dict[str, Any]:
    return {
        "index": one.index,
        "attempt": one.attempt,
        "worker": one.worker,
        "started_at": moment(one.started_at),
        "ended_at": moment(one.ended_at),
        "failure": failure_document(one.failure),
    }
