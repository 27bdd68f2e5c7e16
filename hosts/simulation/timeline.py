"""Timelines: what happened in a world, for a reader who has to find out why it failed."""

from collections.abc import Sequence

from mainspring.hosts.simulation.faults import Fault, to_json
from mainspring.hosts.simulation.trial import Outcome
from mainspring.hosts.simulation.world import Seen

#: points at which nothing is decided: left out unless a fault strikes there
QUIET = ("next_due", "receive", "expired_leases", "overdue_runs", "lease_relay", "unpublished", "now", "record_worker")


def report(outcome: Outcome, *, lines: int = 150) -> str:
    """Violations, plan and timeline of a world that failed; ``lines``: of the timeline at most, the last ones."""
    parts = [f"seed {outcome.seed}: {len(outcome.faults)} faults in {outcome.seconds:.1f} s of virtual time"]
    parts += [f"  violated: {violation}" for violation in outcome.violations]
    parts += ["faults:", *(f"  {describe(fault)}" for fault in outcome.faults), f"as a plan: {to_json(outcome.faults)}"]
    if outcome.timeline:
        parts += ["timeline:", *_timeline(outcome.timeline, lines)]
    return "\n".join(parts)


def describe(fault: Fault) -> str:
    """One fault in words."""
    lasting = f", {fault.seconds:g} s" if fault.seconds else ""
    return f"{fault.kind} at point {fault.point} of {fault.host}{lasting}"


def _timeline(seen: Sequence[Seen], lines: int) -> list[str]:
    told = [one for one in seen if not _is_quiet(one.what)]
    cut = [f"  … {len(told) - lines} earlier lines"] if len(told) > lines else []
    width = max((len(one.who) for one in told[-lines:]), default=0)
    return [*cut, *(f"  {one.at:10.3f}  {one.who:<{width}}  {one.what}" for one in told[-lines:])]


def _is_quiet(what: str) -> bool:
    return " " not in what and what.startswith(QUIET)
