"""A trial: one world with its hosts, run until all has come to rest, and what came of it.

Chaos lasts for a while, then the world heals, and then every run must end and every event be published in time.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from random import Random

import attrs

from mainspring.hosts.execution.parts import Parts, Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker
from mainspring.hosts.simulation.audit import Audit
from mainspring.hosts.simulation.faults import Fault
from mainspring.hosts.simulation.functions import BREATH, Function
from mainspring.hosts.simulation.lives import Life, State
from mainspring.hosts.simulation.world import Seen, World
from mainspring.ports.errors import PortError

CHAOS = 20.0
"""Seconds for which things go wrong."""

PATIENCE = 600.0
"""Seconds after which, in a world that has healed, all must have come to rest: more than the longest back-off."""

MARGIN = 30.0
"""Seconds for which faults that struck before a world healed may still hold up the recovery of a lease."""

GRACE = timedelta(seconds=1)
"""How long a worker that is stopped in order lets its bodies finish."""

STOPS = (0.3, 1.0, 2.0, 4.0, 7.0, 11.0)
"""Seconds after which a worker may be stopped in order."""

HURRY = (None, None, None, 0.0, 0.2, 1.0)
"""Seconds after that at which it may be told to hurry."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of a world."""

    seed: int
    violations: tuple[str, ...]
    faults: tuple[Fault, ...]  #: that struck, in order: as a plan they make the same world again
    struck: tuple[str, ...] = ()  #: the point at which each of them did
    counts: Mapping[str, int]
    checks: int  #: invariants evaluated
    steps: int  #: callbacks run
    seconds: float  #: of virtual time
    timeline: tuple[Seen, ...] = ()


