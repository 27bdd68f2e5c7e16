"""Faults: what may go wrong at a scheduling point, and who decides it — a plan, or a seed's chance.

Points are counted per host. A plan names (host, number of the point, kind, seconds), so that taking one fault away
leaves the others where they are: that is what lets a failing world shrink.
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from random import Random
from typing import Protocol

import attrs

from mainspring.hosts.simulation.lives import Host


class Kind(StrEnum):
    """What goes wrong."""

    DELAY = "delay"  #: the answer takes so many seconds
    ERROR = "error"  #: before: refused, nothing was done; after: done, and reported as failed; see ``UNKNOWN``
    OUTAGE = "outage"  #: this host reaches nothing for so many seconds, and no answer reaches it
    FREEZE = "freeze"  #: the process stops for so many seconds, as by SIGSTOP, a pause of its VM, a garbage collection
    CRASH = "crash"  #: the process dies; another is started after so many seconds
    #: this host's wall clock jumps by so many seconds: nothing of Mainspring reads it, so only code breaks that does
    SKEW = "skew"
    STORE_SKEW = "store_skew"  #: the store's clock jumps by so many seconds


@attrs.frozen
class Fault:
    """One fault at one point."""

    host: str
    point: int  #: the number of the point among those the host passes: 1 for the first
    kind: Kind
    seconds: float


class Faults(Protocol):
    """Decides what goes wrong."""

    def at(self, host: Host, name: str) -> Fault | None:
        """The fault at the point of that name which the host passes now, or None. Asked once per point."""
        ...


class Plan:
    """Exactly these faults."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults: dict[tuple[str, int], Fault] = {(fault.host, fault.point): fault for fault in faults}

    def at(self, host: Host, name: str) -> Fault | None:  # noqa: ARG002
        """The planned fault."""
        return self._faults.get((host.name, host.passed))


UNKNOWN = 1.0
"""The ``seconds`` of an error after which a caller does not know that its commit was not written; 0: it does."""

MOST_NAMES = 256
"""Names of points that are remembered: those of effects are the user's, and there may be any number."""

SECONDS: Mapping[Kind, tuple[float, ...]] = {
    Kind.DELAY: (0.05, 0.5, 2.0, 6.0, 15.0, 30.0),
    Kind.ERROR: (0.0, UNKNOWN),
    Kind.OUTAGE: (0.5, 3.0, 8.0, 20.0),
    Kind.FREEZE: (0.5, 4.0, 9.0, 14.0, 20.0, 35.0),
    Kind.CRASH: (0.01, 0.5, 3.0, 10.0, 20.0),
    Kind.SKEW: (-3600.0, -60.0, -20.0, -0.5, 0.5, 20.0, 60.0, 3600.0),
    Kind.STORE_SKEW: (-20.0, -5.0, -0.5, 0.5, 5.0, 20.0),
}
"""How long a fault of each kind may last. The longest exceed a simulated lease (12 s): a zombie that is back in time
shows nothing.
"""

RATES = (0.0, 0.0, 0.001, 0.005, 0.01, 0.03)
"""Rates per point a kind may have in one world. All of them high at once is no progress, and so no coverage."""

WRITES = frozenset({"commit", "claim", "extend", "publish", "put", "delete", "effect", "send"})
"""Calls that change something: where a fault tells most."""


@lru_cache(MOST_NAMES)
def weight(name: str) -> float:
    """By how much the rates at a point of this name are multiplied."""
    return 4.0 if name.partition(":")[0].partition(" ")[0] in WRITES else 0.5


RARE: Mapping[Kind, float] = {Kind.STORE_SKEW: 0.1, Kind.SKEW: 0.3, Kind.OUTAGE: 0.3, Kind.FREEZE: 0.6, Kind.CRASH: 0.6}
"""What a kind's rate is multiplied by."""


@attrs.frozen
class Profile:
    """How often each kind strikes in one world: a swarm's member."""

    rates: Mapping[Kind, float]

    @classmethod
    def of(cls, chance: Random) -> "Profile":
        """A profile at random: most kinds off or rare, some frequent."""
        return cls({kind: chance.choice(RATES) * RARE.get(kind, 1.0) for kind in Kind})


class Chaos:
    """Faults at random, by a profile; the stream of each host is its own."""

    def __init__(self, profile: Profile) -> None:
        bound = 0.0
        self._bounds: list[tuple[float, Kind]] = []
        for kind, rate in profile.rates.items():
            if rate:
                bound += rate
                self._bounds.append((bound, kind))
        self._bound = bound

    def at(self, host: Host, name: str) -> Fault | None:
        """A fault, if chance has it."""
        chance = host.chaos.random() / weight(name)
        if chance >= self._bound:
            return None
        kind = next(kind for bound, kind in self._bounds if chance < bound)
        return Fault(host.name, host.passed, kind, host.chaos.choice(SECONDS[kind]))


def to_json(faults: Iterable[Fault]) -> str:
    """The plan as text, to be kept with a test."""
    return json.dumps([[fault.host, fault.point, fault.kind.value, fault.seconds] for fault in faults])


def from_json(text: str) -> tuple[Fault, ...]:
    """The plan that ``to_json`` wrote."""
    return tuple(Fault(host, point, Kind(kind), seconds) for host, point, kind, seconds in json.loads(text))
