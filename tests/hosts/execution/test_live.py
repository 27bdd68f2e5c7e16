"""The live list: what heartbeats extend, and how attempts are told to end."""

from datetime import UTC, datetime

import attrs

from mainspring.hosts.execution.live import LiveList, Stop
from mainspring.ports.names import LeaseId, Route, RunId, StageId
from mainspring.ports.records import ExtendAnswer, Job

LEASE = LeaseId("lease-1")
JOB = Job(
    run_id=RunId("run-1"),
    stage=StageId("a"),
    route=Route("default/w@1#0"),
    available_at=datetime(2026, 1, 1, tzinfo=UTC),
    lease_id=LEASE,
)


def answer(*, lost: bool = False, wakes: int = 0) -> ExtendAnswer:
    return ExtendAnswer(key=JOB.key, lease_id=LEASE, lost=lost, wakes=wakes, until=None)


def test_an_attempt_stands_on_the_list_while_its_with_lasts() -> None:
    live = LiveList()
    with live.join(JOB, LEASE, 1.0):
        assert live.leases() == [(JOB.key, LEASE)]
    assert len(live) == 0


def test_an_attempt_leaves_the_list_when_its_work_raises() -> None:
    live = LiveList()
    try:
        with live.join(JOB, LEASE, 1.0):
            raise KeyError
    except KeyError:
        assert len(live) == 0


def test_a_lost_lease_ends_the_attempt() -> None:
    live = LiveList()
    with live.join(JOB, LEASE, 1.0) as seat:
        live.heard([answer(lost=True)], 2.0)
        assert seat.stop is Stop.LEASE_LOST


def test_a_lease_that_moved_on_while_the_heartbeat_was_under_way_is_not_lost() -> None:
    live = LiveList()
    with live.join(JOB, LEASE, 1.0) as seat:
        seat.job = attrs.evolve(JOB, stage=StageId("b"))
        live.heard([answer(lost=True)], 2.0)
        assert seat.stop is None


def test_an_end_that_is_being_recorded_is_not_disturbed_by_a_heartbeat() -> None:
    live = LiveList()
    with live.join(JOB, LEASE, 1.0) as seat:
        seat.recording = True
        live.heard([answer(lost=True)], 2.0)
        assert seat.stop is None


def test_a_heartbeat_tells_which_runs_were_woken_once() -> None:
    live = LiveList()
    with live.join(JOB, LEASE, 1.0) as seat:
        assert live.heard([answer(wakes=1)], 2.0) == [JOB.run_id]
        assert live.heard([answer(wakes=1)], 3.0) == []
        assert seat.until == 3.0


def test_the_first_reason_stays_but_a_lost_lease_outweighs_all() -> None:
    live = LiveList()
    heard: list[Stop] = []
    with live.join(JOB, LEASE, 1.0) as seat:
        seat.listen(heard.append)
        seat.tell(Stop.TIMED_OUT)
        seat.tell(Stop.CANCELLED)
        seat.tell(Stop.LEASE_LOST)
    assert heard == [Stop.TIMED_OUT, Stop.LEASE_LOST]


def test_who_listens_late_is_told_at_once() -> None:
    live = LiveList()
    heard: list[Stop] = []
    with live.join(JOB, LEASE, 1.0) as seat:
        seat.tell(Stop.CANCELLED)
        seat.listen(heard.append)
    assert heard == [Stop.CANCELLED]
