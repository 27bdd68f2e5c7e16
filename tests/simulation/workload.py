"""The mixed workload of the campaigns: a few runs of small workflows, and clients that start, repeat and cancel them.

A workload is plain data, so that it can be drawn from a seed, drawn by Hypothesis, shrunk, and kept with a test.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, TypedDict

import attrs

from mainspring import Context, NonRetryable, Retry, Workflow, stage
from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.client import Client
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.worker import Worker
from mainspring.hosts.simulation.clocks import BEGINNING
from mainspring.hosts.simulation.lives import current_life
from mainspring.hosts.simulation.trial import Trial
from mainspring.hosts.simulation.world import current_world
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.codec import Limits
from mainspring.ports.errors import CommandError, PortError
from mainspring.ports.names import RunId, SignalId
from mainspring.ports.records import Run, RunStatus
from mainspring.requests import StartOptions
from tests.simulation.sleepers import place_sleeper, wait

LIMITS = Limits(inline=200)
"""So that a text of some length lies in the blob store."""

LONG = "x" * 400
ONCE = Retry(max_attempts=1)
TWICE = Retry(max_attempts=2, initial=timedelta(seconds=2), maximum=timedelta(seconds=10))
QUICK = Retry(max_attempts=4, initial=timedelta(seconds=1), maximum=timedelta(seconds=5))


@attrs.frozen
class Work:
    """What the bodies of a run do, by the depth of their stage."""

    naps: list[float]  #: seconds each attempt takes
    fails: list[int]  #: how many attempts fail first
    width: int = 3  #: elements of a map
    large: bool = False  #: outputs go to the blob store
    hopeless: bool = False  #: the second stage fails for good
    poison: bool = False  #: every attempt kills its process


class Pair(TypedDict):
    """What follows ``first`` and ``other``."""

    first: str
    other: str


class Both(TypedDict):
    """What follows ``left`` and ``right``."""

    left: str
    right: str


async def do(ctx: Context, work: Work, depth: int, given: str) -> str:
    """A body: takes its time, does something outside, fails as often as it is told to; what it was given and more."""
    world, life = current_world(), current_life()
    outside = world.outside
    if work.poison and life is not None:
        world.counts["process killed by a body"] += 1
        world.kill(life, 0.5)
    await asyncio.sleep(work.naps[depth] / 2)
    await outside.call(ctx.stage, key=ctx.idempotency_key, token=ctx.fencing_token)
    await asyncio.sleep(work.naps[depth] / 2)
    if ctx.attempt <= work.fails[depth]:
        raise ValueError(f"attempt {ctx.attempt} fails")
    if work.hopeless and depth == 1:
        raise NonRetryable("hopeless")
    return given + (LONG if work.large else "done")


def element(work: Work, number: int) -> str:
    """One element of the map."""
    return f"{number} {LONG}" if work.large else str(number)


@stage(retry=QUICK)
async def first(ctx: Context, work: Work) -> str:
    return await do(ctx, work, 0, "first ")


@stage(retry=TWICE, timeout=timedelta(seconds=12))
async def second(ctx: Context[None], before: str) -> str:
    return await do(ctx, ctx.run_input, 1, before + " second ")


@stage(retry=QUICK)
def third(ctx: Context, before: str) -> str:
    return before + "!"


@stage(retry=QUICK)
async def left(ctx: Context, before: str) -> str:
    return await do(ctx, ctx.run_input, 1, before + " left ")


@stage(retry=QUICK)
async def right(ctx: Context, before: str) -> str:
    return await do(ctx, ctx.run_input, 2, before + " right ")


@stage(retry=QUICK)
async def join(ctx: Context, both: Both) -> str:
    return f"{both['left']} and {both['right']}"


@stage(retry=QUICK)
async def other(ctx: Context, work: Work) -> str:
    return await do(ctx, work, 1, "other ")


@stage(retry=QUICK)
async def pair(ctx: Context, both: Pair) -> str:
    return f"{both['first']} and {both['other']}"


@stage(retry=QUICK)
async def listing(ctx: Context, work: Work) -> list[str]:
    return [element(work, number) for number in range(work.width)]


@stage(retry=QUICK)
async def each(ctx: Context, item: str) -> str:
    return await do(ctx, ctx.run_input, 1, item + " each ")


@stage(retry=ONCE)
async def gather(ctx: Context, items: list[str]) -> str:
    return ", ".join(items)


line = Workflow("line", version="1").pipe(first).pipe(second).pipe(third)
fork = Workflow("fork", version="1").pipe(first).parallel(left, right).pipe(join)
twin = Workflow("twin", version="1").parallel(first, other).pipe(pair)
fan = Workflow("fan", version="1").pipe(listing).map(each, max_parallel=2).pipe(gather)

WORKFLOWS: dict[str, Workflow[Any, Any]] = {"line": line, "fork": fork, "twin": twin, "fan": fan, "wait": wait}
SERVED = WorkflowRegistry([line, fork, twin, fan], MsgspecCodec(LIMITS))
REGISTRY = WorkflowRegistry([line, fork, twin, fan, wait], MsgspecCodec(LIMITS))


@attrs.frozen
class Order:
    """One run that a client starts."""

    workflow: str
    work: Work
    at: float = 0.0  #: seconds after the client begins
    repeat: float | None = None  #: started again under the same key so much later
    cancel: float | None = None  #: cancelled so much later
    timeout: float | None = None  #: of the run
    delay: float | None = None  #: not before this many seconds
    signal: float = 1.0  #: a run that waits is sent its signal so much later
    signals: int = 1  #: of ids of their own


def ends_as_ordered(order: Order, run: Run, output: Any) -> bool:
    """Whether the run may end so: completed with what its bodies make of its input, or in another way."""
    work = order.work
    if run.status is not RunStatus.COMPLETED:
        return True
    bodies = order.workflow != "wait" and (order.workflow != "fan" or work.width > 0)
    if bodies and (work.hopeless or work.poison):
        return False
    did = LONG if work.large else "done"
    match order.workflow:
        case "line":
            return bool(output == f"first {did} second {did}!")
        case "fork":
            return bool(output == f"first {did} left {did} and first {did} right {did}")
        case "twin":
            return bool(output == f"first {did} and other {did}")
        case "fan":
            return bool(output == ", ".join(f"{element(work, number)} each {did}" for number in range(work.width)))
        case _:
            return bool(output == "yes")


@attrs.frozen
class Workload:
    """What is asked of a world."""

    orders: tuple[Order, ...]
    hosts: tuple[str, ...] = ("worker", "worker")  #: ``worker``, ``function``, or ``engine``: clients and worker in one
    fences: bool = False
    stops: bool = False  #: workers are stopped in order now and then, and others started


NAPS = (0.0, 0.0, 0.0, 0.05, 0.05, 0.5, 0.5, 2.0, 2.0, 5.0, 14.0)
"""The shorter they are, the sooner a world is over; the longest outlives a lease."""

RELAY = 6.0
"""Seconds between two looks for events that nobody told of: most of what an idle world does."""


def drawn(chance: Random) -> Workload:
    """A workload at random."""
    orders = tuple(drawn_order(chance) for _ in range(chance.choice((2, 2, 3, 4))))
    two, mixed, other = ("worker", "worker"), ("worker", "function"), ("function", "function")
    hosts: tuple[str, ...] = chance.choice((two, two, two, mixed, other))
    fences = chance.random() < 0.5
    if chance.random() < 0.2:
        hosts = tuple("engine" if kind == "worker" else kind for kind in hosts)
    return Workload(orders, hosts, fences=fences, stops=chance.random() < 0.25)


def drawn_order(chance: Random) -> Order:
    """One order at random."""
    fate = chance.random()
    work = Work(
        naps=[chance.choice(NAPS) for _ in range(3)],
        fails=[chance.choice((0, 0, 0, 1, 2)) for _ in range(3)],
        width=chance.choice((0, 1, 3, 5)),
        large=chance.random() < 0.2,
        hopeless=fate < 0.1,
        poison=fate > 0.98,
    )
    return Order(
        workflow=chance.choice(("line", "line", "fork", "fan", "twin", "twin", "fan", "wait")),
        work=work,
        at=chance.choice((0.0, 0.0, 0.0, 0.0, 0.5, 2.0, 4.0)),
        repeat=chance.choice((None, None, None, None, 0.0, 2.0, 6.0)),
        cancel=chance.choice((None,) * 8 + (0.01, 0.3, 1.0, 3.0, 10.0)),
        timeout=chance.choice((None, None, None, None, 4.0, 12.0)),
        delay=chance.choice((None, None, None, None, None, 5.0)),
        signal=chance.choice((0.0, 0.01, 0.5, 2.5, 8.0)),
        signals=chance.choice((1, 1, 2)),
    )


def place(trial: Trial, workload: Workload) -> None:
    """Put the workload's hosts and clients into a world."""
    trial.world.outside.fences = workload.fences
    trial.world.on_error = trial.audit.process_failed
    for number, order in enumerate(workload.orders, 1):
        trial.audit.expected[f"order-{number}"] = partial(ends_as_ordered, order)
    callers = [_Caller(trial, f"order-{number}", order) for number, order in enumerate(workload.orders, 1)]
    engines = workload.hosts.count("engine")
    placed = 0
    for number, kind in enumerate(workload.hosts, 1):
        if kind == "engine":
            trial.engine(f"engine-{number}", callers[placed::engines], relay_poll=RELAY, serves=SERVED)
            placed += 1
        elif kind == "worker":
            trial.worker(f"worker-{number}", relay_poll=RELAY, serves=SERVED, stops=workload.stops)
        else:
            trial.function(f"function-{number}", serves=SERVED)
    if any(order.workflow == "wait" for order in workload.orders):
        place_sleeper(trial, "sleeper-1")
        place_sleeper(trial, "sleeper-2")
    for number, caller in enumerate(() if engines else callers, 1):
        trial.client(f"client-{number}", caller)


