"""What the relay reads and leases: the outbox as it stands."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from mainspring.adapters.memory.store import MemoryStore, RelayLease
from mainspring.ports.names import LeaseId, RunId
from mainspring.ports.records import Event


def lease(store: MemoryStore, lease_id: LeaseId, length: timedelta) -> bool:
    """Take or keep the relay's lease, unless another holds it. Hold the store's lock."""
    now = store.clock.now()
    if store.relay is not None and store.relay.lease_id != lease_id and store.relay.until > now:
        return False
    store.relay = RelayLease(lease_id=lease_id, until=now + length)
    return True


def release(store: MemoryStore, lease_id: LeaseId) -> None:
    """Give the relay's lease back, if held. Hold the store's lock."""
    if store.relay is not None and store.relay.lease_id == lease_id:
        store.relay = None


def unpublished(store: MemoryStore, limit: int) -> list[Event]:
    """The oldest events of runs that do not wait."""
    return list(islice(_publishable(store, store.clock.now()), max(limit, 0)))


def _publishable(store: MemoryStore, now: datetime) -> Iterator[Event]:
    waiting: dict[RunId, bool] = {}
    for run_id, seq in store.outbox_index.by_age():
        if run_id not in waiting:
            waiting[run_id] = _waits(store, run_id, now)
        outgoing = store.outbox.get((run_id, seq))
        if outgoing is not None and not waiting[run_id]:
            yield outgoing.event


def _waits(store: MemoryStore, run_id: RunId, now: datetime) -> bool:
    oldest = store.outbox_index.oldest(run_id)
    outgoing = None if oldest is None else store.outbox.get((run_id, oldest))
    return outgoing is not None and outgoing.until is not None and outgoing.until > now


def dead_letters(store: MemoryStore, limit: int) -> list[tuple[Event, str]]:
    """The oldest events that were given up on, with why."""
    letters = sorted(store.dead_letters.rows(), key=lambda letter: letter.ordinal)
    return [(letter.event, letter.error) for letter in letters[: max(limit, 0)]]
