"""Mutants: for every protection, a patch that takes it away, and its backstop where it has one.

The simulator is proved by them: each must be caught. They are patches of tests, never flags in shipped code.
"""
# pyright: reportPrivateUsage=false

import asyncio
import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, cast
from weakref import WeakKeyDictionary

import attrs
import pytest

from mainspring.adapters.memory import claims, guards, indexes, lock_sets, writes
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
from mainspring.hosts.upkeep.announcer import Announcer
from mainspring.hosts.upkeep.collector import Collector
from mainspring.hosts.upkeep.ticks import Upkeep
from mainspring.kernel import advance, attempts, completion
from mainspring.kernel.commands import HANDLERS, job_release, lease_reap, run_cancel, run_create, run_expire, run_signal
from mainspring.kernel.commands.outbox_settle import SettleOutbox
from mainspring.kernel.decision import Command, Decision, Facts
from mainspring.kernel.plan import StagePlan
from mainspring.kernel.transitions import StageEvent
from mainspring.ports import batches
from mainspring.ports.change import Change
from mainspring.ports.errors import StaleChange, UnknownOutcomeError
from mainspring.ports.names import BlobKey, LeaseId, Payload, Route, RunId, SinkName, WorkerId
from mainspring.ports.records import Event, ExpiredLease, Job, JobKey, Lease, StageRecord
from mainspring.ports.sinks import DEFAULT_SINK

Patch = pytest.MonkeyPatch
Check = Callable[[MemoryStore, Change], str | None]


def without(patch: Patch, *gone: Check) -> None:
    """Take guards or gates away."""
    patch.setattr(guards, "GUARDS", tuple(guard for guard in guards.GUARDS if guard not in gone))
    patch.setattr(guards, "GATES", tuple(gate for gate in guards.GATES if gate not in gone))


def decided_otherwise(
    patch: Patch,
    command: type[Command[Any]],
    *,
    at: Callable[[Facts], datetime] = attrgetter("now"),
    then: Callable[[Decision[Any]], Decision[Any]] = lambda decision: decision,
) -> None:
    """Decide a command as of another moment, or other than was decided."""
    handler = HANDLERS[command]

    def decide(given: Any, state: Any, facts: Facts) -> Decision[Any]:
        return then(handler.decide(given, state, attrs.evolve(facts, now=at(facts))))

    patch.setitem(cast("dict[Any, Any]", HANDLERS), command, attrs.evolve(handler, decide=decide))


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

    async def wait(self: Claiming, *, claimed: bool) -> bool:
        self.replan.clear()
        if not self._stopping.is_set() and not await self._hear(MOMENT) and not self.replan.is_set():
            await self._hear(timedelta(days=1))
        return True

    async def tick(self: Announcer) -> int:
        return 0

    patch.setattr(Claiming, "_wait_for_work", wait)
    patch.setattr(Announcer, "tick", tick)


def publish_before_commit(patch: Patch) -> None:
    """Events go out first, then comes the commit, which may be refused."""
    commit, init = MemoryPersistence.commit, Audit.__init__
    books: dict[int, Audit] = {}

    async def early(self: MemoryPersistence, change: Change) -> None:
        events: list[Event] = []
        for number, draft in enumerate(change.events, 1):
            seq = self.store.counted(draft.run_id).events + number
            events.append(Event(run_id=draft.run_id, seq=seq, type=draft.type, at=draft.at, data=draft.data))
        books[id(current_world())].taken(DEFAULT_SINK, events)
        await commit(self, change)

    def opened(self: Audit, world: World, plans: Any) -> None:
        init(self, world, plans)
        books[id(world)] = self

    patch.setattr(Audit, "__init__", opened)
    patch.setattr(MemoryPersistence, "commit", early)


