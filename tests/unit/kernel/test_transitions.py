"""The status tables, told a second time: what is terminal, and every (status, event) pair."""

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from mainspring.kernel.transitions import (
    JOB,
    RUN,
    STAGE,
    Activity,
    IllegalTransitionError,
    JobEvent,
    RunEvent,
    StageEvent,
    StageStanding,
    activity,
    mermaid,
    step,
)
from mainspring.ports.records import TERMINAL_RUN_STATUSES, JobPhase, RunStatus, StageStatus
from tests.kernel_records import NOW, SECOND, job, leased

R, E = RunStatus, RunEvent

#: Stated apart from the tables: every edge there is. All other pairs are illegal.
RUN_EDGES = {
    (R.PENDING, E.BEGIN): R.RUNNING,
    (R.PENDING, E.FAIL): R.FAILED,
    (R.PENDING, E.CANCEL): R.CANCELLING,
    (R.PENDING, E.SETTLE): R.CANCELLED,
    (R.RUNNING, E.COMPLETE): R.COMPLETED,
    (R.RUNNING, E.FAIL): R.FAILED,
    (R.RUNNING, E.CANCEL): R.CANCELLING,
    (R.RUNNING, E.SETTLE): R.CANCELLED,
    (R.CANCELLING, E.SETTLE): R.CANCELLED,
}
STAGE_EDGES = {
    (StageStanding.ACTIVE, StageEvent.COMPLETE): StageStatus.COMPLETED,
    (StageStanding.ACTIVE, StageEvent.FAIL): StageStatus.FAILED,
    (StageStanding.ACTIVE, StageEvent.CANCEL): StageStatus.CANCELLED,
    (StageStanding.ACTIVE, StageEvent.SKIP): StageStatus.SKIPPED,
}
JOB_EDGES = {
    (JobPhase.PARKED, JobEvent.UNPARK): JobPhase.READY,
    (JobPhase.READY, JobEvent.BLOCK): JobPhase.BLOCKED,
    (JobPhase.BLOCKED, JobEvent.UNBLOCK): JobPhase.READY,
}
MACHINES: list[tuple[str, Mapping[Any, Mapping[Any, Any]], list[Any], type[StrEnum], Mapping[Any, Any]]] = [
    ("run", RUN, list(R), E, RUN_EDGES),
    ("stage", STAGE, [StageStanding.ACTIVE, *StageStatus], StageEvent, STAGE_EDGES),
    ("job", JOB, list(JobPhase), JobEvent, JOB_EDGES),
]
PAIRS = [
    pytest.param(table, status, event, edges.get((status, event)), id=f"{name}-{status}-{event}")
    for name, table, statuses, events, edges in MACHINES
    for status in statuses
    for event in events
]


@pytest.mark.promise(2)
@pytest.mark.parametrize(("table", "status", "event", "after"), PAIRS)
def test_every_pair_of_status_and_event_leads_where_it_should_or_is_refused(
    table: Mapping[Any, Mapping[Any, Any]], status: Any, event: Any, after: Any
) -> None:
    if after is not None:
        assert step(table, status, event) is after
    else:
        with pytest.raises(IllegalTransitionError, match=f"{event} cannot happen in status {status}"):
            step(table, status, event)


@pytest.mark.fault(30)
def test_the_terminal_statuses_of_a_run_are_completed_failed_and_cancelled() -> None:
    terminal = {R.COMPLETED, R.FAILED, R.CANCELLED}
    assert {status for status, edges in RUN.items() if not edges} == terminal
    assert terminal == TERMINAL_RUN_STATUSES


def test_every_ended_stage_is_terminal() -> None:
    assert {status for status, edges in STAGE.items() if not edges} == set(StageStatus)


def test_every_status_stands_in_its_table() -> None:
    assert set(RUN) == set(RunStatus)
    assert set(STAGE) == {StageStanding.ACTIVE, *StageStatus}
    assert set(JOB) == set(JobPhase)


def test_an_illegal_transition_tells_what_is_possible() -> None:
    with pytest.raises(IllegalTransitionError, match="possible: settle"):
        step(RUN, R.CANCELLING, E.COMPLETE)
    with pytest.raises(IllegalTransitionError, match="possible: nothing, it is final"):
        step(RUN, R.COMPLETED, E.FAIL)


def test_a_diagram_shows_every_edge_once() -> None:
    drawn = mermaid(RUN)
    edges = re.findall(r"^ {4}(\w+) --> (\w+): (\w+)$", drawn, re.MULTILINE)
    assert sorted(edges) == sorted((str(s), str(after), str(e)) for (s, e), after in RUN_EDGES.items())
    assert {line.split()[0] for line in drawn.splitlines() if line.endswith("[*]")} == {
        "completed",
        "failed",
        "cancelled",
    }


BLOCK = re.compile(r"<!-- generated: (run|stage|job) states -->\n```mermaid\n(.*?)```\n", re.DOTALL)
ARCHITECTURE = Path(__file__).parents[3] / "ARCHITECTURE.md"


def test_the_diagrams_in_the_architecture_are_the_generated_ones() -> None:
    shown = BLOCK.findall(ARCHITECTURE.read_text())
    assert shown == [("run", mermaid(RUN)), ("stage", mermaid(STAGE)), ("job", mermaid(JOB))]


@pytest.mark.parametrize(
    ("row", "doing"),
    [
        (leased(), Activity.RUNNING),
        (job(phase=JobPhase.PARKED), Activity.PARKED),
        (job(phase=JobPhase.BLOCKED), Activity.BLOCKED),
        (job(), Activity.QUEUED),
        (job(available_at=NOW), Activity.QUEUED),
        (job(available_at=NOW + SECOND, not_before=NOW + SECOND), Activity.SCHEDULED),
        (job(available_at=NOW + SECOND, not_before=NOW + SECOND, attempt=1), Activity.RETRYING),
        (job(available_at=NOW + timedelta(days=1)), Activity.SUSPENDED),
        (job(available_at=None), Activity.SUSPENDED),
    ],
)
def test_what_a_stage_is_doing_is_read_off_its_job(row: Any, doing: Activity) -> None:
    assert activity(row, NOW) is doing
