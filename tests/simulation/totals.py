"""What a campaign did, counted: how much, which faults struck, and what rare things came to pass.

A campaign in which something never came to pass proves nothing about it: ``MUST`` names what each long one has to see.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

import attrs

from mainspring.hosts.simulation.faults import Kind
from mainspring.hosts.simulation.trial import Outcome, Trial

YEAR = 365.25 * 24 * 3600

SOMETIMES: Mapping[str, tuple[str, ...]] = {
    "crash before the claim commits": ("crash at claim:before",),
    "crash after the claim": ("crash at claim:after",),
    "crash before a commit": ("crash at commit:before",),
    "crash after a commit": ("crash at commit:after",),
    "crash around an effect outside": ("crash at effect:before", "crash at effect:after"),
    "crash around an upload": ("crash at put:before", "crash at put:after"),
    "crash between publishing and noting it": ("crash at publish:after",),
    "crash around the sending of hints": ("crash at send:before", "crash at send:after"),
    "freeze around a commit": ("freeze at commit:before", "freeze at commit:after"),
    "freeze around an upload": ("freeze at put:before", "freeze at put:after"),
    "commit refused": ("error at commit:before",),
    "commit of unknown outcome": ("error at commit:after",),
    "heartbeat failed": ("error at extend:before", "error at extend:after"),
    "confirmation of a publication lost": ("error at publish:after",),
    "call into the dark": ("calls into the dark",),
    "store's clock jumped": tuple(
        f"store_skew at {call}:{side}" for call in ("claim", "commit") for side in ("before", "after")
    ),
    "effect": ("effect",),
    "effect repeated after a loss": ("effect repeated after a loss",),
    "stale token refused outside": ("stale token refused outside",),
    "start tried again": ("start tried again",),
    "cancel accepted": ("cancel accepted",),
    "cancel came too late": ("cancel came too late",),
    "signal accepted": ("signal accepted",),
    "signal came too late": ("signal came too late",),
    "hint lost": ("hint lost",),
    "hint doubled": ("hint doubled",),
    "hint late": ("hint late",),
    "hint delivered again": ("hint delivered again",),
    "event published again": ("event published again",),
    "invocation failed": ("invocation failed",),
    "invocation out of time": ("invocation out of time",),
    "process ended by an error": ("process ended by an error",),
    "process killed by a body": ("process killed by a body",),
    "worker stopped in order": ("worker stopped in order",),
    "act of a client beside a worker, in one process": ("act of an engine",),
    "run begun where it was started": ("run begun where it was started",),
    "answers lost in the dark": ("answers lost in the dark",),
    "blob written": ("blob written",),
    "blob collected": ("blob collected",),
    "run completed": ("run completed",),
    "run cancelled": ("run cancelled",),
    "run failed": ("run failed",),
    "run timed out": ("run timed out",),
    "stage failed": ("stage failed",),
    "stage timed out": ("stage timed out",),
    "attempt tried again": ("attempt tried again",),
    "lease reaped": ("lease reaped",),
    "stage mapped": ("stage mapped",),
    "map of nothing": ("map of nothing",),
    "worker and function together": ("worker and function together",),
}
"""What a reader is told of, by name, and the counters it is the sum of."""

MUST = tuple(
    name
    for name in SOMETIMES
    if name not in {"process ended by an error", "store's clock jumped", "invocation out of time"}
)
"""What a campaign of ``ENOUGH`` schedules has to see."""

ENOUGH = 5_000
"""Schedules from which on a counter that stayed at zero is a fault of the campaign."""


@attrs.define
class Totals:
    """The sums over many worlds."""

    schedules: int = 0
    checks: int = 0  #: invariants evaluated
    steps: int = 0
    seconds: float = 0.0  #: of virtual time
    machine: float = 0.0  #: seconds of processors
    counts: Counter[str] = attrs.field(factory=Counter[str])
    stores: Counter[str] = attrs.field(factory=Counter[str])
    failed: list[int] = attrs.field(factory=list[int])  #: seeds

    def add(self, outcome: Outcome, trial: Trial, store: str) -> None:
        """One more world."""
        self.schedules += 1
        self.checks += outcome.checks
        self.steps += outcome.steps
        self.seconds += outcome.seconds
        for name, number in outcome.counts.items():
            self.counts[general(name)] += number
        self.counts.update(seen(trial))
        self.stores[store] += 1
        if outcome.violations:
            self.failed.append(outcome.seed)

    def merge(self, other: "Totals") -> None:
        """What another process did."""
        self.schedules += other.schedules
        self.checks += other.checks
        self.steps += other.steps
        self.seconds += other.seconds
        self.machine += other.machine
        self.counts.update(other.counts)
        self.stores.update(other.stores)
        self.failed += other.failed

    def faults(self) -> dict[str, int]:
        """How often each kind of fault struck."""
        return {kind.value: sum(n for name, n in self._faults() if name.startswith(f"{kind} ")) for kind in Kind}

    def sites(self) -> int:
        """At how many different points."""
        return len({name for name, _ in self._faults()})

    def sometimes(self) -> dict[str, int]:
        """The counters that a reader is told of."""
        return {name: sum(self.counts[one] for one in parts) for name, parts in SOMETIMES.items()}

    def never(self, names: Iterable[str] = MUST) -> list[str]:
        """What had to come to pass, and did not."""
        sometimes = self.sometimes()
        return [name for name in names if not sometimes[name]]

    def _faults(self) -> Iterable[tuple[str, int]]:
        return [(name, n) for name, n in self.counts.items() if name.partition(" at ")[0] in set(Kind)]


@cache
def general(name: str) -> str:
    """The counter without the name of what was called: ``crash at effect charge:after`` is one at ``effect:after``."""
    before, at, point = name.partition(" at ")
    call, colon, side = point.partition(":")
    return f"{before}{at}{call.partition(' ')[0]}{colon}{side}" if colon else name


def seen(trial: Trial) -> Counter[str]:
    """What a world's books tell of its runs."""
    counts: Counter[str] = Counter()
    audit = trial.audit
    for run in audit.runs.values():
        counts[f"run {run.status}"] += 1
        if run.failure is not None and run.failure.stage is None and run.failure.code == "timed_out":
            counts["run timed out"] += 1
    for records in audit.stages.values():
        for key, record in records.items():
            counts["stage mapped"] += key.index > 0
            counts["map of nothing"] += key.index < 0
            if record.failure is not None:
                counts["stage timed out"] += record.failure.code == "timed_out"
                counts["lease reaped"] += record.failure.code == "worker_lost"
    for events in audit.events.values():
        for event in events:
            if event.type == "stage.retrying":
                counts["attempt tried again"] += 1
                counts["lease reaped"] += '"worker_lost"' in event.data
    if repeated := _repeated(trial):
        counts["effect repeated after a loss"] = repeated
    if len({name.partition("-")[0] for name in trial.world.hosts} - {"client"}) > 1:
        counts["worker and function together"] += 1
    return counts


def _repeated(trial: Trial) -> int:
    """Effects beyond one for each attempt that failed and one more: those of attempts whose process was lost."""
    again = Counter({key: calls - 1 for (_, key), calls in trial.world.outside.calls.items() if calls > 1})
    for run_id, events in trial.audit.events.items() if again else ():
        for event in events:
            if event.type == "stage.retrying" and '"worker_lost"' not in event.data:
                told = json.loads(event.data)
                again[f"{run_id}/{told['stage']}/{told['index']}"] -= 1
    return sum(number for number in again.values() if number > 0)
