"""The guard table of the design, row by row: each Change carries exactly the guards it demands, and no more.

A row names the Change, its guards, and whether it bumps the run's revision.
"""

from typing import Any

import pytest

from mainspring.kernel.commands import (
    attempt_finish,
    attempt_report,
    attempt_start,
    dead_letter_replay,
    job_release,
    lease_reap,
    outbox_settle,
    run_cancel,
    run_create,
    run_expire,
    run_rerun,
    run_signal,
)
from mainspring.kernel.outcomes import Cancelled, Completed, Failed, NotReady, Outcome, Suspended
from mainspring.kernel.plan import Plan
from mainspring.kernel.retry import Retry
from mainspring.ports.change import Change
from mainspring.ports.names import Payload, RunId, SignalId
from mainspring.ports.records import Event, Job, Run, RunStatus
from mainspring.ports.sinks import DEFAULT_SINK, DeadLetter
from tests.kernel_records import (
    BOOM,
    DIAMOND,
    FACTS,
    LEASE,
    LINE,
    MAP,
    NOW,
    ONE,
    RUN_ID,
    SECOND,
    B,
    create,
    finish,
    first_state,
    job,
    leased,
    pending_run,
    run,
)

DONE = Completed(output=Payload("2"), elements=(Payload("1"), Payload("2")))
CANCELLING = run(status=RunStatus.CANCELLING)


def finished(of: Plan, outcome: Outcome, over: Run | None = None, row: Job | None = None, **fields: Any) -> Change:
    row = row or leased(of)
    return attempt_finish.decide(finish(of, row, outcome, **fields), first_state(of, over), row, FACTS).change


def cancelled(over: Run, *jobs: Job) -> Change | None:
    state = run_cancel.CancelState(over, jobs)
    return run_cancel.decide(run_cancel.CancelRun(run_id=RUN_ID), state, FACTS).change


def reaped(over: Run, row: Job) -> Change | None:
    state = lease_reap.ReapState(first_state(ONE, over), row)
    return lease_reap.decide(lease_reap.ReapLease(key=row.key, lease_id=LEASE), state, FACTS).change


def started(over: Run) -> Change | None:
    state = attempt_start.StartState(over, leased())
    return attempt_start.decide(attempt_start.StartAttempt(job=leased()), state, FACTS).change


def signalled() -> Change | None:
    command = run_signal.SignalRun(run_id=RUN_ID, signal="go", payload=Payload("1"), signal_id=SignalId("s"))
    return run_signal.decide(command, run_signal.SignalState(run(), None), FACTS).change


def rerun(key: str | None = None) -> Change | None:
    command = run_rerun.RerunRun(run_id=RUN_ID, plan=ONE, key=key, new_id=RunId("another"))
    over = run(status=RunStatus.FAILED)
    return run_rerun.decide(command, run_rerun.RerunState(None, over, (), (), None), FACTS).change


def settled() -> Change | None:
    event = Event(run_id=RUN_ID, seq=1, type="run.created", at=NOW, data="{}")
    command = outbox_settle.SettleOutbox(lease_id=LEASE, events=(event,), answers=(None,), retry=Retry())
    return outbox_settle.decide(command, None, FACTS).change


def replayed() -> Change | None:
    event = Event(run_id=RUN_ID, seq=1, type="run.created", at=NOW, data="{}")
    letters = [DeadLetter(sink=DEFAULT_SINK, event=event, error="no", died_at=NOW)]
    return dead_letter_replay.decide(dead_letter_replay.ReplayDeadLetters(), letters, FACTS).change


LOST = leased(lease_until=NOW - SECOND)
LAST = leased(lease_until=NOW - SECOND, attempt=3)
OVERDUE = run(deadline=NOW - SECOND)

