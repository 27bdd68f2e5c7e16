"""Simulating users' workflows: many worlds that go wrong, and one failing world told so that it can be understood.

Rule: a world is made by its case alone. The same case is the same world, so a failure can be shrunk and replayed.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from threading import Lock
from typing import Any, Literal, TypeVar, get_args

import attrs
from typing_extensions import Unpack

from mainspring.explaining import explained
from mainspring.hosts.simulation import case as cases_of
from mainspring.hosts.simulation.case import Case
from mainspring.hosts.simulation.faults import Kind
from mainspring.hosts.simulation.quiet import kept_apart
from mainspring.hosts.simulation.trial import Outcome
from mainspring.kernel.definition import Workflow
from mainspring.requests import Options, StartOptions
from mainspring.worlds import HostKind, SimulatedRun, Worlds

I = TypeVar("I")  # noqa: E741  input, as in Stage[I, O]
O = TypeVar("O")  # noqa: E741
F = TypeVar("F")

BETWEEN_COLLECTIONS = 25
"""Worlds after which their garbage is collected."""


@attrs.define(kw_only=True)
class SimulationReport:
    """What a simulation did that found nothing."""

    worlds: int = 0
    virtual: timedelta = timedelta(0)  #: time that passed in them
    faults: Counter[str] = attrs.field(factory=Counter[str])  #: that struck, by kind
    runs: Counter[str] = attrs.field(factory=Counter[str])  #: by how they ended
    effects: int = 0  #: things done outside, as far as worlds could count them
    repeated: int = 0  #: calls of ``outside()`` with a key that was used before
    checks: int = 0  #: how often a promise of the engine was checked
    steps: int = 0

    @property
    def crashes(self) -> int:
        """Processes that were made to die."""
        return self.faults[Kind.CRASH]

    def add(self, outcome: Outcome, ended: str) -> None:
        """Count one world in."""
        self.worlds += 1
        self.virtual += timedelta(seconds=round(outcome.seconds, 3))
        self.faults.update(fault.kind.value for fault in outcome.faults)
        self.runs[ended] += 1
        self.effects += outcome.counts.get("effect", 0)
        self.repeated += outcome.counts.get("effect repeated", 0)
        self.checks += outcome.checks
        self.steps += outcome.steps

    def __str__(self) -> str:
        others = self.faults.total() - self.crashes
        runs = ", ".join(f"{count:,} {status}" for status, count in sorted(self.runs.items()))
        return (
            f"{self.worlds:,} worlds in {self.virtual} of virtual time: {self.crashes:,} crashes, {others:,} other"
            f" faults; runs: {runs}; {self.effects:,} effects outside ({self.repeated:,} asked for again);"
            f" {self.checks:,} checks"
        )


ONE_AT_A_TIME = Lock()
"""Worlds replace what the whole process shares: chance, threads, logs. A second thread waits its turn."""


def no_fakes() -> Any:
    """The bodies need none."""
    return None


def simulate(
    workflow: Workflow[I, O],
    input: I,
    /,
    *,
    invariant: Callable[[SimulatedRun[O, F]], object] | None = None,
    fakes: Callable[[], F] = no_fakes,
    crashes: Literal["by chance", "everywhere"] = "by chance",
    seeds: int | Iterable[int] | None = None,
    plan: str | None = None,
    hosts: Sequence[HostKind] = ("worker", "worker"),
    honours_keys: bool = False,
    fences: bool = False,
    patience: timedelta = timedelta(minutes=10),
    **options: Unpack[Options],
) -> SimulationReport:
    """Run a workflow in many simulated worlds in which things go wrong; find one in which a promise is broken.

    In each world a client starts one run, and real workers execute it on virtual time. The engine's own promises are
    always checked: among them, that the run ends. A plain function: it needs no event loop, and works within one.

    Args:
        workflow, input, options: what is started, as by ``Mainspring.start``.
        invariant: called at the end of each world; broken if it raises or returns False.
        fakes: called at the beginning of each world; makes, and puts in place, whatever the bodies talk to. An
            invariant finds it as ``run.fakes``. Where the fakes pass ``effect()``, processes may die.
        crashes: ``by chance``: each seed decides what goes wrong, crashes among it: freezes, refused calls, lost
            answers, lost messages, clocks. ``everywhere``: nothing goes wrong but one crash, once at every point a
            worker passes: before and after each effect, each commit, each claim.
        seeds: how many worlds, or which; 100 by chance. With ``everywhere``, of how many worlds each point; 1.
        plan: what a failure printed: exactly that world.
        hosts: who executes.
        honours_keys, fences: how ``outside()`` treats a repeated key, and a token older than one it has seen.
        patience: virtual time for the run to end in when nothing goes wrong any more.

    Raises:
        SimulationFailedError: something broke; shrunk to the few faults that were needed.
        SimulationError: a body reached out of the simulated world: for a thread, a socket, a process.
        InvalidValueError: the input or an option is wrong.
        ValueError: the plan is none, or stands beside seeds; there are no seeds, or no such hosts.
    """
    __tracebackhide__ = True  # pytest shows the test and what broke, not this
    worlds = Worlds(
        workflow=workflow,
        input=input,
        options=StartOptions(**options),
        invariant=invariant,
        fakes=fakes,
        hosts=hosts,
        honours_keys=honours_keys,
        fences=fences,
        patience=patience,
    )
    _check(hosts)
    cases = _cases(worlds, crashes, seeds, plan)
    report = SimulationReport()
    with ONE_AT_A_TIME, kept_apart():
        for case in cases:
            outcome = worlds.run(case)
            if outcome.violations:
                found = explained(worlds, case, outcome, report.worlds + 1, as_it_is=plan is not None)
                raise found from worlds.cause
            report.add(outcome, str(worlds.ended))
            if report.worlds % BETWEEN_COLLECTIONS == 0:
                gc.collect()
    return report


def _cases(
    worlds: Worlds[Any, Any, Any], crashes: str, seeds: int | Iterable[int] | None, plan: str | None
) -> Iterator[Case]:
    if plan is not None:
        if seeds is not None or crashes != "by chance":
            raise ValueError(
                "a plan is one world, whose seed and faults it tells: give plan= without seeds= and crashes="
            )
        return iter([Case.from_json(plan)])
    count = (1 if crashes == "everywhere" else 100) if seeds is None else seeds
    chosen = list(range(count) if isinstance(count, int) else count)
    if not chosen:
        raise ValueError(f"no world to run: seeds={seeds!r}")
    if crashes == "everywhere":
        return _everywhere(worlds, chosen)
    if crashes == "by chance":
        return map(Case.by_chance, chosen)
    raise ValueError(f"crashes= is 'by chance' or 'everywhere', not {crashes!r}")


def _check(hosts: Sequence[str]) -> None:
    kinds = get_args(HostKind)
    unknown = [kind for kind in hosts if kind not in kinds]
    if unknown or not hosts:
        raise ValueError(f"hosts= is one or more of {', '.join(map(repr, kinds))}; found {list(hosts)!r}")


def _everywhere(worlds: Worlds[Any, Any, Any], seeds: Sequence[int]) -> Iterator[Case]:
    lasting = worlds.patience.total_seconds()
    for seed in seeds:
        yield Case(seed=seed, chaos=lasting)
        yield from cases_of.crashes(seed, dict(worlds.passed), lasting)
