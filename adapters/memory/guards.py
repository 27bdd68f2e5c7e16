"""What refuses a Change: every guard and gate, one function each, checked before the first write.

Each function tells why the Change is refused, or None. The two tables at the foot are all there is.
"""

from collections.abc import Callable, Iterable, Sequence

from mainspring.adapters.memory.store import MemoryStore, stage_key
from mainspring.ports.change import Change
from mainspring.ports.errors import StaleChange
from mainspring.ports.names import RunId

Check = Callable[[MemoryStore, Change], str | None]


def check(store: MemoryStore, change: Change) -> None:
    """Raise ``StaleChange`` with the first reason found, if there is one."""
    for refusal in (*GUARDS, *GATES):
        reason = refusal(store, change)
        if reason is not None:
            raise StaleChange(f"{reason}; nothing was written: load and decide again")


# What must still hold.


def exclusive_revision(store: MemoryStore, change: Change) -> str | None:
    """The run that is written stands at the revision that was decided on."""
    return None if change.run is None else _other_revision(store, change.run.run_id, change.run.revision)


def shared_revision(store: MemoryStore, change: Change) -> str | None:
    """The run that is only relied on stands at the revision that was read."""
    return (
        None if change.run_guard is None else _other_revision(store, change.run_guard.run_id, change.run_guard.revision)
    )


def _other_revision(store: MemoryStore, run_id: RunId, revision: int) -> str | None:
    run = store.runs.get(run_id)
    if run is None:
        return f"run {run_id} does not exist"
    return None if run.revision == revision else f"run {run_id} stands at {run.revision}, not at {revision}"


def lease_held(store: MemoryStore, change: Change) -> str | None:
    """Each guarded job is leased under exactly that lease id."""
    for guard in change.leases:
        job = store.jobs.get(guard.key)
        if job is None or job.lease_id != guard.lease_id:
            return f"the lease {guard.lease_id} of {guard.key} is gone"
    return None


def wakes_seen(store: MemoryStore, change: Change) -> str | None:
    """Nobody woke the job since its wake count was read."""
    for guard in change.leases:
        job = store.jobs.get(guard.key)
        if job is not None and guard.wakes is not None and job.wakes != guard.wakes:
            return f"{guard.key} was woken {job.wakes} times, not {guard.wakes}"
    return None


def lease_expired(store: MemoryStore, change: Change) -> str | None:
    """A lease that is reaped ended before the store's time."""
    now = store.clock.now()
    for guard in change.leases:
        job = store.jobs.get(guard.key)
        if guard.expired and job is not None and (job.lease_until is None or job.lease_until >= now):
            return f"the lease {guard.lease_id} of {guard.key} holds until {job.lease_until}"
    return None


def not_leased(store: MemoryStore, change: Change) -> str | None:
    """Each job that was decided on as unleased exists and is."""
    for guard in change.unleased:
        job = store.jobs.get(guard.key)
        if job is None:
            return f"{guard.key} does not exist"
        if job.lease_id is not None:
            return f"{guard.key} is leased by {job.worker}"
    return None


def not_claimed_since(store: MemoryStore, change: Change) -> str | None:
    """Nor was it claimed and given back since it was read."""
    for guard in change.unleased:
        job = store.jobs.get(guard.key)
        if job is not None and job.token != guard.token:
            return f"{guard.key} was claimed since: its token is {job.token}, not {guard.token}"
    return None


def relay_held(store: MemoryStore, change: Change) -> str | None:
    """The relay that settles still holds the relay's lease."""
    settled = change.outbox
    if settled is None:
        return None
    held = store.relays.get(settled.sink)
    return None if held is not None and held.lease_id == settled.lease_id else f"the lease {settled.lease_id} is gone"


def letters_there(store: MemoryStore, change: Change) -> str | None:
    """Each dead letter that is to be replayed is still dead."""
    for replayed in change.replays:
        if store.dead_letters.get((replayed.sink, replayed.run_id, replayed.seq)) is None:
            return f"event {replayed.run_id}/{replayed.seq} is no dead letter of the sink {replayed.sink}"
    return None


# What must not be there yet.


def run_is_new(store: MemoryStore, change: Change) -> str | None:
    """No run has the id, nor had it lately."""
    if change.create is None:
        return None
    if store.runs.get(change.create.id) is not None:
        return f"run {change.create.id} exists"
    return None if store.tombstones.get(change.create.id) is None else f"run {change.create.id} was here and is gone"


def key_is_free(store: MemoryStore, change: Change) -> str | None:
    """No run of the workflow was started under the key."""
    run = change.create
    if run is None or run.key is None or (run.workflow, run.key) not in store.run_index.by_key:
        return None
    return f"{run.workflow} was started under the key {run.key!r} before"


def signals_are_new(store: MemoryStore, change: Change) -> str | None:
    """The run never received a signal with the id."""
    keys = [(signal.run_id, signal.id) for signal in change.signals]
    return _taken("a signal", keys, (key for key in keys if store.signals.get(key) is not None))


def answer_is_new(store: MemoryStore, change: Change) -> str | None:
    """The command was never answered under the key."""
    if change.answer is None or store.answers.get((change.answer.command, change.answer.key)) is None:
        return None
    return f"{change.answer.command} was answered under the key {change.answer.key!r} before"


def stages_are_new(store: MemoryStore, change: Change) -> str | None:
    """The stage's instance has not ended before."""
    keys = [stage_key(record) for record in change.stages]
    return _taken("an ended stage", keys, (key for key in keys if store.stages.get(key) is not None))


def _taken(what: str, keys: Sequence[object], taken: Iterable[object]) -> str | None:
    for key in taken:
        return f"{what} {key!r} is there"
    return None if len(set(keys)) == len(keys) else f"{what} comes twice in one Change"


GUARDS: tuple[Check, ...] = (
    exclusive_revision,
    shared_revision,
    lease_held,
    wakes_seen,
    lease_expired,
    not_leased,
    not_claimed_since,
    relay_held,
    letters_there,
)
GATES: tuple[Check, ...] = (run_is_new, key_is_free, signals_are_new, answer_is_new, stages_are_new)
