"""A failing world told to a stranger: what went wrong before it broke, in words, and what happened in which order."""

import re
from collections.abc import Iterator, Sequence

from mainspring.hosts.simulation.faults import Fault, Kind
from mainspring.hosts.simulation.world import Seen

PLACES = {
    "claim:before": "before it asked for work",
    "claim:after": "just after it was given work",
    "commit:before": "before a commit",
    "commit:after": "after a commit was made, before it heard of that",
    "receive:before": "before it waited for messages",
    "receive:after": "after it was given messages",
    "extend:before": "before a heartbeat",
    "extend:after": "after a heartbeat",
    "publish:before": "before it published events",
    "publish:after": "after it published events, before it noted that",
}

_STRUCK = re.compile(r"(?P<point>.+:(?:before|after)) meets (?P<kind>\w+) \((?P<seconds>\S+) s\)")
_TAKEN = re.compile(r"  committed: job (?P<job>.+) leased (?P<lease>\w+) by \S+, attempt (?P<attempt>\d+), .*")
_WAITS = re.compile(r"  committed: job (?P<job>.+) free, attempt \d+, (?:due (?P<due>\S+)|asleep)")
_RUN = re.compile(r"  committed: run \S+ is (?P<status>\w+)")
_STAGE = re.compile(r"  committed: (?P<stage>[^ ]+) (?P<status>completed|failed|cancelled|skipped)")
_POINT = re.compile(r"[a-z_]+(?: .+)?:(?:before|after)")
_FIRST = re.compile(r"\[0\]$")


def in_words(fault: Fault, point: str) -> str:
    """One fault: ``worker-1 crashed after "charge" was done outside, before the answer came``."""
    return f"{fault.host} {_what(fault.kind, point, fault.seconds)}"


def story(seen: Sequence[Seen], *, lines: int = 80) -> list[str]:
    """The timeline, a line each, the last ones at most; times in seconds since the world began."""
    told = list(_told(seen))
    cut = [f"… {len(told) - lines} earlier lines"] if len(told) > lines else []
    told = told[-lines:]
    width = max((len(who) for _, who, _ in told), default=0)
    return [*cut, *(f"{at:9.3f}  {who:<{width}}  {what}" for at, who, what in told)]


def _told(seen: Sequence[Seen]) -> Iterator[tuple[float, str, str]]:
    leases: set[str] = set()
    crashed: set[str] = set()
    for one in seen:
        what = _line(one.what, leases)
        if _STRUCK.fullmatch(one.what) and "crash" in one.what:
            crashed.add(one.who)
        if one.what == "died" and one.who in crashed:
            continue
        if what:
            yield one.at, one.who, what


def _line(what: str, leases: set[str]) -> str:
    """One line in words; empty where nothing happened that a stranger would care for."""
    if found := _STRUCK.fullmatch(what):
        return f">>> {_what(Kind(found['kind']), found['point'], float(found['seconds']))}"
    if found := _TAKEN.fullmatch(what):
        if found["lease"] in leases and found["job"] in leases:
            return ""  # a heartbeat
        leases.update((found["lease"], found["job"]))
        return f"takes {_short(found['job'])}, attempt {found['attempt']}"
    if found := _WAITS.fullmatch(what):
        leases.discard(found["job"])
        return f"{_short(found['job'])} waits" + (f", due at {_seconds(found['due']):.3f}" if found["due"] else "")
    if found := _RUN.fullmatch(what):
        return f"the run is {found['status']}"
    if found := _STAGE.fullmatch(what):
        leases.discard(found["stage"])
        return f"{_short(found['stage'])} {found['status']}"
    if what == "ended" or what.startswith(("  committed:", "frozen for")) or _POINT.fullmatch(what):
        return ""
    return {"started": "a process starts", "died": "the process is ended", "thawed": "goes on"}.get(what, what)


def _what(kind: Kind, point: str, seconds: float) -> str:
    where, late = place(point), f"{seconds:g} s"
    match kind:
        case Kind.CRASH:
            return f"crashed {where}; another process was started {late} later"
        case Kind.FREEZE:
            return f"was stopped for {late} {where}"
        case Kind.DELAY:
            return f"waited for {late} {where}"
        case Kind.ERROR:
            return f"met an error {where}"
        case Kind.OUTAGE:
            return f"reached nothing for {late}, from {where}"
        case Kind.SKEW:
            return f"had its clock jump by {late} {where}"
        case Kind.STORE_SKEW:
            return f"saw the store's clock jump by {late} {where}"


def place(point: str) -> str:
    """A point in words."""
    call, _, side = point.rpartition(":")
    if call.startswith("effect "):
        name = call.removeprefix("effect ")
        return f'before "{name}" was done' if side == "before" else f'after "{name}" was done, before it heard of that'
    return PLACES.get(point, f"{side} the call {call}")


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _short(name: str) -> str:
    return _FIRST.sub("", name)
