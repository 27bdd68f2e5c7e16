"""Worlds of a user's workflow: each made by a case, run to its end, and judged by our own checks and the user's."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from inspect import iscoroutine
from pathlib import Path
from traceback import extract_tb
from typing import Any, Generic, Literal, TypeVar

import attrs

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.client import Client
from mainspring.errors import MainspringError
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.simulation.case import CLIENT, Case
from mainspring.hosts.simulation.escapes import watched
from mainspring.hosts.simulation.functions import BREATH
from mainspring.hosts.simulation.outside import Effect
from mainspring.hosts.simulation.quiet import silent, telling
from mainspring.hosts.simulation.trial import Outcome, Trial
from mainspring.kernel.definition import Workflow
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.codec import Limits
from mainspring.ports.errors import PortError
from mainspring.ports.records import TERMINAL_RUN_STATUSES, AttemptRecord, Event, Failure, Run, RunStatus, StageRecord
from mainspring.ports.sinks import DEFAULT_SINK
from mainspring.requests import StartOptions
from mainspring.simulation import make_trial

I = TypeVar("I")  # noqa: E741  input, as in Stage[I, O]
O = TypeVar("O")  # noqa: E741
F = TypeVar("F")
T = TypeVar("T")

HostKind = Literal["worker", "function"]
"""A node worker, or a serverless function."""


@attrs.frozen(kw_only=True)
class SimulatedRun(Generic[O, F]):
    """A run at the end of its world: what an invariant judges."""

    seed: int  #: of the world
    record: Run
    output: O | None  #: decoded; None unless it completed
    fakes: F  #: what ``fakes=`` made for this world
    effects: tuple[Effect, ...]  #: what was really done by ``outside().call``, in order
    events: tuple[Event, ...]  #: published, in order, each once
    stages: tuple[StageRecord, ...]  #: that ended
    attempts: tuple[AttemptRecord, ...]  #: tries that did not end their stage: they failed, or their process died

    @property
    def status(self) -> RunStatus:
        """How the run ended."""
        return self.record.status

    @property
    def completed(self) -> bool:
        """Whether it ended well. In a rough world a run may fail: its attempts were used up."""
        return self.record.status is RunStatus.COMPLETED

    @property
    def failure(self) -> Failure | None:
        """Why it failed, if it did."""
        return self.record.failure


@attrs.define(kw_only=True)
class Worlds(Generic[I, O, F]):
    """Makes and runs worlds of one workflow."""

    workflow: Workflow[I, O]
    input: I
    options: StartOptions
    invariant: Callable[[SimulatedRun[O, F]], object] | None
    fakes: Callable[[], F]
    hosts: Sequence[HostKind]
    honours_keys: bool
    fences: bool
    patience: timedelta
    passed: Mapping[str, int] = attrs.field(init=False, factory=dict[str, int])  #: points by host, in the last world
    ended: RunStatus | None = attrs.field(init=False, default=None)  #: how the last world's run did
    cause: BaseException | None = attrs.field(init=False, default=None)  #: what the invariant raised in the last world
    _registry: WorkflowRegistry = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Look the workflow over once."""
        self._registry = WorkflowRegistry([self.workflow], MsgspecCodec(Limits()))

    def run(self, case: Case, *, traced: bool = False) -> Outcome:
        """Run the case's world to its end.

        Raises:
            SimulationError: a body reached out of the world, or spins.
            MainspringError: the run could not be started at all.
        """
        random.seed(case.seed)
        fakes = self.fakes()
        trial = make_trial(case.seed, self._registry, case.decides(), manners=case.manners, traced=traced)
        world = trial.world
        world.outside.honours_keys, world.outside.fences = self.honours_keys, self.fences
        telling(world) if traced else silent()
        for number, kind in enumerate(self.hosts, 1):
            (trial.worker if kind == "worker" else trial.function)(f"{kind}-{number}")
        starter = _Starter(trial, self._registry, self.workflow, self.input, self.options)
        trial.client(CLIENT, starter)
        try:
            with watched(world.loop) as escapes:
                outcome = trial.play(chaos=case.chaos, patience=self.patience.total_seconds())
            for error in (escapes.first, starter.refused):
                if error is not None:
                    raise error
            self.passed = {host.name: host.passed for host in world.hosts.values() if host.name != CLIENT}
            return self._verdict(outcome, starter, fakes)
        finally:
            with watched(world.loop):  # what died is unwound after the verdict: no process does that
                trial.close()

    def _verdict(self, outcome: Outcome, starter: "_Starter[I, O]", fakes: F) -> Outcome:
        """What our own checks, and then the user's, have to say."""
        self.cause = None
        record = starter.record()
        self.ended = None if record is None else record.status
        if outcome.violations and self.ended not in TERMINAL_RUN_STATUSES:
            hint = f"{outcome.violations[0]}\n{self.patience} after the world had healed; patience= gives it longer"
            outcome = attrs.evolve(outcome, violations=(hint, *outcome.violations[1:]))
        if outcome.violations or record is None:
            return outcome
        return attrs.evolve(outcome, violations=self._judged(starter.ended(record, fakes)))

    def _judged(self, run: SimulatedRun[O, F]) -> tuple[str, ...]:
        """What the user's invariant has to say against it."""
        if self.invariant is None:
            return ()
        name = getattr(self.invariant, "__name__", "the invariant")
        try:
            answer = self.invariant(run)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  told with its cause; what test frameworks raise is no Exception
            self.cause = error
            return (f"{name}: {_words(error)}",)
        if iscoroutine(answer):
            answer.close()
            raise TypeError(f"{name} is a coroutine function; an invariant is a plain one: the world is over by then")
        return (f"{name} returned False",) if answer is False else ()