ROWS: list[tuple[str, Change | None, set[str], bool]] = [
    ("run.create", run_create.decide(create(), None, FACTS).change, {"run id"}, False),
    ("run.create with a key", run_create.decide(create(key="k"), None, FACTS).change, {"run id", "key"}, False),
    ("run.rerun", rerun(), {"run id", "revision, shared"}, False),
    ("run.rerun with a key", rerun("k"), {"run id", "key", "revision, shared"}, False),
    ("run.signal", signalled(), {"revision, shared", "signal id"}, False),
    ("run.cancel, nothing held", cancelled(run(), job()), {"revision", "unleased and token"}, True),
    ("run.cancel, one held", cancelled(run(), job(), leased(LINE, B)), {"revision", "unleased and token"}, True),
    ("run.cancel, all held", cancelled(run(), leased()), {"revision"}, True),
    (
        "run.expire",
        run_expire.decide(run_expire.ExpireRun(run_id=RUN_ID), OVERDUE, FACTS).change,
        {"revision"},
        True,
    ),
    ("attempt.start", started(run()), {"lease"}, False),
    ("attempt.start, from pending to running", started(pending_run()), {"lease", "revision"}, True),
    (
        "attempt.report",
        attempt_report.decide(attempt_report.ReportProgress(job=leased(), done=1), None, FACTS).change,
        {"lease"},
        False,
    ),
    ("attempt.finish: completed, the run with it", finished(ONE, DONE), {"lease", "revision", "stage"}, True),
    ("attempt.finish: handed over", finished(LINE, DONE), {"lease", "revision", "stage"}, True),
    ("attempt.finish: handed over, given up", finished(LINE, DONE, keep=False), {"lease", "revision", "stage"}, True),
    ("attempt.finish: completed, jobs created", finished(DIAMOND, DONE), {"lease", "revision", "stage"}, True),
    ("attempt.finish: completed, a map opened", finished(MAP, DONE), {"lease", "revision", "stage"}, True),
    (
        "attempt.finish: failed for good",
        finished(ONE, Failed(failure=BOOM, retryable=False)),
        {"lease", "revision", "stage"},
        True,
    ),
    ("attempt.finish: retry later", finished(ONE, Failed(failure=BOOM)), {"lease and wakes"}, False),
    (
        "attempt.finish: retry later, from pending to running",
        finished(ONE, Failed(failure=BOOM), pending_run()),
        {"lease and wakes", "revision"},
        True,
    ),
    ("attempt.finish: suspended", finished(ONE, Suspended(until=None)), {"lease and wakes"}, False),
    (
        "attempt.finish: suspended, from pending to running",
        finished(ONE, Suspended(until=None), pending_run()),
        {"lease and wakes", "revision"},
        True,
    ),
    ("attempt.finish: not ready", finished(ONE, NotReady(state=Payload("1"))), {"lease and wakes"}, False),
    (
        "attempt.finish: not ready in time",
        finished(ONE, NotReady(state=Payload("1"), until=NOW)),
        {"lease", "revision", "stage"},
        True,
    ),
    (
        "attempt.finish: cancelled, in a run that is being cancelled",
        finished(ONE, Cancelled(), CANCELLING),
        {"lease", "revision", "stage"},
        True,
    ),
    (
        "attempt.finish: completed, in a run that is being cancelled",
        finished(ONE, DONE, CANCELLING),
        {"lease", "revision", "stage"},
        True,
    ),
    (
        "attempt.finish: cancelled, in a run that is not",
        finished(ONE, Cancelled()),
        {"lease", "revision, shared"},
        False,
    ),
    (
        "job.release",
        job_release.decide(job_release.ReleaseJob(job=leased()), leased(), FACTS).change,
        {"lease"},
        False,
    ),
    ("lease.reap", reaped(run(), LOST), {"lease, expired and wakes"}, False),
    ("lease.reap: the stage fails", reaped(run(), LAST), {"lease, expired and wakes", "revision", "stage"}, True),
    ("lease.reap: while cancelling", reaped(CANCELLING, LOST), {"lease, expired and wakes", "revision", "stage"}, True),
    ("outbox.settle", settled(), {"relay"}, False),
    ("dead_letter.replay", replayed(), {"dead letter"}, False),
]


def guards(change: Change) -> set[str]:
    """The guards and gates of the Change in the table's words."""
    found: set[str] = set()
    for lease in change.leases:
        found.add("lease" + ", expired" * lease.expired + " and wakes" * (lease.wakes is not None))
    if change.run is not None:
        found.add("revision")
    if change.run_guard is not None:
        found.add("revision, shared")
    if change.unleased:
        found.add("unleased and token")
    if change.create is not None:
        found |= {"run id"} | ({"key"} if change.create.key is not None else set())
    if change.signals:
        found.add("signal id")
    if change.answer is not None:
        found.add("answer")
    if change.stages and not change.unleased:
        found.add("stage")
    if change.outbox is not None:
        found.add("relay")
    if change.replays:
        found.add("dead letter")
    return found


@pytest.mark.fault(17)
@pytest.mark.fault(89)
@pytest.mark.fault(95)
@pytest.mark.parametrize(("change", "expected", "bumps"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_a_change_carries_exactly_the_guards_of_its_row(change: Change | None, expected: set[str], bumps: bool) -> None:
    assert change is not None
    assert guards(change) == expected
    assert (change.run is not None and change.run.bump == 1) is bumps


@pytest.mark.parametrize("change", [pytest.param(row[1], id=row[0]) for row in ROWS])
def test_a_change_that_creates_moves_or_deletes_jobs_bumps_the_revision_unless_the_job_stays_at_its_stage(
    change: Change | None,
) -> None:
    assert change is not None
    moved_on = [move for move in change.job_moves if move.stage != move.key.stage]
    if change.create is None and (change.jobs or change.job_deletes or change.end_jobs or change.unpark or moved_on):
        assert change.run is not None


@pytest.mark.promise(13)
@pytest.mark.parametrize("change", [pytest.param(row[1], id=row[0]) for row in ROWS])
def test_every_job_row_that_is_deleted_or_moved_is_guarded_by_its_lease_or_as_unleased(change: Change | None) -> None:
    assert change is not None
    guarded = {guard.key for guard in change.leases} | {guard.key for guard in change.unleased}
    assert {*change.job_deletes, *(move.key for move in change.job_moves)} <= guarded


def test_a_guard_names_the_lease_the_revision_and_the_token_that_were_decided_on() -> None:
    change = finished(ONE, DONE, run(revision=7))
    assert change.leases[0].lease_id == LEASE
    assert change.run is not None
    assert change.run.revision == 7
    by_cancel = cancelled(run(revision=7), job(token=5))
    assert by_cancel is not None
    assert by_cancel.run is not None
    assert (by_cancel.run.revision, by_cancel.unleased[0].token) == (7, 5)


def test_a_suspension_is_guarded_by_the_count_the_body_saw_not_by_the_newest() -> None:
    row = leased(wakes=4)
    change = finished(ONE, Suspended(until=None), row=row)
    assert change.leases[0].wakes == 4


def test_the_table_speaks_of_every_guard_there_is() -> None:
    spoken = {word for _, change, _, _ in ROWS if change is not None for word in guards(change)}
    assert spoken == {
        "lease",
        "lease and wakes",
        "lease, expired and wakes",
        "revision",
        "revision, shared",
        "unleased and token",
        "run id",
        "key",
        "signal id",
        "stage",
        "relay",
        "dead letter",
    }
