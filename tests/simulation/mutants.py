"""Mutants: for every protection, a patch that takes it away, and its backstop where it has one.

The simulator is proved by them: each must be caught. They are patches of tests, never flags in shipped code.
"""
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Any, cast

import attrs
import pytest

from mainspring.adapters.memory import batches, claims, guards, lock_sets, writes
from mainspring.adapters.memory.blob_store import MemoryBlobStore
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.adapters.memory.store import MemoryStore
from mainspring.adapters.memory.tables import Transaction
from mainspring.hosts.execution.live import LiveList, Seat
from mainspring.hosts.node_worker.claiming import MOMENT, Claiming
from mainspring.hosts.simulation.audit import Audit
from mainspring.hosts.simulation.clocks import BEGINNING
from mainspring.hosts.simulation.lives import current_life
from mainspring.hosts.simulation.world import World, current_world
from mainspring.hosts.upkeep import relay
from mainspring.hosts.upkeep.collector import Collector
from mainspring.kernel.commands import HANDLERS, run_create, run_signal
from mainspring.kernel.commands.outbox_settle import SettleOutbox
from mainspring.ports.change import Change
from mainspring.ports.names import BlobKey, LeaseId, Route, WorkerId
from mainspring.ports.records import Event, Job, JobKey, Lease

Patch = pytest.MonkeyPatch
Check = Callable[[MemoryStore, Change], str | None]


def without(patch: Patch, *gone: Check) -> None:
    """Take guards or gates away."""
    patch.setattr(guards, "GUARDS", tuple(guard for guard in guards.GUARDS if guard not in gone))
    patch.setattr(guards, "GATES", tuple(gate for gate in guards.GATES if gate not in gone))


def altered(patch: Patch, alter: Callable[[MemoryStore, Change], Change]) -> None:
    """Alter every Change on its way into the store."""
    commit = writes.commit

    def altering(store: MemoryStore, change: Change) -> None:
        commit(store, alter(store, change))

    patch.setattr(writes, "commit", altering)


def no_fence(patch: Patch) -> None:
    """Nobody looks whether the lease is still the one."""
    without(patch, guards.lease_held)


def fence_by_worker_id(patch: Patch) -> None:
    """The lease is told by its worker's name, and two workers have the same one."""
    names: dict[str, WorkerId] = {}
    lease = claims.lease

    def named(store: MemoryStore, key: JobKey, **given: Any) -> Lease:
        names[given["lease_id"]] = given["worker"] = WorkerId("worker")
        return lease(store, key, **given)

    def held(store: MemoryStore, change: Change) -> str | None:
        for guard in change.leases:
            job = store.jobs.get(guard.key)
            if job is None or job.worker != names.get(guard.lease_id):
                return "another worker's"
        return None

    patch.setattr(claims, "lease", named)
    patch.setattr(guards, "GUARDS", tuple(held if one is guards.lease_held else one for one in guards.GUARDS))


def check_then_act_claim(patch: Patch) -> None:
    """A claim reads what is due, and leases it a moment later, whatever it is doing by then."""

    async def claim(
        self: MemoryPersistence,
        routes: Collection[Route],
        *,
        limit: int,
        length: timedelta,
        worker: WorkerId,
        only: Sequence[JobKey] | None = None,
    ) -> list[Lease]:
        await self._point("claim:before")
        now = self.store.clock.now()
        due = self.store.job_index.due(routes, limit, now)
        keys = due if only is None else [key for key in due if key in only]
        await self._point("claim:locked")
        taken = [
            claims.lease(self.store, key, worker=worker, lease_id=self._ids.new_lease_id(), length=length)
            for key in keys
            if self.store.jobs.get(key) is not None
        ]
        await self._point("claim:after")
        return taken

    patch.setattr(MemoryPersistence, "claim", claim)


def suspend_reloads_the_wake_count(patch: Patch) -> None:
    """A suspension takes the count from the row it is about to write: nobody woke it, as far as it can see."""
    without(patch, guards.wakes_seen)