def _words(error: BaseException) -> str:
    """What a failed assertion says, or the line it stands on."""
    place = extract_tb(error.__traceback__)[-1]
    where = f"{place.line}  ({Path(place.filename).name}:{place.lineno})"
    text = str(error).strip()
    if isinstance(error, AssertionError):
        return f"{text}\n{where}" if text else where
    return f"{type(error).__name__}: {text}\n{where}"


class _Starter(Generic[I, O]):
    """The client: starts the run, and keeps at it under the run's key until it is told that the run was started."""

    def __init__(
        self,
        trial: Trial,
        registry: WorkflowRegistry,
        workflow: Workflow[I, O],
        value: I,
        options: StartOptions,
    ) -> None:
        self.refused: MainspringError | None = None  #: the run cannot be started, in no world
        self._trial = trial
        self._registry = registry
        self._workflow = workflow
        self._value = value
        self._options = options if options.key is not None else attrs.evolve(options, key="simulated")
        self._parts: Parts | None = None

    async def __call__(self, parts: Parts) -> None:
        """Start the run."""
        self._parts = parts
        while True:
            try:
                handle = await self._client(parts).start(self._workflow, self._value, self._options)
            except PortError:
                await asyncio.sleep(BREATH)
            except MainspringError as error:
                self.refused = error
                self._trial.world.loop.stop()
                return
            else:
                self._trial.audit.acknowledged(handle.id)
                return

    def record(self) -> Run | None:
        """The run as it stands."""
        return next(iter(self._trial.audit.runs.values()), None)

    def ended(self, run: Run, fakes: F) -> SimulatedRun[O, F]:
        """The run when all is over."""
        audit, parts = self._trial.audit, self._parts
        assert parts is not None  # noqa: S101  it was started
        events = [audit.events[run.id][seq - 1] for seq in audit.published[DEFAULT_SINK, run.id]]
        output = at_once(self._client(parts).output(run)) if run.status is RunStatus.COMPLETED else None
        return SimulatedRun(
            seed=self._trial.world.seed,
            record=run,
            output=output,
            fakes=fakes,
            effects=tuple(self._trial.world.outside.effects),
            events=tuple(events),
            stages=tuple(at_once(parts.store.stages(run.id))),
            attempts=tuple(at_once(parts.store.attempts(run.id))),
        )

    def _client(self, parts: Parts) -> Client:
        return Client(parts, self._registry, Dispatcher(parts.store, parts.clock, parts.ids))


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The value of a coroutine that never waits: stores in memory, seen by nobody who could be struck by a fault."""
    try:
        coroutine.send(None)
    except StopIteration as answer:
        value: T = answer.value
        return value
    coroutine.close()
    raise AssertionError("a store in memory had to be waited for")
