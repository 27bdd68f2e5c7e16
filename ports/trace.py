"""Where a run keeps the trace it was started in: a W3C ``traceparent``, in its config beside those of its stages.

The config survives hand-overs and other versions, is no part of what tells a repeated start from a conflict (that is
hashed as it was asked for), and its names are ids of stages: ``~`` begins those that Mainspring keeps for itself.
"""

import re

from mainspring.ports.names import Payload
from mainspring.ports.records import Run

_KEPT = re.compile(r'[{,]"~trace":"([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})"\}$')
_FORM = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LENGTH = len(',"~trace":""}') + 55


def with_trace(config: Payload | None, trace: str | None) -> Payload | None:
    """The config, carrying the trace; what is no ``traceparent`` is left out."""
    if trace is None or _FORM.fullmatch(trace) is None or not (config or "{").startswith("{"):
        return config
    kept = f'"~trace":"{trace}"}}'
    return Payload("{" + kept if config is None or config == "{}" else f"{config[:-1]},{kept}")


def trace_of(run: Run) -> str | None:
    """The trace the run was started in, or None."""
    config = run.config
    # it stands last: at the end of the outermost object, where no config of a stage can
    found = None if config is None else _KEPT.search(config, max(len(config) - _LENGTH, 0))
    return None if found is None else found[1]


def without_trace(config: Payload | None) -> Payload | None:
    """The config as it was given, for people to look at."""
    found = None if config is None else _KEPT.search(config, max(len(config) - _LENGTH, 0))
    if config is None or found is None:
        return config
    left = config[: found.start()]
    return Payload(left + "}") if left else None
