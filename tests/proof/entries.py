"""What an entry of the proof is, and the features that later entries wait for."""

import attrs

CHILD_RUNS = "child runs"
FAILOVER = "drills of failover"
HTTP = "the HTTP host"
RELEASE = "the release pipeline"
REPLAY = "durable steps and their replay"
SCHEDULES = "schedules"
SIGNALS_IN_BODIES = "waiting for a signal in a body"
WEBHOOKS = "webhooks and HTTP steps"


@attrs.frozen
class Entry:
    """A promise, or a fault and what happens when it strikes.

    ``later`` names the feature that brings all of it, ``lacking`` the one that brings what is still missing of it;
    both are empty for what is wholly true today.
    """

    number: int | str
    title: str
    text: str
    later: str = attrs.field(default="", kw_only=True)
    lacking: str = attrs.field(default="", kw_only=True)


def by_number(*entries: Entry) -> dict[int | str, Entry]:
    """The entries in their order, found by number.

    Raises:
        ValueError: a number stands twice.
    """
    found = {entry.number: entry for entry in entries}
    if len(found) < len(entries):
        raise ValueError("a number stands twice among the entries: give each its own")
    return found
