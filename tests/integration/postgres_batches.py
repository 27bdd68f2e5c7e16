"""Batches as a busy worker makes them, for the store of :mod:`tests.integration.postgres_plans`: 100 Changes each."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from mainspring.ports.change import Change, JobMove, LeaseGuard, Progress, RunPatch, Wake
from mainspring.ports.names import (
    Fingerprint,
    LeaseId,
    Payload,
    Route,
    RunId,
    SignalId,
    StageId,
    Version,
    WorkerId,
    WorkflowId,
)
from mainspring.ports.records import (
    EventDraft,
    Job,
    JobKey,
    Run,
    RunStatus,
    Signal,
    StageRecord,
    StageStatus,
)
from tests.integration.postgres_plans import run_id
from tests.integration.postgres_stores import rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HELLO = StageId("hello")


def _leased(url: str) -> list[tuple[JobKey, LeaseId]]:
    asked = "select run_id::text, lease_id::text from jobs where lease_id is not null order by 1 limit 100"
    return [(JobKey(RunId(row[0]), HELLO), LeaseId(row[1])) for row in rows(url, asked)]


def _event(of: RunId) -> EventDraft:
    return EventDraft(run_id=of, type="stage.completed", at=NOW, data="{}")


def _stage(key: JobKey) -> StageRecord:
    return StageRecord(
        run_id=key.run_id,
        stage=key.stage,
        index=0,
        status=StageStatus.COMPLETED,
        attempt=1,
        worker=WorkerId("w"),
        started_at=NOW,
        finished_at=NOW,
        output=Payload("1"),
        failure=None,
    )


def starts(_: str) -> list[Change]:
    """Runs created, with their first jobs."""
    return [_start(30_000 + number) for number in range(100)]


def _start(number: int) -> Change:
    run = Run(
        id=RunId(run_id(number)),
        workflow=WorkflowId("greet"),
        version=Version("1"),
        fingerprint=Fingerprint("f"),
        queue="default",
        status=RunStatus.PENDING,
        revision=0,
        priority=0,
        key=f"key {number}",
        request_hash="hash",
        input=Payload("1"),
        config=None,
        tags=("a tag",),
        metadata=None,
        created_at=NOW,
        start_at=None,
        started_at=None,
        finished_at=None,
        deadline=None,
        output=None,
        failure=None,
    )
    job = Job(run_id=run.id, stage=HELLO, route=Route("served"), available_at=NOW)
    return Change(create=run, jobs=(job,), events=(_event(run.id),))


def hand_overs(url: str) -> list[Change]:
    """Stages that end and hand over to the next one."""
    return [
        Change(
            run=RunPatch(run_id=key.run_id, revision=0),
            leases=(LeaseGuard(key=key, lease_id=lease_id),),
            stages=(_stage(key),),
            job_moves=(_move(key),),
            events=(_event(key.run_id),),
        )
        for key, lease_id in _leased(url)
    ]


def _move(key: JobKey) -> JobMove:
    return JobMove(
        key=key,
        stage=StageId("next"),
        index=0,
        route=Route("served"),
        available_at=NOW,
        attempt=1,
        max_attempts=3,
        keep_lease=True,
        claimed_at=NOW,
    )


def ends(url: str) -> list[Change]:
    """Runs that complete."""
    patch: dict[str, Any] = {"revision": 0, "status": RunStatus.COMPLETED, "finished_at": NOW, "output": Payload("1")}
    return [
        Change(
            run=RunPatch(run_id=key.run_id, **patch),
            leases=(LeaseGuard(key=key, lease_id=lease_id),),
            stages=(_stage(key),),
            job_deletes=(key,),
            events=(_event(key.run_id),),
        )
        for key, lease_id in _leased(url)
    ]


def progresses(url: str) -> list[Change]:
    """Bodies that tell how far they are."""
    return [
        Change(leases=(LeaseGuard(key=key, lease_id=lease_id),), progress=Progress(key=key, data="{}"))
        for key, lease_id in _leased(url)
    ]


def signals(_: str) -> list[Change]:
    """Messages to runs, which wake them."""
    return [
        Change(
            signals=(
                Signal(id=SignalId("s"), run_id=RunId(run_id(number)), name="go", payload=Payload("1"), sent_at=NOW),
            ),
            wakes=(Wake(run_id=RunId(run_id(number)), at=NOW),),
        )
        for number in range(1, 101)
    ]


BATCHES: dict[str, Callable[[str], list[Change]]] = {
    "starts": starts,
    "hand-overs": hand_overs,
    "ends": ends,
    "progresses": progresses,
    "signals": signals,
}
