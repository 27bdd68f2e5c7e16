"""run.signal: put a message into a run's inbox and wake its jobs.

Guards: run revision (shared), unique signal id. The run's jobs are woken by run id, whatever stage they stand at. Not
remembered apart: the signal's own id tells a repeat.
"""

from typing import ClassVar

import attrs

from mainspring.kernel.commands.common import require_active, require_run
from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.events import run_event
from mainspring.ports.change import Change, RunGuard, Wake
from mainspring.ports.errors import ConflictError
from mainspring.ports.names import Payload, RunId, SignalId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import Run, Signal


@attrs.frozen(kw_only=True)
class RunSignalled:
    """Whether the message was there already under its id."""

    run_id: RunId
    signal_id: SignalId
    duplicate: bool


@attrs.frozen(kw_only=True)
class SignalRun(Command[RunSignalled]):
    """Send a message to a run. Kept, in order of arrival, until a body consumes it."""

    name: ClassVar[str] = "run.signal"

    run_id: RunId
    signal: str  #: the message's name
    payload: Payload
    signal_id: SignalId | None = None  #: the sender's id; None: every send is a message of its own


@attrs.frozen
class SignalState:
    """What is decided on: the run, and the signal if it is there."""

    run: Run
    known: Signal | None


def _id(command: SignalRun, facts: Facts) -> SignalId:
    return command.signal_id or SignalId(facts.run_id)


async def load(command: SignalRun, store: RunStore, facts: Facts, repeat: Repeat) -> SignalState:
    """The run, and the signal if it is there."""
    run = require_run(await store.run(command.run_id), command.run_id)
    known = None
    if repeat.unsure or command.signal_id is not None:
        known = await store.signal(command.run_id, _id(command, facts))
    return SignalState(run, known)


def decide(command: SignalRun, state: SignalState, facts: Facts) -> Decision[RunSignalled]:
    """Store it once, and wake the run."""
    signal_id = _id(command, facts)
    if state.known is not None:
        if (state.known.name, state.known.payload) != (command.signal, command.payload):
            msg = (
                f"signal id {signal_id!r} of run {command.run_id} was sent before with other content "
                f"(as {state.known.name!r}); use another id"
            )
            raise ConflictError(msg)
        mine = command.signal_id is None
        return Decision(RunSignalled(run_id=command.run_id, signal_id=signal_id, duplicate=not mine))
    run = require_active(state.run)
    signal = Signal(id=signal_id, run_id=run.id, name=command.signal, payload=command.payload, sent_at=facts.now)
    change = Change(
        run_guard=RunGuard(run_id=run.id, revision=run.revision),
        signals=(signal,),
        wakes=(Wake(run_id=run.id, at=facts.now),),
        events=(run_event("run.signalled", run.id, facts.now, signal=command.signal, id=signal_id),),
    )
    return Decision(RunSignalled(run_id=run.id, signal_id=signal_id, duplicate=False), change)


HANDLER: Handler[RunSignalled] = Handler(load=load, decide=decide)