class _Caller:
    """A client that keeps at it until it is answered, whatever dies meanwhile."""

    def __init__(self, trial: Trial, key: str, order: Order) -> None:
        self._trial = trial
        self._key = key
        self._order = order

    async def __call__(self, parts: Parts, worker: Worker | None = None) -> None:
        order = self._order
        registry = self._trial.registry
        dispatcher = Dispatcher(parts.store, parts.clock, parts.ids) if worker is None else worker.executor.dispatcher
        client = Client(parts, registry, dispatcher, worker)
        await asyncio.sleep(order.at)
        run_id = await self._start(client)
        if order.repeat is not None:
            await asyncio.sleep(order.repeat)
            again = await self._start(client)
            self._trial.audit.expect(again == run_id, f"key {self._key} started {run_id}, then {again}")
        if order.cancel is not None:
            await asyncio.sleep(order.cancel)
            if await self._tell(run_id, lambda: client.cancel(run_id, "the client changed its mind"), "cancel"):
                self._trial.audit.cancel_accepted(run_id)
        if order.workflow == "wait":
            for number in range(1, order.signals + 1):
                await asyncio.sleep(order.signal)
                await self._signal(client, run_id, SignalId(f"signal-{number}"))

    async def _signal(self, client: Client, run_id: RunId, signal_id: SignalId) -> None:
        if await self._tell(run_id, lambda: client.signal(run_id, "approval", "yes", id=signal_id), "signal"):
            self._trial.audit.signal_accepted(run_id, signal_id)

    async def _start(self, client: Client) -> RunId:
        order = self._order
        options = StartOptions(
            key=self._key,
            timeout=None if order.timeout is None else timedelta(seconds=order.timeout),
            start_at=None if order.delay is None else BEGINNING + timedelta(seconds=order.at + order.delay),
        )
        workflow = WORKFLOWS[order.workflow]
        given = "may I?" if order.workflow == "wait" else order.work
        while True:
            try:
                handle = await client.start(workflow, given, options)
            except PortError:
                self._trial.world.counts["start tried again"] += 1
                await asyncio.sleep(0.5)
            else:
                self._trial.audit.acknowledged(handle.id)
                return handle.id

    async def _tell(self, run_id: RunId, act: Callable[[], Awaitable[object]], name: str) -> bool:
        """Until it is answered; whether it was accepted."""
        while True:
            try:
                await act()
            except PortError:
                await asyncio.sleep(0.5)
            except CommandError:
                self._trial.world.counts[f"{name} came too late"] += 1
                self._trial.audit.refused(run_id, f"a {name}")
                return False
            else:
                self._trial.world.counts[f"{name} accepted"] += 1
                return True
