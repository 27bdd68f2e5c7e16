"""Sweeps: a few small worlds in which nothing goes wrong, and then each of them again with one fault, at every point.

What one fault can break is thereby found without luck, and by a plan that needs no shrinking.
"""

from collections.abc import Iterator
from random import Random

import attrs

from mainspring.hosts.simulation.faults import Fault, Kind
from mainspring.hosts.simulation.lives import Host
from mainspring.hosts.simulation.messages import Manners
from tests.simulation.case import Case
from tests.simulation.workload import Order, Work, Workload

TELLING = ((Kind.FREEZE, 20.0), (Kind.DELAY, 15.0), (Kind.DELAY, 4.0), (Kind.ERROR, 0.0), (Kind.CRASH, 0.5))
"""Kinds of fault and how long they last: beyond the lease, so that somebody else takes over, or well within it."""

BRIEF = Work(naps=[0.5, 0.5, 0.5], fails=[0, 0, 0])
LASTING = Work(naps=[2.0, 2.0, 2.0], fails=[0, 0, 0])

SMALL = (
    Workload((Order("line", attrs.evolve(LASTING, fails=[1, 0, 0]), cancel=3.0, repeat=1.0),)),
    Workload((Order("line", attrs.evolve(BRIEF, large=True)),)),
    Workload((Order("twin", LASTING),)),
    Workload((Order("fan", LASTING, cancel=2.0),)),
    Workload((Order("fork", LASTING, timeout=20.0),), hosts=("worker", "function")),
    Workload((Order("wait", BRIEF, signal=2.0),)),
)
"""One run each, of every kind there is."""


class _Listing:
    """Faults that never strike, and note every point that is passed."""

    def __init__(self) -> None:
        self.points: list[tuple[str, int, str]] = []

    def at(self, host: Host, name: str) -> None:
        """Nothing goes wrong."""
        self.points.append((host.name, host.passed, name))


def sweep(store: str = "memory", *, seeds: int = 3) -> Iterator[Case]:
    """Every world of one fault, in no order, so that neighbours do not come one after the other."""
    worlds = [case for seed in range(seeds) for case in _worlds(seed, store)]
    Random("sweep").shuffle(worlds)
    yield from worlds


def _worlds(seed: int, store: str) -> Iterator[Case]:
    for workload in SMALL:
        case = Case(seed=seed, store=store, workload=workload, manners=Manners())
        yield case
        listing = _Listing()
        case.run(listing)
        for host, point, name in listing.points:
            if not name.startswith(("receive", "settle", "now", "next_due", "record_worker", "list")):
                for kind, seconds in TELLING:
                    yield attrs.evolve(case, faults=(Fault(host, point, kind, seconds),))
        for host in dict.fromkeys(host for host, _, _ in listing.points):
            yield attrs.evolve(case, faults=(Fault(host, 1, Kind.SKEW, 3600.0),))
