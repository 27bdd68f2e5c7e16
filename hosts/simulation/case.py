"""A case: what makes one world of a user's workflow, as a line of text that can be kept with a test."""

import json
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import attrs

from mainspring.hosts.simulation.faults import RARE, Chaos, Fault, Faults, Kind, Plan, Profile
from mainspring.hosts.simulation.lives import Host
from mainspring.hosts.simulation.messages import Manners
from mainspring.hosts.simulation.trial import CHAOS

RESTART = 0.5
"""Seconds after which a process that was made to crash is replaced."""

POLITE = Manners()
"""Every message arrives, once and in time."""

CLIENT = "client"
"""The host that starts the run. Nothing befalls it: it would only begin later."""

RATES = (0.0, 0.005, 0.02, 0.05)
"""Rates a kind may have in one world: higher than in our own campaigns, for a run passes its few points but once."""


@attrs.frozen(kw_only=True)
class Case:
    """One world."""

    seed: int  #: of latencies, ids, the fate of each message
    faults: tuple[Fault, ...] | None = ()  #: None: whatever the seed decides
    manners: Manners = POLITE
    chaos: float = CHAOS  #: seconds until the world heals

    @classmethod
    def by_chance(cls, seed: int) -> "Case":
        """A world in which the seed decides what goes wrong, and how often which kind does."""
        return cls(seed=seed, faults=None, manners=Manners.of(Random(f"{seed}/manners")))  # noqa: S311

    def decides(self) -> Faults:
        """What goes wrong in it."""
        if self.faults is not None:
            return Plan(self.faults)
        chance = Random(f"{self.seed}/profile")  # noqa: S311
        uncommon = {kind: RARE.get(kind, 1.0) for kind in (Kind.SKEW, Kind.STORE_SKEW, Kind.OUTAGE)}
        return _Sparing(Profile({kind: chance.choice(RATES) * uncommon.get(kind, 1.0) for kind in Kind}))

    def to_json(self) -> str:
        """The case as text. Its faults must be known."""
        faults = [[fault.host, fault.point, fault.kind.value, fault.seconds] for fault in self.faults or ()]
        manners = attrs.astuple(self.manners)
        rough = {"messages": manners} if any(manners) else {}
        lasting = {} if self.chaos == CHAOS else {"chaos": self.chaos}
        return json.dumps({"seed": self.seed, "faults": faults, **rough, **lasting})

    @classmethod
    def from_json(cls, text: str) -> "Case":
        """The case that ``to_json`` wrote.

        Raises:
            ValueError: it did not write this.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            faults = [Fault(host, point, Kind(kind), seconds) for host, point, kind, seconds in found["faults"]]
            manners, chaos = Manners(*found.get("messages", ())), float(found.get("chaos", CHAOS))
            return cls(seed=found["seed"], faults=tuple(faults), manners=manners, chaos=chaos)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a plan that simulate() printed: {text!r} ({error!r})") from error


class _Sparing(Chaos):
    """Chance that spares the client."""

    def at(self, host: Host, name: str) -> Fault | None:
        """A fault, if chance has it."""
        return None if host.name == CLIENT else super().at(host, name)


def crashes(seed: int, passed: Mapping[str, int], chaos: float) -> Iterator[Case]:
    """A world for each point that a host passed in a world where nothing went wrong: there it dies, and only there."""
    for host, points in passed.items():
        for point in range(1, points + 1):
            yield Case(seed=seed, faults=(Fault(host, point, Kind.CRASH, RESTART),), chaos=chaos)
