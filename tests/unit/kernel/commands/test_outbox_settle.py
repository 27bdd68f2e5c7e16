"""outbox.settle: what became of published events."""

import pytest

from mainspring.kernel.commands.outbox_settle import OutboxSettled, SettleOutbox, decide, load
from mainspring.kernel.decision import Decision, Repeat
from mainspring.kernel.retry import Retry
from mainspring.ports.errors import LeaseLostError
from mainspring.ports.event_sink import UNTRIED, Hopeless
from mainspring.ports.names import RunId, SinkName
from mainspring.ports.records import Event
from tests.kernel_records import FACTS, LEASE, NOW, SECOND, drive

ONE_RUN, OTHER_RUN = RunId("r1"), RunId("r2")
RETRY = Retry(max_attempts=3, jitter=0.0)


def event(seq: int, of: RunId = ONE_RUN, tries: int = 0) -> Event:
    return Event(run_id=of, seq=seq, type="run.created", at=NOW, data="{}", tries=tries)


def settled(*answers: tuple[Event, str | None]) -> Decision[OutboxSettled]:
    events, said = zip(*answers, strict=True)
    return decide(SettleOutbox(lease_id=LEASE, events=events, answers=said, retry=RETRY), None, FACTS)


def test_confirmed_events_are_published() -> None:
    decision = settled((event(1), None), (event(2), None))
    assert decision.change is not None
    assert decision.change.outbox is not None
    assert decision.change.outbox.published == (("r1", 1), ("r1", 2))
    assert decision.result == OutboxSettled(published=2, postponed=0, dead=0)


@pytest.mark.promise(7)
def test_the_first_refused_event_of_a_run_waits_and_the_ones_behind_it_are_not_blamed() -> None:
    decision = settled((event(1), None), (event(2), "down"), (event(3), "held back"), (event(1, OTHER_RUN), None))
    assert decision.change is not None
    assert decision.change.outbox is not None
    (waits,) = decision.change.outbox.postponed
    assert (waits.run_id, waits.seq, waits.tries, waits.until) == ("r1", 2, 1, NOW + SECOND)
    assert decision.change.outbox.published == (("r1", 1), ("r2", 1))


def test_after_its_last_try_an_event_is_given_up_on_with_the_reason() -> None:
    decision = settled((event(1, tries=2), "x" * 5000))
    assert decision.change is not None
    assert decision.change.outbox is not None
    ((run_id, seq, error),) = decision.change.outbox.dead
    assert (run_id, seq, len(error)) == ("r1", 1, 2000)


def test_what_the_sink_did_not_come_to_is_left_as_it_is() -> None:
    decision = settled((event(1), None), (event(2), UNTRIED), (event(3), UNTRIED), (event(1, OTHER_RUN), UNTRIED))
    assert decision.change is not None
    assert decision.change.outbox is not None
    assert decision.change.outbox.published == (("r1", 1),)
    assert decision.result == OutboxSettled(published=1, postponed=0, dead=0)


def test_a_hopeless_event_is_given_up_on_at_its_first_try() -> None:
    decision = settled((event(1), Hopeless("too large")), (event(2), "held back"))
    assert decision.change is not None
    assert decision.change.outbox is not None
    assert decision.change.outbox.dead == (("r1", 1, "too large"),)
    assert decision.change.outbox.postponed == ()


def test_the_settlement_is_the_sinks() -> None:
    command = SettleOutbox(sink=SinkName("audit"), lease_id=LEASE, events=(event(1),), answers=(None,), retry=RETRY)
    decision = decide(command, None, FACTS)
    assert decision.change is not None
    assert decision.change.outbox is not None
    assert decision.change.outbox.sink == "audit"


@pytest.mark.fault(9)
@pytest.mark.fault(32)
def test_a_relay_whose_lease_is_gone_settles_nothing() -> None:
    command = SettleOutbox(lease_id=LEASE, events=(), answers=(), retry=RETRY)
    with pytest.raises(LeaseLostError, match="relay"):
        drive(load(command, None, FACTS, Repeat(stale=1)))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