def wakes_lost_by_hand_over(patch: Patch) -> None:
    """A signal wakes the job that stood there when it was decided, though it has moved on since."""
    seen: dict[str, set[JobKey]] = {}
    load = run_signal.load

    async def looking(command: Any, store: Any, facts: Any, repeat: Any) -> Any:
        state = await load(command, store, facts, repeat)
        seen[command.run_id] = {job.key for job in await store.jobs(command.run_id)}
        return state

    def wake(store: MemoryStore, change: Change, transaction: Transaction) -> None:
        for one in change.wakes:
            for job in store.job_index.of(one.run_id):
                if not change.signals or job.key in seen[one.run_id]:
                    transaction.put(store.jobs, job.key, writes.woken(job, one))

    handler = attrs.evolve(run_signal.HANDLER, load=looking)
    patch.setitem(cast("dict[Any, Any]", HANDLERS), run_signal.SignalRun, handler)
    patch.setattr(writes, "WRITES", tuple(wake if one is writes.jobs_woken else one for one in writes.WRITES))
    without(patch, guards.shared_revision)


def two_changes_of_one_run_in_a_batch(patch: Patch) -> None:
    """Group commit takes whatever waits."""

    def anything(taken: batches.Uses, wanted: batches.Uses) -> bool:
        return taken is not wanted

    patch.setattr(batches, "fits", anything)


def nothing_is_locked(patch: Patch) -> None:
    """Guards are checked, and what they saw may change before the write."""
    patch.setattr(lock_sets, "PARTS", ())


def no_announcing_again(patch: Patch) -> None:
    """A worker waits for hints alone: nobody looks again at what is due."""

    async def wait(self: Claiming) -> None:
        self.replan.clear()
        if not self._stopping.is_set() and not await self._hear(MOMENT) and not self.replan.is_set():
            await self._hear(timedelta(days=1))

    patch.setattr(Claiming, "_wait_for_work", wait)


def publish_before_commit(patch: Patch) -> None:
    """Events go out first, then comes the commit, which may be refused."""
    commit, init = MemoryPersistence.commit, Audit.__init__
    books: dict[int, Audit] = {}

    async def early(self: MemoryPersistence, change: Change) -> None:
        events: list[Event] = []
        for number, draft in enumerate(change.events, 1):
            seq = self.store.counted(draft.run_id).events + number
            events.append(Event(run_id=draft.run_id, seq=seq, type=draft.type, at=draft.at, data=draft.data))
        books[id(current_world())].taken(events)
        await commit(self, change)

    def opened(self: Audit, world: World, plans: Any) -> None:
        init(self, world, plans)
        books[id(world)] = self

    patch.setattr(Audit, "__init__", opened)
    patch.setattr(MemoryPersistence, "commit", early)


def mark_before_publish(patch: Patch) -> None:
    """The relay settles what it is about to publish."""

    async def tick(self: relay.Relay) -> None:
        if not await self._store.lease_relay(self._lease_id, self._length):
            return
        events = await self._store.unpublished(self._batch)
        if events:
            answers = tuple(None for _ in events)
            command = SettleOutbox(
                lease_id=self._lease_id, events=tuple(events), answers=answers, retry=relay.PUBLISHING
            )
            await self._dispatcher.dispatch(command)
            await self._publish(events)

    patch.setattr(relay.Relay, "tick", tick)


def no_idempotency(patch: Patch) -> None:
    """A start looks for no earlier one under its key, and the unique key is gone."""
    without(patch, guards.key_is_free)

    async def load(command: Any, store: Any, facts: Any, repeat: Any) -> Any:
        return await store.run(command.run_id or facts.run_id)

    patch.setitem(cast("dict[Any, Any]", HANDLERS), run_create.CreateRun, attrs.evolve(run_create.HANDLER, load=load))


def cancel_unguarded(patch: Patch) -> None:
    """A cancel is written whatever became of the run meanwhile."""

    def loose(store: MemoryStore, change: Change) -> Change:
        run = None if change.run is None else store.runs.get(change.run.run_id)
        if change.run is None or run is None or change.leases or change.run.cancel_reason is None:
            return change
        return attrs.evolve(change, run=attrs.evolve(change.run, revision=run.revision), unleased=())

    altered(patch, loose)


def reap_on_a_stale_read(patch: Patch) -> None:
    """The reaper writes what it decided on without looking again."""

    def loose(store: MemoryStore, change: Change) -> Change:
        if not any(guard.expired for guard in change.leases):
            return change
        return attrs.evolve(change, leases=())

    altered(patch, loose)


def outbox_cursor(patch: Patch) -> None:
    """The relay reads what is newer than the newest it has seen."""
    newest: dict[int, int] = {}

    async def unpublished(self: MemoryPersistence, limit: int) -> list[Event]:
        def read(store: MemoryStore) -> list[Event]:
            last = newest.get(id(store), 0)
            rows = sorted((row for row in store.outbox.rows() if row.ordinal > last), key=attrgetter("ordinal"))[:limit]
            if rows:
                newest[id(store)] = rows[-1].ordinal
            return [row.event for row in rows]

        return await self._at("unpublished", read)

    patch.setattr(MemoryPersistence, "unpublished", unpublished)


