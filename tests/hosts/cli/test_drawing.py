import io
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from rich.console import Console

from mainspring.hosts.cli.drawing import drawn_graph, drawn_run, span
from mainspring.hosts.cli.reading import Instance, Progress, RunView, StageView
from mainspring.ports.names import Fingerprint, LeaseId, Payload, RunId, StageId, Version, WorkerId, WorkflowId
from mainspring.ports.records import AttemptRecord, Failure, Run, RunStatus

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = Run(
    id=RunId("r"),
    workflow=WorkflowId("w"),
    version=Version("1"),
    fingerprint=Fingerprint("f"),
    queue="default",
    status=RunStatus.RUNNING,
    revision=1,
    priority=0,
    key=None,
    request_hash="",
    input=Payload("null"),
    config=None,
    tags=(),
    metadata=None,
    created_at=NOW,
    start_at=None,
    started_at=NOW - timedelta(seconds=2),
    finished_at=None,
    deadline=None,
    output=None,
    failure=None,
)


def stage(id: str, level: int, *instances: Instance, after: tuple[str, ...] = (), mapped: bool = False) -> StageView:
    counts = {one.state: sum(other.state == one.state for other in instances) for one in instances}
    state = instances[0].state if instances else "waiting"
    return StageView(
        id=id, after=after, mapped=mapped, level=level, state=state, counts=counts, instances=instances, tries=()
    )


def running(**more: Any) -> Instance:
    held = Instance(
        index=0,
        state="running",
        attempt=2,
        max_attempts=3,
        started_at=NOW - timedelta(seconds=1.5),
        worker="me-1",
        lease_until=NOW + timedelta(seconds=20),
    )
    return attrs.evolve(held, **more)


def drawn(*stages: StageView, run: Run = RUN) -> list[str]:
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(drawn_graph(RunView(run=run, stages=stages, at=NOW)))
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


def test_stages_side_by_side_are_bracketed() -> None:
    above = stage("a", 0)
    beside = [stage(name, 1, after=("a",)) for name in ("b", "c", "d")]
    below = stage("e", 2, after=("b", "c", "d"))
    assert [line.split()[:2] for line in drawn(above, *beside, below)] == [
        ["a", "waiting"],
        ["┌", "b"],
        ["├", "c"],
        ["└", "d"],
        ["e", "waiting"],
    ]


def test_edges_that_the_order_does_not_tell_are_named() -> None:
    stages = [stage("a", 0), stage("b", 0), stage("c", 1, after=("b",)), stage("d", 2, after=("c", "a"))]
    lines = drawn(*stages)
    assert "c ← b" in lines[2]
    assert "d ← c, a" in lines[3]
    assert "←" not in lines[0]


def test_a_running_stage_tells_its_attempt_progress_worker_and_lease() -> None:
    (line,) = drawn(stage("a", 0, running(progress=Progress(done=1, total=4, message="half way [bold]"))))
    assert line == "▶ a running attempt 2 of 3 1.5 s 1 of 4 (25%), half way [bold], on me-1, lease 20.0 s left"


@pytest.mark.parametrize(("total", "told"), [(None, "7, on me-1"), (0.0, "7 of 0, on me-1")])
def test_progress_without_an_end_has_no_share(total: float | None, told: str) -> None:
    (line,) = drawn(stage("a", 0, running(progress=Progress(done=7, total=total, message=""))))
    assert told in line


def test_a_lease_that_ran_out_is_told() -> None:
    (line,) = drawn(stage("a", 0, running(lease_until=NOW - timedelta(seconds=3))))
    assert "lease ran out 3.0 s ago" in line


def test_a_retry_tells_when_it_comes() -> None:
    later = Instance(index=0, state="retrying", attempt=1, max_attempts=3, available_at=NOW + timedelta(minutes=2))
    (line,) = drawn(stage("a", 0, later))
    assert line == "↻ a retrying attempt 1 of 3 in 2.0 min"


def test_a_mapped_stage_is_summed_up() -> None:
    done = [Instance(index=place, state="completed", attempt=1, finished_at=NOW, started_at=NOW) for place in range(3)]
    busy = [running(index=3), running(index=4, worker="me-2"), running(index=5)]
    (line,) = drawn(stage("a", 0, *busy, *done, mapped=True))
    assert "3 of 6, 3 running" in line
    assert "me-1: 2, me-2: 1" in line


def test_failures_show_their_traceback_and_tries_their_reason() -> None:
    failure = Failure(
        code="failed", type="ValueError", message="no\x1b", traceback="Traceback:\n  line", stage=StageId("a")
    )
    tried = AttemptRecord(
        run_id=RUN.id,
        stage=StageId("a"),
        index=0,
        attempt=1,
        lease_id=LeaseId("l"),
        worker=WorkerId("me-1"),
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=1),
        failure=None,
    )
    tries = (tried, attrs.evolve(tried, attempt=2, failure=failure, started_at=NOW + timedelta(seconds=2)))
    view = RunView(
        run=attrs.evolve(RUN, status=RunStatus.FAILED, finished_at=NOW, failure=failure),
        stages=(attrs.evolve(stage("a", 0), tries=tries),),
        at=NOW,
    )
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(drawn_run(view))
    told = console.export_text()
    assert "failed in stage a: failed: ValueError: no\\x1b\n  Traceback:\n    line" in told
    assert "a attempt 1 on me-1, 1.0 s: given back" in told
    assert told.index("a attempt 1") < told.index("a attempt 2")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0123, "12 ms"), (59.94, "59.9 s"), (90, "1.5 min"), (5400, "1.5 h"), (129_600, "1.5 d"), (-1, "0 ms")],
)
def test_spans_are_told_in_the_unit_that_suits(seconds: float, told: str) -> None:
    assert span(NOW, NOW + timedelta(seconds=seconds)) == told


def test_a_span_without_an_end_is_not_told() -> None:
    assert span(NOW, None) == span(None, NOW) == ""
