"""A world: hosts on one virtual-time loop, the faults that befall them, and what was seen of it all.

Everything that reaches outside a process passes ``World.point`` before and after its effect: there the world may let
time pass, refuse, lie about the outcome, freeze the process or end it. After ``heal`` nothing goes wrong any more.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import lru_cache
from random import Random
from typing import Any

import attrs

from mainspring.hosts.simulation.clocks import StoreTime
from mainspring.hosts.simulation.faults import MOST_NAMES, UNKNOWN, WRITES, Fault, Faults, Kind
from mainspring.hosts.simulation.lives import LIFE, Boot, Host, Life, State
from mainspring.hosts.simulation.loop import NOTHING, Nap, SimulationError, new_loop, running_loop
from mainspring.hosts.simulation.outside import Outside
from mainspring.ports.errors import UnavailableError, UnknownOutcomeError

LINGER = 0.3
"""Share of the time until a dead process is replaced that its open transactions still hold their locks."""


@attrs.frozen
class Seen:
    """One line of the timeline."""

    at: float  #: seconds since the world began
    who: str  #: the life, or ``world``
    what: str


class World:
    """One simulated world.

    Args:
        seed: decides latencies, and with ``Chaos`` the faults.
        faults: decides what goes wrong.
        pace: seconds a port call takes on the average.
        traced: keep a timeline, at some cost.
    """

    def __init__(self, seed: int, faults: Faults, *, pace: float = 0.004, traced: bool = False) -> None:
        self.seed = seed
        self.loop = new_loop(seed * 1_000_003)
        self.time = StoreTime(self.loop)
        self.hosts: dict[str, Host] = {}
        self.met: list[Fault] = []  #: faults that struck
        self.struck: list[str] = []  #: the point at which each of them did
        self.counts: Counter[str] = Counter()  #: what happened, by name
        self.violations: list[str] = []
        self.timeline: list[Seen] | None = [] if traced else None
        self.healed = False
        self.healed_at: float | None = None  #: seconds since the world began
        self.on_error: Callable[[Life, BaseException], None] = lambda _, __: None  #: told of what ended a process
        self.on_death: Callable[[Life], None] = lambda _: None  #: told once its open transactions are rolled back
        self.outside = Outside(self.point, self.loop.time, self.counts, self.saw)
        self.loop.world = self
        self._faults = faults
        self._pace = pace
        self._root = Context()

    # Hosts.

    def host(self, name: str, boot: Boot, *, restarts: bool = True) -> Host:
        """Add a host, and start its first process."""
        latency, chaos = Random(f"{self.seed}/{name}/latency"), Random(f"{self.seed}/{name}/chaos")  # noqa: S311
        host = Host(name, boot, latency, chaos, restarts)
        self.hosts[name] = host
        self.after(0.0, self._start, host)
        return host

    def after(self, seconds: float, act: Callable[..., object], *args: Any) -> None:
        """Have the world itself do something later: no process' death or freeze stops it."""
        self.loop.timer(self.loop.now + seconds, act, args, self._root)

    def _start(self, host: Host) -> None:
        host.lives += 1
        life = host.life = Life(host, host.lives)
        self.saw("started", life)
        context = Context()
        context.run(LIFE.set, life)
        task = self.loop.create_task(host.boot(life), name=life.name, context=context)
        task.add_done_callback(lambda done: self._ended(life, done), context=self._root)

    def _ended(self, life: Life, task: "asyncio.Future[Any]") -> None:
        """The process ended by itself; a worker that died of an error is started anew, as a supervisor does."""
        error = None if task.cancelled() else task.exception()
        self.saw("ended" if error is None else f"ended: {error!r}", life)
        if life.state is State.DEAD:
            return
        if error is not None or task.cancelled():
            self.counts["process ended by an error"] += 1
            if error is not None:
                self.on_error(life, error)
            self.kill(life, 1.0)

    def kill(self, life: Life, seconds: float) -> None:
        """End the process here and now; another is started after so many seconds, where the host restarts."""
        if life.state is State.DEAD:
            return
        self.loop.kill(life)
        self.saw("died", life)
        self.after(seconds * LINGER, self.on_death, life)
        if life.host.restarts:
            self.after(max(seconds, 0.001), self._start, life.host)

    def freeze(self, life: Life, seconds: float) -> None:
        """Stop the process for so long."""
        self.loop.freeze(life)
        self.saw(f"frozen for {seconds:g} s", life)
        self.after(seconds, self._thaw, life)

    def _thaw(self, life: Life) -> None:
        if life.state is State.FROZEN:
            self.loop.thaw(life)
            self.saw("thawed", life)

    def heal(self) -> None:
        """From now on nothing goes wrong: who is frozen goes on, who is cut off reaches the others."""
        self.healed, self.healed_at = True, self.loop.time()
        for host in self.hosts.values():
            host.dark_until = 0.0
            if host.life is not None:
                self._thaw(host.life)
        self.saw("the world heals")

    # Scheduling points.

    def point(self, name: str) -> Awaitable[None]:
        """Pass a point: ``<call>:before``, ``<call>:locked`` or ``<call>:after``; what bodies do is ``effect <name>``.

        Await at once what it gives. No coroutine: hundreds of points are passed for one at which something happens.

        Raises:
            UnavailableError: nothing was done (before), or it was and the answer was lost (after).
            UnknownOutcomeError: a commit was written, or not.
        """
        life = LIFE.get()
        if life is None:
            return NOTHING
        host = life.host
        host.passed += 1
        if not self.healed:
            fault = self._faults.at(host, name)
            if fault is not None:
                return self._struck_at(fault, life, name)
            if host.dark_until > self.loop.now:
                raise self._in_the_dark(name)
        return self._pass(name, life)

    def _pass(self, name: str, life: Life) -> Awaitable[None]:
        if self.timeline is not None:
            self.saw(name, life)
        share = _share(name)
        if share:
            chance = life.host.latency.random()
            if chance < share:
                chance /= share
                return Nap(self.loop, self._pace * 3 * chance * chance)
        return NOTHING

    def _in_the_dark(self, name: str) -> Exception:
        self.counts["calls into the dark" if name.endswith(":before") else "answers lost in the dark"] += 1
        return failure_at(name)

    async def _struck_at(self, fault: Fault, life: Life, name: str) -> None:
        await self._strike(fault, life, name)
        if life.host.dark_until > self.loop.now:
            raise self._in_the_dark(name)
        await self._pass(name, life)

    async def _strike(self, fault: Fault, life: Life, name: str) -> None:
        self.met.append(fault)
        self.struck.append(name)
        self.counts[f"{fault.kind} at {_place(name)}"] += 1
        if self.timeline is not None:
            self.saw(f"{name} meets {fault.kind} ({fault.seconds:g} s)", life)
        match fault.kind:
            case Kind.DELAY:
                await Nap(self.loop, fault.seconds)
            case Kind.ERROR:
                raise failure_at(name, fault.seconds)
            case Kind.OUTAGE:
                life.host.dark_until = self.loop.time() + fault.seconds
            case Kind.FREEZE:
                self.freeze(life, fault.seconds)
                await asyncio.sleep(0)
            case Kind.CRASH:
                self.kill(life, fault.seconds)
                await asyncio.sleep(0)
            case Kind.SKEW:
                life.host.skew += fault.seconds
            case Kind.STORE_SKEW:
                self.time.skew += fault.seconds

    # Watching.

    def saw(self, what: str, life: Life | None = None) -> None:
        """Add a line to the timeline, if one is kept."""
        if self.timeline is not None:
            self.timeline.append(Seen(self.loop.time(), "world" if life is None else life.name, what))

    def violate(self, what: str) -> None:
        """A promise was broken: the world ends here."""
        life = LIFE.get()
        self.violations.append(what)
        self.saw(f"VIOLATION: {what}", life)
        self.loop.stop()


@lru_cache(MOST_NAMES)
def _share(name: str) -> float:
    """How often time passes at a point: where nothing is written, only so often that reads part from one another."""
    call, _, side = _place(name).partition(":")
    if call in WRITES:
        return 0.3 if side == "after" else 1.0
    return 0.0 if side == "after" else 0.4


def _place(name: str) -> str:
    """The point without the name of what is done outside: ``effect:after`` for ``effect charge:after``."""
    call, _, side = name.rpartition(":")
    return f"{call.partition(' ')[0]}:{side}"


def failure_at(name: str, seconds: float = 0.0) -> Exception:
    """What a caller meets when a call fails at this point; ``seconds``: of the fault."""
    if name == "commit:after" or (seconds == UNKNOWN and name.startswith("commit:")):
        return UnknownOutcomeError("the connection was lost at commit: written, or not")
    if name[-1] == "r":
        return UnavailableError(f"the answer of {name.partition(':')[0]} was lost")
    return UnavailableError(f"{name.partition(':')[0]} was refused: the connection is down")


def current_world() -> World:
    """The world this code runs in.

    Raises:
        SimulationError: it runs in the real one.
    """
    world = running_loop().world
    if not isinstance(world, World):
        raise SimulationError("this loop belongs to no world")
    return world
