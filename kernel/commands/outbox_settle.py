"""outbox.settle: write what became of the events that the relay published. Guard: the relay's lease id."""

from typing import ClassVar

import attrs

from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.retry import Retry
from mainspring.ports.change import Change, OutboxSettlement, Postponed
from mainspring.ports.errors import LeaseLostError
from mainspring.ports.event_sink import Hopeless, Untried
from mainspring.ports.names import LeaseId, RunId, SinkName
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import Event
from mainspring.ports.sinks import DEFAULT_SINK


@attrs.frozen(kw_only=True)
class OutboxSettled:
    """How many events were published, postponed, and given up on."""

    published: int
    postponed: int
    dead: int


@attrs.frozen(kw_only=True)
class SettleOutbox(Command[OutboxSettled]):
    """``answers[i]`` tells what the sink said of ``events[i]``: None is confirmed; ``Untried``; else why not."""

    name: ClassVar[str] = "outbox.settle"

    sink: SinkName = DEFAULT_SINK
    lease_id: LeaseId
    events: tuple[Event, ...]
    answers: tuple[str | None, ...]
    retry: Retry


async def load(command: SettleOutbox, store: RunStore, facts: Facts, repeat: Repeat) -> None:
    """Nothing: the relay read the events under its lease.

    Raises:
        LeaseLostError: another relay holds the lease now; it publishes the rest.
    """
    if repeat.stale:
        msg = "the relay's lease is gone; what it published will be published again by the relay that holds it now"
        raise LeaseLostError(msg)


def decide(command: SettleOutbox, state: None, facts: Facts) -> Decision[OutboxSettled]:
    """Delete the confirmed; of each run, postpone the first refused one, or give it up after its last try."""
    published: list[tuple[RunId, int]] = []
    postponed: dict[RunId, Postponed] = {}
    dead: list[tuple[RunId, int, str]] = []
    behind: set[RunId] = set()
    for event, error in zip(command.events, command.answers, strict=True):
        if error is None:
            published.append((event.run_id, event.seq))
        elif event.run_id not in behind:
            behind.add(event.run_id)  # later events of the run were held back by the sink: not their failure
            if isinstance(error, Untried):
                continue
            tries = event.tries + 1
            if tries >= command.retry.max_attempts or isinstance(error, Hopeless):
                dead.append((event.run_id, event.seq, error[:2000]))
            else:
                until = facts.now + command.retry.delay(tries, facts.random)
                postponed[event.run_id] = Postponed(run_id=event.run_id, seq=event.seq, tries=tries, until=until)
    settled = OutboxSettlement(
        sink=command.sink,
        lease_id=command.lease_id,
        published=tuple(published),
        postponed=tuple(postponed.values()),
        dead=tuple(dead),
    )
    result = OutboxSettled(published=len(published), postponed=len(postponed), dead=len(dead))
    return Decision(result, Change(outbox=settled))


HANDLER: Handler[OutboxSettled] = Handler(load=load, decide=decide)
