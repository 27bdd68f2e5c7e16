"""run.signal: a message into a run's inbox, and its jobs woken."""

import pytest

from mainspring.kernel.commands.run_signal import RunSignalled, SignalRun, SignalState, decide
from mainspring.kernel.decision import Decision
from mainspring.ports.change import Wake
from mainspring.ports.errors import ConflictError, FinishedError
from mainspring.ports.names import Payload, SignalId
from mainspring.ports.records import Run, RunStatus, Signal
from tests.kernel_records import FACTS, NOW, RUN_ID, pending_run, run, types

SENT = Signal(id=SignalId("s1"), run_id=RUN_ID, name="approval", payload=Payload("1"), sent_at=NOW)


def signalled(
    over: Run, known: Signal | None = None, *, id: str | None = "s1", payload: str = "1"
) -> Decision[RunSignalled]:
    command = SignalRun(
        run_id=RUN_ID, signal="approval", payload=Payload(payload), signal_id=None if id is None else SignalId(id)
    )
    return decide(command, SignalState(over, known), FACTS)


@pytest.mark.fault(88)
@pytest.mark.parametrize("over", [pending_run(), run(), run(status=RunStatus.CANCELLING)])
def test_a_message_is_kept_and_wakes_the_run_by_its_id_whatever_stage_it_stands_at(over: Run) -> None:
    decision = signalled(over)
    assert decision.change is not None
    assert decision.change.signals == (SENT,)
    assert decision.change.wakes == (Wake(run_id=RUN_ID, at=NOW),)
    assert types(decision.change) == ["run.signalled"]
    assert not decision.result.duplicate


@pytest.mark.promise(9)
@pytest.mark.fault(88)
def test_the_same_message_again_changes_nothing_even_when_the_run_has_ended() -> None:
    for over in (run(), run(status=RunStatus.COMPLETED)):
        decision = signalled(over, SENT)
        assert (decision.change, decision.result.duplicate) == (None, True)


@pytest.mark.fault(93)
def test_another_message_under_the_same_id_is_a_conflict() -> None:
    with pytest.raises(ConflictError, match="'s1'"):
        signalled(run(), SENT, payload="2")


def test_a_message_without_an_id_is_one_of_its_own() -> None:
    decision = signalled(run(), id=None)
    assert decision.change is not None
    assert decision.change.signals[0].id == SignalId(FACTS.run_id)


@pytest.mark.fault(5)
def test_a_message_that_this_very_dispatch_stored_is_no_duplicate() -> None:
    assert not signalled(run(), SENT, id=None).result.duplicate


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_finished_run_takes_no_messages(status: RunStatus) -> None:
    with pytest.raises(FinishedError, match=f"ended as {status}"):
        signalled(run(status=status))
