"""What relays read and lease: each sink's part of the outbox as it stands, and its dead letters."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from mainspring.adapters.memory.store import MemoryStore, RelayLease
from mainspring.ports.names import LeaseId, RunId, SinkName
from mainspring.ports.records import Event
from mainspring.ports.sinks import DeadLetter, EventFilter, Sink, WaitingEvent


def sinks(store: MemoryStore) -> list[Sink]:
    """The sinks, by name."""
    return sorted(store.sinks.rows(), key=lambda sink: sink.name)


def remove_sink(store: MemoryStore, name: SinkName) -> None:
    """Delete a sink and all that is kept for it. Hold the store's lock."""
    with store.transaction() as transaction:
        if store.sinks.get(name) is not None:
            transaction.put(store.sinks, name, None)
        for key in list(store.outbox_index.by_age(name)):
            transaction.put(store.outbox, key, None)
        for buried in store.dead_letters.rows():
            letter = buried.letter
            if letter.sink == name:
                transaction.put(store.dead_letters, (name, letter.event.run_id, letter.event.seq), None)
        if store.relays.get(name) is not None:
            transaction.put(store.relays, name, None)


def lease(store: MemoryStore, sink: SinkName, lease_id: LeaseId, length: timedelta) -> bool:
    """Take or keep a relay's lease, unless another holds it. Hold the store's lock."""
    now = store.clock.now()
    held = store.relays.get(sink)
    if held is not None and held.lease_id != lease_id and held.until > now:
        return False
    with store.transaction() as transaction:
        transaction.put(store.relays, sink, RelayLease(lease_id=lease_id, until=now + length))
    return True


def release(store: MemoryStore, sink: SinkName, lease_id: LeaseId) -> None:
    """Give a relay's lease back, if held. Hold the store's lock."""
    held = store.relays.get(sink)
    if held is not None and held.lease_id == lease_id:
        with store.transaction() as transaction:
            transaction.put(store.relays, sink, None)


def unpublished(store: MemoryStore, sink: SinkName, limit: int) -> list[Event]:
    """The oldest events of runs that do not wait."""
    return list(islice(_publishable(store, sink, store.clock.now()), max(limit, 0)))


def _publishable(store: MemoryStore, sink: SinkName, now: datetime) -> Iterator[Event]:
    waiting: dict[RunId, bool] = {}
    for key in store.outbox_index.by_age(sink):
        run_id = key[1]
        if run_id not in waiting:
            waiting[run_id] = _waits(store, sink, run_id, now)
        outgoing = store.outbox.get(key)
        if outgoing is not None and not waiting[run_id]:
            yield outgoing.event


def _waits(store: MemoryStore, sink: SinkName, run_id: RunId, now: datetime) -> bool:
    oldest = store.outbox_index.oldest(sink, run_id)
    outgoing = None if oldest is None else store.outbox.get((sink, run_id, oldest))
    return outgoing is not None and outgoing.until is not None and outgoing.until > now


def waiting(store: MemoryStore, where: EventFilter, limit: int) -> list[WaitingEvent]:
    """What waits, by sink and age."""
    found = [row for row in store.outbox.rows() if where.holds(row.sink, row.event, row.event.at)]
    found.sort(key=lambda row: (row.sink, row.ordinal))
    return [WaitingEvent(sink=row.sink, event=row.event, until=row.until) for row in found[: max(limit, 0)]]


def dead_letters(store: MemoryStore, where: EventFilter, limit: int) -> list[DeadLetter]:
    """The oldest events that were given up on."""
    found = [
        buried
        for buried in store.dead_letters.rows()
        if where.holds(buried.letter.sink, buried.letter.event, buried.letter.died_at)
    ]
    found.sort(key=lambda buried: (buried.ordinal, buried.letter.sink))
    return [buried.letter for buried in found[: max(limit, 0)]]