class Trial:
    """A world, its books, and its hosts.

    Args:
        parts: the adapters for a process that starts; called once per life, in its context.
        close: lets go of the world's state.
    """

    def __init__(
        self,
        world: World,
        audit: Audit,
        registry: WorkflowRegistry,
        parts: Callable[[Life], Parts],
        timing: Timing,
        *,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.world = world
        self.audit = audit
        self.registry = registry
        self.parts = parts  #: the adapters for a process that starts
        self._timing = timing
        audit.recovery = (timing.lease + 2 * timing.reap).total_seconds() + MARGIN
        self._close = close
        self._clients = 0

    # Hosts.

    def worker(
        self,
        name: str,
        *,
        serves: WorkflowRegistry | None = None,
        concurrency: int = 4,
        relay_poll: float = 3.0,
        stops: bool = False,
    ) -> None:
        """A node worker: its real loops. It serves all of the world's workflows, or those given.

        ``stops``: until the world heals, each process is stopped in order after some seconds, and another is started.
        """
        timing = attrs.evolve(self._timing, shutdown_grace=GRACE) if stops else self._timing
        settings = _settings(name, timing, concurrency, relay_poll)

        async def boot(life: Life) -> None:
            parts = self.parts(life)
            worker = Worker(parts, serves or self.registry, settings)
            if stops:
                self._stop_later(worker, life)
            await worker.run()
            await parts.store.close()
            self.world.counts["worker stopped in order"] += 1
            self.world.kill(life, BREATH)

        self.world.host(name, boot)

    def engine(
        self,
        name: str,
        acts: Sequence[Callable[[Parts, Worker], Awaitable[None]]] = (),
        *,
        serves: WorkflowRegistry | None = None,
        concurrency: int = 4,
        relay_poll: float = 3.0,
    ) -> None:
        """A worker and clients in one process, on the same parts; the world does not rest before all ``acts`` are done.

        What is not done when the process dies is started over by the next one.
        """
        settings = _settings(name, self._timing, concurrency, relay_poll)
        left = dict(enumerate(acts))
        self._clients += len(left)

        async def perform(number: int, parts: Parts, worker: Worker) -> None:
            await _learn_the_time(parts)
            await left[number](parts, worker)
            del left[number]
            self._clients -= 1
            self.world.counts["act of an engine"] += 1

        async def boot(life: Life) -> None:
            parts = self.parts(life)
            worker = Worker(parts, serves or self.registry, settings)
            await asyncio.gather(worker.run(), *(perform(number, parts, worker) for number in left))

        self.world.host(name, boot)

    def function(self, name: str, *, serves: WorkflowRegistry | None = None) -> None:
        """A serverless function: its real handlers, called for each message and on a schedule."""

        async def boot(life: Life) -> None:
            await Function(self.world, life, self.parts(life), serves or self.registry, self._timing).serve()

        self.world.host(name, boot)

    def client(self, name: str, act: Callable[[Parts], Awaitable[None]]) -> None:
        """A caller who does something from outside; the world does not rest before it is done.

        It starts over when its process dies.
        """
        self._clients += 1

        async def boot(life: Life) -> None:
            parts = self.parts(life)
            await _learn_the_time(parts)
            await act(parts)
            self._clients -= 1

        self.world.host(name, boot)

    def _stop_later(self, worker: Worker, life: Life) -> None:
        """Stop the worker in order, at a moment of its own; now and then it is told to hurry."""
        chance, loop = Random(f"{self.world.seed}/{life.name}/stop"), self.world.loop  # noqa: S311
        after, hurry = chance.choice(STOPS), chance.choice(HURRY)

        def tell(what: Callable[[], None]) -> None:
            if not self.world.healed:
                what()

        loop.call_later(after, tell, worker.stop)
        if hurry is not None:
            loop.call_later(after + hurry, tell, worker.hurry)

    # The course of it.

    def run(self, *, chaos: float = CHAOS, patience: float = PATIENCE) -> Outcome:
        """Run the world to its end, and close it."""
        try:
            return self.play(chaos=chaos, patience=patience)
        finally:
            self.close()

    def play(self, *, chaos: float = CHAOS, patience: float = PATIENCE) -> Outcome:
        """Run the world to its end. Look at what its processes left behind before it is closed."""
        world = self.world
        world.after(chaos, world.heal)
        world.after(1.0, self._look)
        going = world.loop.run(chaos + patience)
        if not world.violations and not self.at_rest:
            self.audit.at_the_end()
            if not world.violations:
                world.violate("a client never got through" if going else "nothing is left that could ever happen")
        for trouble in world.loop.troubles:
            world.violate(f"a callback raised {trouble!r}")
        return self._outcome()

    def close(self) -> None:
        """Let go of the world. Only now do the ``finally`` blocks run of processes that died or were still at work."""
        self.world.loop.close()
        self._close()

    @property
    def at_rest(self) -> bool:
        """Whether all is done, and nobody is frozen who might come back."""
        return (
            self._clients == 0
            and self.audit.settled
            and not any(host.life is not None and host.life.state is State.FROZEN for host in self.world.hosts.values())
        )

    def _look(self) -> None:
        if self.at_rest:
            self.world.loop.stop()
        else:
            self.world.after(1.0, self._look)

    def _outcome(self) -> Outcome:
        world = self.world
        return Outcome(
            seed=world.seed,
            violations=tuple(world.violations),
            faults=tuple(world.met),
            struck=tuple(world.struck),
            counts=Counter(world.counts),
            checks=self.audit.checks,
            steps=world.loop.steps,
            seconds=world.loop.time(),
            timeline=tuple(world.timeline or ()),
        )


def _settings(name: str, timing: Timing, concurrency: int, relay_poll: float) -> WorkerSettings:
    return WorkerSettings(name=name, timing=timing, concurrency=concurrency, relay_poll=timedelta(seconds=relay_poll))


async def _learn_the_time(parts: Parts) -> None:
    """Ask for the store's time until it is told."""
    while True:
        try:
            await parts.refresh_clock()
        except PortError:
            await asyncio.sleep(BREATH)
        else:
            return
