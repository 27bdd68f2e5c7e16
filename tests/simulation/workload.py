"""The mixed workload of the campaigns: a few runs of small workflows, and clients that start, repeat and cancel them.

A workload is plain data, so that it can be drawn from a seed, drawn by Hypothesis, shrunk, and kept with a test.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any, TypedDict

import attrs

from mainspring import Context, NonRetryable, Retry, Workflow, stage
from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.client import Client
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.simulation.clocks import BEGINNING
from mainspring.hosts.simulation.trial import Trial
from mainspring.hosts.simulation.world import current_world
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.codec import Limits
from mainspring.ports.errors import CommandError, PortError
from mainspring.ports.names import RunId
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


class Pair(TypedDict):
    """What follows ``first`` and ``other``."""

    first: str
    other: str


class Both(TypedDict):
    """What follows ``left`` and ``right``."""

    left: str
    right: str


async def do(ctx: Context, work: Work, depth: int) -> str:
    """A body: takes its time, does something outside, fails as often as it is told to."""
    outside = current_world().outside
    await asyncio.sleep(work.naps[depth] / 2)
    await outside.call(ctx.stage, key=ctx.idempotency_key, token=ctx.fencing_token)
    await asyncio.sleep(work.naps[depth] / 2)
    if ctx.attempt <= work.fails[depth]:
        raise ValueError(f"attempt {ctx.attempt} fails")
    if work.hopeless and depth == 1:
        raise NonRetryable("hopeless")
    return LONG if work.large else "done"


@stage(retry=QUICK)
async def first(ctx: Context, work: Work) -> str:
    return await do(ctx, work, 0)


@stage(retry=TWICE, timeout=timedelta(seconds=12))
async def second(ctx: Context[None], before: str) -> str:
    return await do(ctx, ctx.run_input, 1)


@stage(retry=QUICK)
def third(ctx: Context, before: str) -> str:
    return before + "!"


@stage(retry=QUICK)
async def left(ctx: Context, before: str) -> str:
    return await do(ctx, ctx.run_input, 1)


@stage(retry=QUICK)
async def right(ctx: Context, before: str) -> str:
    return await do(ctx, ctx.run_input, 2)


@stage(retry=QUICK)
async def join(ctx: Context, both: Both) -> int:
    return len(both["left"]) + len(both["right"])


@stage(retry=QUICK)
async def other(ctx: Context, work: Work) -> str:
    return await do(ctx, work, 1)


@stage(retry=QUICK)
async def pair(ctx: Context, both: Pair) -> int:
    return len(both["first"]) + len(both["other"])


@stage(retry=QUICK)
async def listing(ctx: Context, work: Work) -> list[str]:
    return [LONG if work.large else str(number) for number in range(work.width)]


@stage(retry=QUICK)
async def each(ctx: Context, item: str) -> str:
    return await do(ctx, ctx.run_input, 1)


@stage(retry=ONCE)
async def gather(ctx: Context, items: list[str]) -> int:
    return len(items)


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


@attrs.frozen
class Workload:
    """What is asked of a world."""

    orders: tuple[Order, ...]
    hosts: tuple[str, ...] = ("worker", "worker")  #: ``worker`` or ``function``
    fences: bool = False


NAPS = (0.0, 0.0, 0.0, 0.05, 0.05, 0.5, 0.5, 2.0, 2.0, 5.0, 14.0)
"""The shorter they are, the sooner a world is over; the longest outlives a lease."""

RELAY = 6.0
"""Seconds between two looks for events that nobody told of: most of what an idle world does."""


def drawn(chance: Random) -> Workload:
    """A workload at random."""
    orders = tuple(drawn_order(chance) for _ in range(chance.choice((2, 2, 3, 4))))
    hosts = chance.choice((("worker", "worker"),) * 3 + (("worker", "function"), ("function", "function")))
    return Workload(orders, hosts, fences=chance.random() < 0.5)


def drawn_order(chance: Random) -> Order:
    """One order at random."""
    work = Work(
        naps=[chance.choice(NAPS) for _ in range(3)],
        fails=[chance.choice((0, 0, 0, 1, 2)) for _ in range(3)],
        width=chance.choice((0, 1, 3, 5)),
        large=chance.random() < 0.2,
        hopeless=chance.random() < 0.1,
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
    )


def place(trial: Trial, workload: Workload) -> None:
    """Put the workload's hosts and clients into a world."""
    trial.world.outside.fences = workload.fences
    for number, kind in enumerate(workload.hosts, 1):
        if kind == "worker":
            trial.worker(f"worker-{number}", relay_poll=RELAY, serves=SERVED)
        else:
            trial.function(f"function-{number}", serves=SERVED)
    if any(order.workflow == "wait" for order in workload.orders):
        place_sleeper(trial, "sleeper-1")
        place_sleeper(trial, "sleeper-2")
    for number, order in enumerate(workload.orders, 1):
        trial.client(f"client-{number}", _Caller(trial, f"order-{number}", order))


class _Caller:
    """A client that keeps at it until it is answered, whatever dies meanwhile."""

    def __init__(self, trial: Trial, key: str, order: Order) -> None:
        self._trial = trial
        self._key = key
        self._order = order

    async def __call__(self, parts: Parts) -> None:
        order = self._order
        registry = self._trial.registry
        client = Client(parts, registry, Dispatcher(parts.store, parts.clock, parts.ids))
        await asyncio.sleep(order.at)
        run_id = await self._start(client)
        if order.repeat is not None:
            await asyncio.sleep(order.repeat)
            again = await self._start(client)
            self._trial.audit.expect(again == run_id, f"key {self._key} started {run_id}, then {again}")
        if order.cancel is not None:
            await asyncio.sleep(order.cancel)
            await self._tell(lambda: client.cancel(run_id, "the client changed its mind"), "cancel")
        if order.workflow == "wait":
            await asyncio.sleep(order.signal)
            await self._tell(lambda: client.signal(run_id, "approval", "yes", id="signal-1"), "signal")

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

    async def _tell(self, act: Callable[[], Awaitable[object]], name: str) -> None:
        while True:
            try:
                await act()
            except PortError:
                await asyncio.sleep(0.5)
            except CommandError:
                self._trial.world.counts[f"{name} came too late"] += 1
                return
            else:
                self._trial.world.counts[f"{name} accepted"] += 1
                return
