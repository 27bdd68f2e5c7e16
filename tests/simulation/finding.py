"""Finding a world that fails, and the smallest one like it."""

import re
from collections.abc import Callable, Iterator
from random import Random

import attrs

from mainspring.hosts.simulation.faults import Chaos, Kind, Profile
from mainspring.hosts.simulation.messages import Manners
from mainspring.hosts.simulation.shrink import shrink
from mainspring.hosts.simulation.timeline import report
from mainspring.hosts.simulation.trial import Outcome, Trial
from tests.simulation.case import Case, chaos_of, drawn_case, run
from tests.simulation.workload import Workload, drawn_order

ENOUGH = 3
"""Faults few enough to be read: the search ends."""


@attrs.frozen
class Found:
    """The first world that failed."""

    seed: int
    outcome: Outcome


@attrs.frozen
class Smallest:
    """The world with the fewest faults that was found to fail."""

    case: Case  #: its faults are planned: it can be run again, and kept
    outcome: Outcome
    seeds: int  #: worlds until the first that failed
    worlds: int  #: run for it, shrinking included

    def report(self) -> str:
        """For a reader: what was violated, the plan, the timeline."""
        return report(self.case.run(traced=True))


def find(make: Callable[[int], Trial], *, seeds: int, first: int = 0) -> Found | None:
    """The first of so many seeds whose world fails."""
    for seed in range(first, first + seeds):
        outcome = run(make(seed))
        if outcome.violations:
            return Found(seed, outcome)
    return None


def find_and_shrink(
    *, seeds: int = 2000, store: str = "memory", tries: int = 6, enough: int = ENOUGH
) -> Smallest | None:
    """The smallest failing world of so many: every other one of the campaign's, every other one small from the start.

    Args:
        seeds: worlds to try until one fails.
        store: of the worlds.
        tries: failing worlds to shrink before the best is good enough.
        enough: a plan of so few faults ends the search at once.
    """
    best: Smallest | None = None
    first = 0
    meter = Meter()
    for failing, number in _failing(seeds, store, meter):
        first = first or number
        case = shrunk(failing, most=80, meter=meter)
        if best is None or _size(case) < _size(best.case):
            best = Smallest(case, case.run(), first, meter.worlds)
        tries -= 1
        if len(best.case.faults) <= enough or not tries:
            break
    return None if best is None else attrs.evolve(best, worlds=meter.worlds)


@attrs.define
class Meter:
    """How many worlds a search ran."""

    worlds: int = 0

    def fails(self, case: Case) -> bool:
        """Whether the case violates anything."""
        self.worlds += 1
        return bool(case.run().violations)


def _calmer(manners: Manners) -> tuple[Manners, ...]:
    """Simpler manners to try, the simplest first."""
    return (
        Manners(),
        Manners(pointed=manners.pointed),
        attrs.evolve(manners, pointed=False),
        attrs.evolve(manners, lost=0.0),
        attrs.evolve(manners, doubled=0.0),
        attrs.evolve(manners, late=0.0),
    )


def shrunk(case: Case, *, most: int = 400, meter: Meter | None = None) -> Case:
    """A failing case with as few faults, orders and unruly messages as were found to do."""
    meter = meter or Meter()

    def fails(other: Case) -> bool:
        return meter.fails(other)

    def fewer(other: Case) -> Case:
        faults = shrink(lambda plan: fails(attrs.evolve(other, faults=plan)), other.faults, most=most)
        return attrs.evolve(other, faults=faults)

    case = fewer(case)
    for simpler in _calmer(case.manners):
        if simpler != case.manners and fails(attrs.evolve(case, manners=simpler)):
            case = fewer(attrs.evolve(case, manners=simpler))
            break
    place = len(case.workload.orders) - 1
    while place >= 0:
        smaller = without(case, place)
        if smaller.workload.orders and fails(smaller):
            case = fewer(smaller)
        place -= 1
    return case


def without(case: Case, place: int) -> Case:
    """The case without one of its orders: later clients move up, and their faults with them."""
    gone = f"client-{place + 1}"
    orders = case.workload.orders
    names = {f"client-{number}": f"client-{number - 1}" for number in range(place + 2, len(orders) + 1)}
    return attrs.evolve(
        case,
        workload=attrs.evolve(case.workload, orders=(*orders[:place], *orders[place + 1 :])),
        faults=tuple(
            attrs.evolve(fault, host=names.get(fault.host, fault.host)) for fault in case.faults if fault.host != gone
        ),
    )


def small(seed: int, store: str = "memory") -> tuple[Case, Chaos]:
    """A world of one order, or two of the same kind, with a kind of fault or two."""
    chance = Random(f"{seed}/small")
    order = drawn_order(chance)
    orders = (order,) * chance.choice((1, 1, 1, 2))
    hosts = chance.choice((("worker", "worker"), ("worker", "worker"), ("worker", "function"), ("function",) * 2))
    kinds = chance.sample(tuple(Kind), chance.choice((1, 2)))
    manners = Manners.of(chance) if chance.random() < 0.3 else Manners()
    profile = Profile({kind: chance.choice((0.01, 0.03, 0.08)) for kind in kinds})
    workload = Workload(orders, hosts, fences=chance.random() < 0.3)
    return Case(seed=seed, store=store, workload=workload, manners=manners), Chaos(profile)


def alike(violation: str) -> str:
    """The violation without the names and numbers of its world."""
    return re.sub(r"[0-9a-f]{8,}[-0-9a-f]*|\d+", "…", violation)


def _failing(seeds: int, store: str, meter: Meter) -> Iterator[tuple[Case, int]]:
    for seed in range(seeds):
        case, chaos = (drawn_case(seed, store), chaos_of(seed)) if seed % 2 else small(seed, store)
        meter.worlds += 1
        outcome = case.run(chaos)
        if outcome.violations:
            yield attrs.evolve(case, faults=outcome.faults), seed + 1


def _size(case: Case) -> tuple[int, int, float]:
    return len(case.faults), len(case.workload.orders), sum(abs(fault.seconds) for fault in case.faults)