class _OwnClock:
    """The clock of whichever machine asks."""

    def now(self) -> Any:
        life = current_life()
        world = current_world()
        skew = 0.0 if life is None else life.host.skew
        return BEGINNING + timedelta(seconds=world.loop.time() + skew)


def worker_clock_lease(patch: Patch) -> None:
    """Leases begin and end by the clock of the worker, and of whoever reaps."""
    init = MemoryStore.__init__

    def with_own_clock(self: MemoryStore, clock: Any) -> None:
        del clock
        init(self, _OwnClock())

    patch.setattr(MemoryStore, "__init__", with_own_clock)


def attempts_counted_late(patch: Patch) -> None:
    """An attempt counts when it has ended: one that kills its worker never does."""
    lease = claims.lease

    def uncounted(store: MemoryStore, key: JobKey, **given: Any) -> Lease:
        with store.transaction() as transaction:
            taken = lease(store, key, **given)
            transaction.put(store.jobs, key, attrs.evolve(taken.job, attempt=taken.job.attempt - 1))
        return taken

    patch.setattr(claims, "lease", uncounted)


def heartbeat_outside_the_attempt(patch: Patch) -> None:
    """A seat on the live list stays when the attempt is gone."""
    join = LiveList.join

    def leaking(self: LiveList, job: Job, lease_id: LeaseId, until: float) -> Any:
        manager = join(self, job, lease_id, until)

        class Leak:
            def __enter__(self) -> Seat:
                return manager.__enter__()

            def __exit__(self, *_: object) -> None:
                return

        return Leak()

    patch.setattr(LiveList, "join", leaking)


def blob_collected_by_age(patch: Patch) -> None:
    """A blob that no row names goes after a grace, whoever may still be about to name it."""
    seen: dict[tuple[int, str], float] = {}
    put = MemoryBlobStore.put

    async def noted(self: MemoryBlobStore, key: BlobKey, content: bytes) -> None:
        await put(self, key, content)
        seen.setdefault((id(self), key), asyncio.get_running_loop().time())

    patch.setattr(MemoryBlobStore, "put", noted)

    async def round_(self: Collector, go_on: object = None) -> int:
        now, deleted = asyncio.get_running_loop().time(), 0
        async for key in self._blobs.list():
            born = seen.get((id(self._blobs), key), now)
            run_id = key.partition("/")[0]
            rows = await self._store.stages(run_id)  # type: ignore[arg-type]
            jobs = await self._store.jobs(run_id)  # type: ignore[arg-type]
            run = await self._store.run(run_id)  # type: ignore[arg-type]
            named = [row.output for row in rows] + [job.input for job in jobs]
            named += [] if run is None else [run.input, run.config, run.output]
            if now - born > GRACE and "@" + key not in named and run is not None:
                await self._blobs.delete(key)
                deleted += 1
        return deleted

    patch.setattr(Collector, "round", round_)


GRACE = 4.0


@attrs.frozen
class Mutant:
    """A protection that is taken away, and what it takes to notice."""

    apply: Callable[[Patch], None]
    store: str = "memory"
    swept: bool = True  #: whether one fault is enough: it is looked for in the sweep
    seeds: int = 1000  #: else, worlds of the campaign within which it must be caught
    first: int = 0  #: the first of them: near one that is caught, so that the suite need not search for long

    @property
    def name(self) -> str:
        """The protection's."""
        return self.apply.__name__


MUTANTS = (
    Mutant(no_fence),
    Mutant(fence_by_worker_id, swept=False, first=150),
    Mutant(check_then_act_claim),
    Mutant(suspend_reloads_the_wake_count),
    Mutant(wakes_lost_by_hand_over),
    Mutant(two_changes_of_one_run_in_a_batch, "server", swept=False, first=1200),
    Mutant(nothing_is_locked, "server"),
    Mutant(no_announcing_again),
    Mutant(publish_before_commit),
    Mutant(mark_before_publish),
    Mutant(no_idempotency),
    Mutant(cancel_unguarded),
    Mutant(reap_on_a_stale_read, swept=False),
    Mutant(outbox_cursor),
    Mutant(worker_clock_lease),
    Mutant(attempts_counted_late),
    Mutant(heartbeat_outside_the_attempt, swept=False),
    Mutant(blob_collected_by_age, swept=False, first=40),
)
