"""Claims and heartbeats: the set-wise writes that decide nothing."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from mainspring.adapters.memory.indexes import is_waiting
from mainspring.adapters.memory.store import MemoryStore
from mainspring.ports.evolving import evolved
from mainspring.ports.names import LeaseId, Route, WorkerId
from mainspring.ports.records import ExpiredLease, ExtendAnswer, Job, JobKey, Lease


def claim(
    store: MemoryStore,
    routes: Collection[Route],
    *,
    limit: int,
    length: timedelta,
    worker: WorkerId,
    only: Sequence[JobKey] | None,
    new_lease_id: Callable[[], LeaseId],
) -> list[Lease]:
    """Lease what is due. Hold the store's lock."""
    keys = due(store, routes, limit=limit, only=only)
    with store.transaction():
        return [lease(store, key, worker=worker, lease_id=new_lease_id(), length=length) for key in keys]


def due(
    store: MemoryStore, routes: Collection[Route], *, limit: int, only: Sequence[JobKey] | None = None
) -> list[JobKey]:
    """Up to ``limit`` claimable jobs (among the given ones), in the order in which claims take them."""
    now = store.clock.now()
    if only is None:
        return store.job_index.due(routes, limit, now)
    return _due_among(store, only, routes, now)[:limit]


def _due_among(store: MemoryStore, only: Sequence[JobKey], routes: Collection[Route], now: datetime) -> list[JobKey]:
    found = [
        (-job.priority, job.available_at, job.key)
        for job in map(store.jobs.get, set(only))
        if job is not None and job.route in routes and is_waiting(job)
        if job.available_at is not None and job.available_at <= now
    ]
    return [key for _, _, key in sorted(found)]


def lease(
    store: MemoryStore,
    key: JobKey,
    *,
    worker: WorkerId,
    lease_id: LeaseId,
    length: timedelta,
    at: datetime | None = None,
) -> Lease:
    """Lease this very job, whatever it is doing, as of ``at`` (now). Hold the store's lock."""
    job, run = store.jobs.get(key), store.runs.get(key.run_id)
    if job is None or run is None:  # pragma: no cover - a job outlives neither its row nor its run
        raise LookupError(f"the index names {key}, which is not there")
    now = store.clock.now() if at is None else at
    leased = evolved(
        job,
        lease_id=lease_id,
        worker=worker,
        token=store.counted(key.run_id).token + 1,
        lease_until=now + length,
        claimed_at=now,
        attempt=job.attempt + 1,
    )
    with store.transaction() as transaction:
        transaction.put(store.jobs, key, leased)
        store.remember_token(transaction, leased)
    return Lease(job=leased, run=run)


def extend(store: MemoryStore, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
    """Extend what is still held. Hold the store's lock."""
    answers = extensions(store, leases, length)
    write_extensions(store, answers)
    return answers


def extensions(store: MemoryStore, leases: Sequence[tuple[JobKey, LeaseId]], length: timedelta) -> list[ExtendAnswer]:
    """What is still held, until when: decided, not yet written."""
    until = store.clock.now() + length
    return [_extension(store.jobs.get(key), key, lease_id, until) for key, lease_id in leases]


def _extension(job: Job | None, key: JobKey, lease_id: LeaseId, until: datetime) -> ExtendAnswer:
    if job is None or job.lease_id != lease_id:
        return ExtendAnswer(key=key, lease_id=lease_id, lost=True, wakes=0 if job is None else job.wakes, until=None)
    return ExtendAnswer(key=key, lease_id=lease_id, lost=False, wakes=job.wakes, until=until)


def write_extensions(store: MemoryStore, answers: Sequence[ExtendAnswer]) -> None:
    """Write what was decided. Hold the store's lock."""
    with store.transaction() as transaction:
        for answer in answers:
            job = None if answer.lost else store.jobs.get(answer.key)
            if job is not None:
                transaction.put(store.jobs, answer.key, evolved(job, lease_until=answer.until))


def expired(store: MemoryStore, limit: int) -> list[ExpiredLease]:
    """The longest expired leases."""
    now = store.clock.now()
    found: list[ExpiredLease] = []
    for until, run_id, stage, index in store.job_index.leased:
        if until >= now or len(found) >= limit:
            break
        found.append(expired_lease(store, JobKey(run_id, stage, index)))
    return found


def expired_lease(store: MemoryStore, key: JobKey) -> ExpiredLease:
    """The lease of this very job, and its run's status."""
    job, run = store.jobs.get(key), store.runs.get(key.run_id)
    if job is None or run is None:
        raise LookupError(f"the index names {key}, which is not there")
    return ExpiredLease(job=job, run_status=run.status)
