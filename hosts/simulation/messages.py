"""Messages of a simulated world: hints that are lost, doubled, late and out of order; news of ended runs likewise.

A message is delivered to one host at a time, comes again when it was not settled in time, and may come when it is no
longer true. What happens to each is decided by its own ordinal, so that it does not depend on anything else.
"""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from random import Random

import attrs

from mainspring.hosts.simulation.world import World
from mainspring.ports.names import RunId, SinkName
from mainspring.ports.records import Event, Hint, Pointer
from mainspring.ports.sinks import DEFAULT_SINK

VISIBILITY = 15.0
"""Seconds after which a message that was received and not settled comes again."""


POINTED = 0.4
"""Share of the worlds in which jobs are worked on as messages point at them."""


@attrs.frozen
class Manners:
    """How badly messages are treated in one world: chances per message."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    pointed: bool = False  #: jobs are worked on as messages point at them; else a message only says "look"

    @classmethod
    def of(cls, chance: Random) -> "Manners":
        """Manners at random."""
        lost, doubled, late = (chance.choice((0.0, 0.05, 0.3, 0.9)) for _ in range(3))
        return cls(lost, doubled, late, chance.random() < POINTED)


class SimJobTransport:
    """A queue of hints, shared by the hosts of a world."""

    def __init__(self, world: World, manners: Manners) -> None:
        self.carries_pointers = manners.pointed
        self._world = world
        self._manners = manners
        self._chance = Random(f"{world.seed}/messages")  # noqa: S311
        self._waiting: deque[Hint] = deque()
        self._out: dict[str, Hint] = {}
        self._receivers: deque[Future[None]] = deque()
        self._count = 0

    async def send(self, pointers: Sequence[Pointer], after: timedelta = timedelta(0)) -> None:
        """Take hints; some are lost, doubled or late."""
        await self._world.point("send:before")
        for pointer in pointers:
            self._accept(pointer, after.total_seconds())
        await self._world.point("send:after")

    async def receive(self, limit: int, wait: timedelta) -> list[Hint]:
        """Hints, or none after the wait."""
        await self._world.point("receive:before")
        loop = self._world.loop
        until = loop.time() + wait.total_seconds()
        while not self._waiting and loop.time() < until:
            news: Future[None] = loop.create_future()
            self._receivers.append(news)
            timer = loop.call_at(until, _ring, news)
            try:
                await news
            finally:
                timer.cancel()
        hints = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
        for hint in hints:
            self._out[hint.receipt] = hint
            self._world.after(VISIBILITY, self._again, hint)
        await self._world.point("receive:after")
        return hints

    async def settle(self, hint: Hint, again_after: timedelta | None = None) -> None:
        """Done with it, or wanted again later."""
        await self._world.point("settle:before")
        if again_after is None:
            self._out.pop(hint.receipt, None)
        else:
            self._world.after(again_after.total_seconds(), self._again, hint)
        await self._world.point("settle:after")

    async def close(self) -> None:
        """A host lets go of it."""

    def _accept(self, pointer: Pointer, after: float) -> None:
        fate, manners = self._chance, self._manners
        lost, doubled, late = fate.random(), fate.random(), fate.random()
        if self._world.healed:
            lost = doubled = late = 1.0
        if lost < manners.lost:
            self._world.counts["hint lost"] += 1
            return
        times = 1
        if doubled < manners.doubled:
            self._world.counts["hint doubled"] += 1
            times = 2
        for _ in range(times):
            delay = after + 0.001
            if late < manners.late:
                self._world.counts["hint late"] += 1
                delay += fate.choice((0.5, 5.0, 30.0))
            self._count += 1
            hint = Hint(receipt=str(self._count), pointer=pointer)
            self._world.after(delay, self._deliver, hint)

    def _deliver(self, hint: Hint) -> None:
        self._waiting.append(hint)
        receivers, self._receivers = self._receivers, deque()
        for news in receivers:  # one takes it, the others wait on; the dead and the frozen among them take nothing
            _ring(news)

    def _again(self, hint: Hint) -> None:
        if self._out.pop(hint.receipt, None) is not None:
            self._world.counts["hint delivered again"] += 1
            self._deliver(hint)


def _ring(news: "Future[None]") -> None:
    if not news.done():
        news.set_result(None)


class SimRunFeed:
    """News of ended runs that always gets lost: who waits for a result asks the store now and then."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def ended(self, run_ids: Collection[RunId]) -> None:  # noqa: ARG002
        """Lost."""
        await self._world.point("ended:before")

    async def wait(self, run_ids: Collection[RunId], wait: timedelta) -> None:  # noqa: ARG002
        """Wait in vain."""
        await asyncio.sleep(wait.total_seconds())


class SimEventSink:
    """A consumer of events that refuses some, and tells ``taken`` of the others."""

    def __init__(
        self,
        world: World,
        manners: Manners,
        taken: Callable[[SinkName, Sequence[Event]], None],
        name: SinkName = DEFAULT_SINK,
    ) -> None:
        self._world = world
        self._manners = manners
        self._taken = taken
        self._name = name
        self._chance = Random(f"{world.seed}/sink" + f"/{name}" * (name != DEFAULT_SINK))  # noqa: S311

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        """Take events, in order per run."""
        await self._world.point("publish:before")
        held_up: set[RunId] = set()
        answers: list[str | None] = []
        taken: list[Event] = []
        for event in events:
            refused = self._chance.random() < self._manners.lost * 0.2 and not self._world.healed
            if refused or event.run_id in held_up:
                held_up.add(event.run_id)
                answers.append("the sink is full")
            else:
                taken.append(event)
                answers.append(None)
        self._taken(self._name, taken)
        await self._world.point("publish:after")
        return answers
