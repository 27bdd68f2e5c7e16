"""Claims and heartbeats: the set-wise writes that decide nothing."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from mainspring.adapters.memory.indexes import is_waiting
from mainspring.adapters.memory.store import MemoryStore
from mainspring.ports.evolving import evolved
from mainspring.ports.names import LeaseId, Route, WorkerId
from mainspring.ports.persistence import ANNOUNCED_AFTER, SELDOMEST
from mainspring.ports.records import ExpiredLease, ExtendAnswer, Job, JobKey, Lease, Pointer, ReadyJob


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
    if not keys:  # what most claims find
        return []
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


def ready_among(store: MemoryStore, keys: Sequence[JobKey]) -> list[ReadyJob]:
    """Those of the jobs that are ready and unleased."""
    now = store.clock.now()
    return [
        ReadyJob(key=job.key, route=job.route, due_in=job.available_at - now)
        for job in map(store.jobs.get, keys)
        if job is not None and is_waiting(job) and job.available_at is not None
    ]


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


def announce(store: MemoryStore, limit: int, again_after: timedelta) -> list[Pointer]:
    """Jobs that are due and of which nobody told lately. Hold the store's lock.

    What was told is kept with the row as it stood then, so that a job that is due anew is told anew; it is forgotten
    when the row has changed or is gone.
    """
    now = store.clock.now()
    outdated = [job.key for job, _ in store.announced.rows() if store.jobs.get(job.key) is not job]
    unheard = [(at, job) for job in store.jobs.rows() if (at := _unheard_since(store, job)) is not None and at <= now]
    unheard.sort(key=lambda found: (found[0], found[1].key))
    chosen = [job for _, job in unheard[: max(limit, 0)]]
    with store.transaction() as transaction:
        for key in outdated:
            transaction.put(store.announced, key, None)
        for job in chosen:
            age = timedelta(0) if job.available_at is None else min(now - job.available_at, SELDOMEST)
            transaction.put(store.announced, job.key, (job, now + max(again_after, age)))
    return [Pointer.to(job.key) for job in chosen]


def _unheard_since(store: MemoryStore, job: Job) -> datetime | None:
    if job.available_at is None or not is_waiting(job):
        return None
    told = store.announced.get(job.key)
    if told is not None and told[0] is job:
        return told[1]
    return job.available_at + ANNOUNCED_AFTER
