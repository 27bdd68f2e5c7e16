"""Mistakes of our own that hosts catch, log and outlive: in a simulated world they are violations.

They are found by the lines that hosts log where they catch everything; what a fault may raise there is no mistake.
"""

import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from mainspring.hosts.simulation.lives import current_life
from mainspring.hosts.simulation.world import current_world
from mainspring.ports.errors import PortError

CAUGHT = frozenset(
    {
        "attempt_crashed",
        "claim_failed",
        "clock_not_set",
        "collect_failed",
        "heartbeat_failed",
        "lease_crashed",
        "maintenance_failed",
        "relay_failed",
        "store_time_unknown",
        "upkeep_failed",
    }
)
"""Lines of those who catch everything."""

WARNING = 30


def heed_mistakes() -> None:
    """Write no lines, and make a violation of each that tells of a mistake."""
    structlog.configure(
        processors=[_heed], wrapper_class=structlog.make_filtering_bound_logger(WARNING), context_class=dict
    )


def _heed(_: object, __: str, line: MutableMapping[str, Any]) -> Any:
    if line["event"] in CAUGHT and current_life() is not None:
        error = sys.exc_info()[1]
        if not isinstance(error, PortError | TimeoutError):
            current_world().violate(f"{line['event']}: {error!r}")
    raise structlog.DropEvent