def mark_before_publish(patch: Patch) -> None:
    """The relay settles what it is about to publish."""

    async def tick(self: relay.Relay, longest: timedelta | None = None) -> None:
        if not await self._store.lease_relay(self._lease_id, self._length, self._name):
            return
        events = await self._store.unpublished(self._batch, self._name)
        if events:
            answers = tuple(None for _ in events)
            command = SettleOutbox(
                sink=self._name,
                lease_id=self._lease_id,
                events=tuple(events),
                answers=answers,
                retry=self._retry,
            )
            await self._dispatcher.dispatch(command)
            await self._publish(events, self._length)

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
    cursors: WeakKeyDictionary[MemoryStore, dict[SinkName, int]] = WeakKeyDictionary()

    async def unpublished(self: MemoryPersistence, limit: int, sink: SinkName = DEFAULT_SINK) -> list[Event]:
        def read(store: MemoryStore) -> list[Event]:
            newest = cursors.setdefault(store, {})
            last = newest.get(sink, 0)
            mine = (row for row in store.outbox.rows() if row.sink == sink and row.ordinal > last)
            rows = sorted(mine, key=attrgetter("ordinal"))[:limit]
            if rows:
                newest[sink] = rows[-1].ordinal
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

    def by_own_clock(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(store: MemoryStore, *given: Any, **named: Any) -> Any:
            clock, store.clock = store.clock, _OwnClock()
            try:
                return act(store, *given, **named)
            finally:
                store.clock = clock

        return acting

    for name in ("lease", "extensions", "expired"):
        patch.setattr(claims, name, by_own_clock(getattr(claims, name)))
    over = by_own_clock(guards.lease_expired)
    patch.setattr(guards, "GUARDS", tuple(over if one is guards.lease_expired else one for one in guards.GUARDS))
    decided_otherwise(patch, lease_reap.ReapLease, at=lambda _: _OwnClock().now())

    async def always(self: Upkeep) -> datetime:  # the store's time is looked at before anything is reaped, too
        return BEGINNING

    patch.setattr(Upkeep, "next_due", always)


def attempts_counted_late(patch: Patch) -> None:
    """An attempt counts when it has ended: one that kills its worker never does. Nor does the audit look at the row."""
    lease = claims.lease

    def look_away(*_: object) -> None:
        return

    def uncounted(store: MemoryStore, key: JobKey, **given: Any) -> Lease:
        with store.transaction() as transaction:
            taken = lease(store, key, **given)
            transaction.put(store.jobs, key, attrs.evolve(taken.job, attempt=taken.job.attempt - 1))
        return taken

    patch.setattr(claims, "lease", uncounted)
    patch.setattr(Audit, "_attempt_counted", look_away)


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


def early_claim(patch: Patch) -> None:
    """A claim takes what is due within a day."""
    due, next_due = indexes.JobIndex.due, indexes.JobIndex.next_due

    def soon(self: indexes.JobIndex, routes: Collection[Route], limit: int, now: datetime) -> list[JobKey]:
        return due(self, routes, limit, now + DAY)

    def sooner(self: indexes.JobIndex, routes: Collection[Route]) -> datetime | None:
        moment = next_due(self, routes)
        return None if moment is None else moment - DAY

    patch.setattr(indexes.JobIndex, "due", soon)
    patch.setattr(indexes.JobIndex, "next_due", sooner)


def early_expire(patch: Patch) -> None:
    """Runs expire a day before their deadline."""

    async def overdue(self: MemoryPersistence, limit: int) -> list[RunId]:
        open_ = [run.id for run in self.store.runs.rows() if run.deadline is not None and run.finished_at is None]
        return open_[:limit]

    patch.setattr(MemoryPersistence, "overdue_runs", overdue)
    decided_otherwise(patch, run_expire.ExpireRun, at=lambda facts: facts.now + DAY)


def reversed_elements(patch: Patch) -> None:
    """The instances of a map get their elements in the wrong order."""
    add = advance._Walk._add_mapped

    def add_reversed(self: advance._Walk, stage: StagePlan, inputs: Sequence[Payload | None]) -> None:
        add(self, stage, inputs[::-1])

    patch.setattr(advance._Walk, "_add_mapped", add_reversed)


def lost_output(patch: Patch) -> None:
    """The record of a stage that completed has another output than its body gave."""

    def ended(job: Job, event: StageEvent, facts: Facts, *, output: Payload, **kept: Any) -> StageRecord:
        del output
        return attempts.ended(job, event, facts, output=Payload('"other"'), **kept)

    patch.setattr(completion, "ended", ended)


def no_events(patch: Patch) -> None:
    """Nothing is told."""
    patch.setattr(writes, "WRITES", tuple(one for one in writes.WRITES if one is not writes.events_written))


def attempt_rows_dropped(patch: Patch) -> None:
    """A try that did not end its stage leaves no record."""
    altered(patch, lambda _, change: attrs.evolve(change, attempts=()))


def cancel_acked_not_written(patch: Patch) -> None:
    """A cancel is answered, and not written."""
    decided_otherwise(patch, run_cancel.CancelRun, then=lambda decision: attrs.evolve(decision, change=None))


def signal_twice(patch: Patch) -> None:
    """Nobody looks whether a signal's id is there already."""
    without(patch, guards.signals_are_new)
    load = run_signal.load

    async def loading(command: Any, store: Any, facts: Any, repeat: Any) -> Any:
        return attrs.evolve(await load(command, store, facts, repeat), known=None)

    handler = attrs.evolve(run_signal.HANDLER, load=loading)
    patch.setitem(cast("dict[Any, Any]", HANDLERS), run_signal.SignalRun, handler)


def collector_raises(patch: Patch) -> None:
    """The collector has a mistake, and its loop goes on."""

    async def round_(self: Collector, go_on: object = None) -> int:
        raise KeyError("a mistake")

    patch.setattr(Collector, "round", round_)


def claiming_raises(patch: Patch) -> None:
    """The claiming loop has a mistake, and takes its worker down, again and again."""

    async def wait(self: Claiming, *, claimed: bool) -> bool:
        raise KeyError("a mistake")

    patch.setattr(Claiming, "_wait_for_work", wait)


def events_rewritten(patch: Patch) -> None:
    """The relay publishes other words than were committed."""
    unpublished = MemoryPersistence.unpublished

    async def other(self: MemoryPersistence, limit: int, sink: SinkName = DEFAULT_SINK) -> list[Event]:
        return [attrs.evolve(event, data="{}") for event in await unpublished(self, limit, sink)]

    patch.setattr(MemoryPersistence, "unpublished", other)


def recovery_slow(patch: Patch) -> None:
    """Expired leases are left for two minutes."""
    expired = claims.expired

    def late(store: MemoryStore, limit: int) -> list[ExpiredLease]:
        until = store.clock.now() - timedelta(minutes=2)
        found = expired(store, limit)
        return [one for one in found if one.job.lease_until is not None and one.job.lease_until < until]

    patch.setattr(claims, "expired", late)


def no_unleased_guards(patch: Patch) -> None:
    """A cancel ends jobs as unleased that were claimed since it read them."""
    without(patch, guards.not_leased, guards.not_claimed_since)


DAY = timedelta(days=1)

LIVE = "a live lease was ended by another process"


def unknown_taken_for_written(patch: Patch) -> None:
    """A commit of unknown outcome is believed to have been written."""
    commit = MemoryPersistence.commit

    async def believing(self: MemoryPersistence, change: Change) -> None:
        try:
            await commit(self, change)
        except UnknownOutcomeError as error:
            if isinstance(error.__context__, StaleChange):
                raise

    patch.setattr(MemoryPersistence, "commit", believing)


def refund_missing(patch: Patch) -> None:
    """A job that is given back at a shutdown has used up an attempt."""
    given_back = attempts.given_back

    def kept(state: Job, *, attempt: int, available_at: datetime) -> Any:
        del attempt
        return given_back(state, attempt=state.attempt, available_at=available_at)

    patch.setattr(job_release, "given_back", kept)


@attrs.frozen
class Mutant:
    """A protection that is taken away, and what it takes to notice."""

    apply: Callable[[Patch], None]
    shows: str  #: what is seen of it: a pattern that one of the violations matches
    store: str = "memory"
    swept: bool = True  #: whether one fault is enough: it is looked for in the sweep
    seeds: int = 1000  #: else, worlds of the campaign within which it must be caught
    first: int = 0  #: the first of them: near one that is caught, so that the suite need not search for long

    @property
    def name(self) -> str:
        """The protection's."""
        return self.apply.__name__

    def seen_in(self, violations: Sequence[str]) -> bool:
        """Whether it is what broke a world."""
        return any(re.search(self.shows, violation) for violation in violations)


MUTANTS = (
    Mutant(no_fence, "by a process that did not hold its lease"),
    Mutant(fence_by_worker_id, LIVE, swept=False),
    Mutant(check_then_act_claim, "a lease was taken over"),
    Mutant(suspend_reloads_the_wake_count, r"still running: hear\[0\] ready .* available None"),
    Mutant(wakes_lost_by_hand_over, r"still running: hear\[0\] ready .* available None"),
    Mutant(two_changes_of_one_run_in_a_batch, r"was told twice|after \['run", "server", swept=False, first=1990),
    Mutant(nothing_is_locked, "taken over|did not hold its lease|ended by another|told twice|written again", "server"),
    Mutant(no_announcing_again, "still (pending|running)"),
    Mutant(publish_before_commit, "was published, yet never committed"),
    Mutant(mark_before_publish, "was dropped before .* took it"),
    Mutant(no_idempotency, "started two runs"),
    Mutant(cancel_unguarded, r"had ended as \w+ and was written again"),
    Mutant(reap_on_a_stale_read, LIVE, swept=False, first=1_500),
    Mutant(outbox_cursor, "was never published"),
    Mutant(worker_clock_lease, LIVE),
    Mutant(attempts_counted_late, "still running", swept=False),
    Mutant(heartbeat_outside_the_attempt, "still running", swept=False, first=565),
    Mutant(blob_collected_by_age, "which is gone|was deleted, and a row names it", swept=False, first=550),
    Mutant(early_claim, "was claimed before", swept=False),
    Mutant(early_expire, "timed out before its deadline", swept=False),
    Mutant(reversed_elements, "was not given its element", swept=False),
    Mutant(lost_output, "must not|was not given its element", swept=False),
    Mutant(no_events, "without its event", swept=False),
    Mutant(attempt_rows_dropped, "ended without a record", swept=False),
    Mutant(cancel_acked_not_written, "the cancel of run .* was accepted", swept=False),
    Mutant(signal_twice, "was received twice", swept=False),
    Mutant(collector_raises, "(collect|maintenance)_failed: KeyError", swept=False),
    Mutant(claiming_raises, r"ended by a mistake: KeyError", swept=False),
    Mutant(events_rewritten, "was published, yet never committed", swept=False),
    Mutant(recovery_slow, "an expired lease stood", swept=False),
    Mutant(no_unleased_guards, LIVE, "server", swept=False, first=210),
    Mutant(unknown_taken_for_written, "was acknowledged, and is not there", swept=False),
    Mutant(refund_missing, "ended without a record|was tried more than", swept=False),
)
