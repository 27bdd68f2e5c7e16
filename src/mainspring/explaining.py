"""Explaining a world that broke: the few faults it takes, in words, and how to see it again."""

from collections.abc import Iterator
from typing import Any

import attrs

from mainspring.hosts.simulation.case import POLITE, RESTART, Case, crashes
from mainspring.hosts.simulation.faults import Fault, Kind
from mainspring.hosts.simulation.shrink import shrink
from mainspring.hosts.simulation.story import in_words, story
from mainspring.hosts.simulation.trial import Outcome
from mainspring.worlds import Worlds

STEPS = 4_000_000
"""What shrinking may cost in callbacks: some 40 seconds at the very most."""

NOT_AGAIN = """

The same world did not fail again: something else than the world decides what the workflow does. Look for uuid4 and
datetime.now, and for globals that keep what a former world did to them: make those anew in fakes=."""

AnyWorlds = Worlds[Any, Any, Any]


class SimulationFailedError(AssertionError):
    """In some world a promise was broken. Its text tells what broke, why, how to see it again, and what happened."""

    def __init__(self, text: str, *, plan: str, outcome: Outcome) -> None:
        super().__init__(text)
        self.plan = plan  #: for ``simulate(…, plan=…)``
        self.seed: int = outcome.seed
        self.violations: tuple[str, ...] = outcome.violations
        self.faults: tuple[Fault, ...] = outcome.faults  #: that it took


def explained(
    worlds: AnyWorlds, case: Case, outcome: Outcome, tried: int, *, as_it_is: bool = False
) -> SimulationFailedError:
    """Why it broke, from as few faults as it takes; ``worlds.cause`` is what the invariant raised then.

    ``as_it_is``: the case is told as it is: it was planned.
    """
    planned = attrs.evolve(case, faults=outcome.faults)
    found = planned if as_it_is else _simplest(worlds, planned, outcome)
    again, cause = worlds.run(found, traced=True), worlds.cause
    if not again.violations:
        text = _text(worlds, planned, outcome, tried, len(outcome.faults)) + NOT_AGAIN
        return SimulationFailedError(text, plan=planned.to_json(), outcome=outcome)
    worlds.cause = cause
    last = attrs.evolve(found, faults=again.faults)
    text = _text(worlds, last, again, tried, len(outcome.faults))
    return SimulationFailedError(text, plan=last.to_json(), outcome=again)


def _simplest(worlds: AnyWorlds, case: Case, outcome: Outcome) -> Case:
    """As few faults as it takes, in a world that is polite where it can be; a single crash, if that does it as well."""
    most = max(20, min(400, STEPS // max(outcome.steps, 1)))
    polite = attrs.evolve(case, manners=POLITE)
    if case.manners != POLITE and worlds.run(polite).violations:
        case = polite

    def fails(faults: tuple[Fault, ...]) -> bool:
        return bool(worlds.run(attrs.evolve(case, faults=faults)).violations)

    found = attrs.evolve(case, faults=shrink(fails, case.faults or (), most=most))
    if len(found.faults or ()) <= 1 and found.manners == POLITE:
        return found
    broken = _kind(outcome)
    for tried, candidate in enumerate(_crashes(worlds, polite, found.faults or ())):
        if tried == most:
            break
        one = worlds.run(candidate)
        if one.violations and _kind(one) == broken:
            return candidate
    return found


def _crashes(worlds: AnyWorlds, case: Case, faults: tuple[Fault, ...]) -> Iterator[Case]:
    """Single crashes: where a fault struck, then anywhere."""
    for fault in faults:
        yield attrs.evolve(case, faults=(Fault(fault.host, fault.point, Kind.CRASH, RESTART),))
    worlds.run(attrs.evolve(case, faults=()))
    yield from crashes(case.seed, dict(worlds.passed), case.chaos)


def _kind(outcome: Outcome) -> str:
    """What broke, without its numbers."""
    return outcome.violations[0].partition(":")[0]


def _text(worlds: AnyWorlds, case: Case, outcome: Outcome, tried: int, met: int) -> str:
    name = worlds.workflow.plan.workflow
    needed = len(outcome.faults)
    few = f"; {met} had struck when it was found" if met > needed else ""
    lines = [
        f"{name} breaks in world {tried} (seed {case.seed}):",
        *(f"  {line}" for violation in outcome.violations for line in violation.splitlines()),
        "",
        f"What it takes ({needed} fault{'s' * (needed != 1)}{few}):",
        *(f"  {line}" for line in _faults(case, outcome)),
        "",
        "To see it again:",
        f"  simulate({name}, …, plan='{case.to_json()}')",
    ]
    if outcome.timeline:
        lines += ["", "What happened (seconds, process, what; worker-1#2 is the second process of worker-1):"]
        lines += [f"  {line}" for line in story(outcome.timeline)]
    return "\n".join(lines)


def _faults(case: Case, outcome: Outcome) -> Iterator[str]:
    for fault, point in zip(outcome.faults, outcome.struck, strict=True):
        yield in_words(fault, point)
    manners = case.manners
    shares = ((manners.lost, "lost"), (manners.doubled, "doubled"), (manners.late, "late"))
    words = ", ".join(f"{share:.0%} {fate}" for share, fate in shares if share)
    if words:
        yield f"of the messages between processes, {words}"
    if not outcome.faults and not words:
        yield "nothing: it breaks even where all goes well"
