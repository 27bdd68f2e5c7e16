"""The one path of every command: load, decide, commit; refused: load and decide again.

Awaits nothing but ports, so any driver can run it: asyncio, a synchronous driver over ports that never suspend, a
seeded trampoline.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import attrs

from mainspring.kernel.commands import HANDLERS
from mainspring.kernel.decision import Command, Decision, Facts, Handler, Repeat
from mainspring.kernel.fold import Answer, Fold, fold
from mainspring.kernel.outcomes import AttemptFinished, FinishAttempt
from mainspring.ports.change import Change
from mainspring.ports.clock import Clock, Ids
from mainspring.ports.errors import ConflictError, ContendedError, PortError, StaleChange, UnknownOutcomeError
from mainspring.ports.names import LeaseId, RunId
from mainspring.ports.persistence import RunStore
from mainspring.ports.records import Answer as RememberedAnswer
from mainspring.ports.records import Job, RunState

R = TypeVar("R")

MAX_TRIES = 20
"""Refusals after which a command without a lease gives up."""

MAX_FOLDS = 1000
"""Refusals after which a fold gives up: its leases still live, yet no race is lost so often."""


class Dispatcher:
    """Takes commands to their decisions and the decisions to the store.

    ``clock`` gives the store's time: hosts advance it from the store's last answer.
    """

    def __init__(self, store: RunStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def dispatch(self, command: Command[R]) -> R:
        """Decide the command and write the decision.

        Raises:
            CommandError: the request is wrong; nothing was written.
            ContendedError: it lost its race 20 times.
            UnknownOutcomeError: it was written, or not; nobody could tell.
            PortError: the store failed; nothing was written.
        """
        handler: Handler[R] = HANDLERS[type(command)]
        facts = self._draw()
        repeat = Repeat()
        read = handler.loads_first
        while True:
            try:
                remembered = await self._recall(command, handler)
                if remembered is not None:
                    return remembered
                state = await handler.load(command, self._store, facts, repeat) if read else None
                decision = handler.decide(command, state, facts)
                change = _remember(command, handler, decision)
                if change is not None:
                    await self._store.commit(change)
            except StaleChange as error:
                repeat = attrs.evolve(repeat, stale=repeat.stale + 1)
                if repeat.stale >= MAX_TRIES:
                    msg = f"{command.name} lost its race {MAX_TRIES} times; the run is very busy, ask again later"
                    raise ContendedError(msg) from error
            except UnknownOutcomeError:
                if repeat.unsure:
                    raise
                repeat = attrs.evolve(repeat, unsure=True)
            except PortError as error:
                if not repeat.unsure:
                    raise
                msg = f"{command.name} was written or not: the store failed while that was found out"
                raise UnknownOutcomeError(msg) from error
            else:
                return decision.result
            read = True

    async def dispatch_all(
        self, run_id: RunId, commands: Sequence[FinishAttempt], state: RunState | None
    ) -> tuple[list[Answer], RunState | None]:
        """Decide finishes of one run on one state and commit them together.

        ``state``: as the last fold of this run left it, or None to read it. Answers in the commands' order, and the
        state afterwards. With live leases it is decided again until it is written.

        Raises:
            ContendedError: it was refused 1,000 times.
            PortError: the store failed; nothing was written, or (``UnknownOutcomeError``) nobody could tell.
        """
        # a finish creates no run: no id is drawn for one
        facts = [Facts(now=self._clock.now(), run_id=run_id, random=self._ids.random()) for _ in commands]
        rows: dict[LeaseId, Job] | None = None
        unsure = False
        if state is None:
            state = await self._store.run_state(run_id)
        for _ in range(MAX_FOLDS):
            decided = fold(commands, state, rows, facts)
            try:
                if decided.change is not None:
                    await self._store.commit(decided.change)
            except StaleChange:
                pass
            except UnknownOutcomeError:
                unsure = True
            except PortError as error:
                if not unsure:
                    raise
                raise _untold(run_id) from error
            else:
                return decided.answers, decided.state
            state, rows = await self._reload(run_id, unsure=unsure)
        if unsure:
            raise _untold(run_id)
        raise ContendedError(f"finishes of run {run_id} lost their race {MAX_FOLDS} times")

    async def _reload(self, run_id: RunId, *, unsure: bool) -> tuple[RunState | None, dict[LeaseId, Job]]:
        """Leases before the state: a lease seen dead stays dead, and the revision guards the rest."""
        try:
            jobs = await self._store.jobs(run_id)
            state = await self._store.run_state(run_id)
        except PortError as error:
            if not unsure:
                raise
            raise _untold(run_id) from error
        return state, {job.lease_id: job for job in jobs if job.lease_id is not None}

    def _draw(self) -> Facts:
        return Facts(now=self._clock.now(), run_id=self._ids.new_run_id(), random=self._ids.random())

    async def _recall(self, command: Command[R], handler: Handler[R]) -> R | None:
        key = command.idempotency_key
        if key is None or handler.recall is None:
            return None
        answer = await self._store.answer(command.name, key)
        if answer is None:
            return None
        hashed = content_hash(command)
        if answer.request_hash != hashed:
            msg = (
                f"idempotency key {key!r} was used for another {command.name} (hash {answer.request_hash}, now "
                f"{hashed}); use another key, or the same content"
            )
            raise ConflictError(msg)
        return handler.recall(answer.result)


def content_hash(command: Command[Any]) -> str:
    """Hash of what the command asks for, its key left out."""
    fields = attrs.asdict(command, recurse=False)
    del fields["idempotency_key"]
    return hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()[:32]


def _remember(command: Command[R], handler: Handler[R], decision: Decision[R]) -> Change | None:
    """The decision's Change, with its answer where there is a key: also when nothing else is to be written."""
    if command.idempotency_key is None or handler.recall is None:
        return decision.change
    text = json.dumps(attrs.asdict(cast("attrs.AttrsInstance", decision.result)))
    answer = RememberedAnswer(
        command=command.name, key=command.idempotency_key, request_hash=content_hash(command), result=text
    )
    return attrs.evolve(decision.change or Change(), answer=answer)


def _untold(run_id: RunId) -> UnknownOutcomeError:
    return UnknownOutcomeError(
        f"finishes of run {run_id} were written or not: the store failed while that was found out"
    )


__all__ = ["MAX_TRIES", "Answer", "AttemptFinished", "Dispatcher", "Fold", "content_hash"]
