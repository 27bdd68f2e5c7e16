"""What a watched database tells: the same as the memory store of the same commands, and in the order audits need."""

# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

import attrs
import pytest

from mainspring.adapters.memory import ManualClock, MemoryPersistence, MemoryStore, SeededIds
from mainspring.adapters.sql.inline_watch import Committed, Written
from mainspring.adapters.sql.sqlite_inline import SharedDatabase
from mainspring.kernel.commands.attempt_report import ReportProgress
from mainspring.kernel.commands.attempt_start import StartAttempt
from mainspring.kernel.commands.job_release import ReleaseJob
from mainspring.kernel.commands.lease_reap import ReapLease
from mainspring.kernel.commands.outbox_settle import SettleOutbox
from mainspring.kernel.commands.run_cancel import CancelRun
from mainspring.kernel.commands.run_signal import SignalRun
from mainspring.kernel.decision import Command
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.outcomes import AttemptFinished, Cancelled, Completed, Failed, Outcome, Suspended
from mainspring.kernel.plan import Plan
from mainspring.kernel.retry import Retry
from mainspring.ports.change import Change, JobMove, RunPatch
from mainspring.ports.errors import PortError, StaleChange
from mainspring.ports.names import LeaseId, Payload, RunId, StageId
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Event, Job, JobKey, RunStatus
from mainspring.ports.sinks import Sink
from tests.kernel_records import BOOM, LINE, MAP, SECOND, WORKER, create, finish

T = TypeVar("T")

LENGTH = timedelta(seconds=30)
RELAY = LeaseId("00000000-0000-4000-8000-00000000000a")
DONE = Completed(output=Payload("1"))
THREE = Completed(output=Payload("[1,2,3]"), elements=(Payload("1"), Payload("2"), Payload("3")))
TABLES = {"runs", "stages", "jobs", "outbox", "dead letters"}


@attrs.define(eq=False)
class Side:
    """One of the two stores, and what it told."""

    store: Persistence
    dispatcher: Dispatcher
    told: list[Any]

    def news(self) -> list[dict[tuple[str, Any], tuple[Any, Any]]]:
        """What every transaction since then changed in all, row by row; a row that is as it was is left out."""
        changed = [_changed(report.writes) for report in self.told]
        self.told.clear()
        return [rows for rows in changed if rows]


def _changed(writes: Any) -> dict[tuple[str, Any], tuple[Any, Any]]:
    rows: dict[tuple[str, Any], tuple[Any, Any]] = {}
    for table, key, before, after in writes:
        if table in TABLES:
            first = rows.get((table, key), (_plain(before), None))[0]
            rows[table, key] = first, _plain(after)
    return {at: (before, after) for at, (before, after) in rows.items() if before != after}


def _plain(row: Any) -> Any:
    """Rows of the outbox and of the dead letters are of the stores' own classes."""
    row = getattr(row, "letter", row)
    if not isinstance(getattr(row, "event", None), Event):
        return row
    return row.event, getattr(row, "until", None), getattr(row, "error", None)


class Both:
    """A memory store and a watched database in which the same happens, at the same time and under the same ids."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        memory = MemoryStore(self.clock)
        ids = SeededIds(self.clock)
        self.memory = self._side(MemoryPersistence(self.clock, ids, store=memory), ids)
        memory.watch = self.memory.told.append
        told: list[Committed] = []
        self.database = SharedDatabase(self.clock, watch=told.append)
        ids = SeededIds(self.clock)
        self.sql = self._side(self.database.client(ids), ids, told)
        self.last: list[Written] = []  #: what the database told of the last step

    def _side(self, store: Persistence, ids: SeededIds, told: list[Any] | None = None) -> Side:
        return Side(store, Dispatcher(store, self.clock, ids), [] if told is None else told)

    async def step(self, act: Callable[[Side], Awaitable[T]]) -> T:
        """Do it in both, and compare answers and reports."""
        expected = await act(self.memory)
        answer = await act(self.sql)
        assert answer == expected
        self.last = [written for report in self.sql.told for written in report.writes]
        assert self.sql.news() == self.memory.news()
        return answer

    async def ask(self, command: Command[T]) -> T:
        """Dispatch a command."""
        return await self.step(lambda side: side.dispatcher.dispatch(command))

    async def commit(self, change: Change) -> None:
        """Write it as it is."""
        await self.step(lambda side: side.store.commit(change))

    async def start(self, of: Plan) -> RunId:
        """Events on, a run."""
        await self.step(lambda side: side.store.add_sink(Sink()))
        return (await self.ask(create(of))).run.id

    async def claim(self, of: Plan, limit: int = 1) -> list[Job]:
        """Lease what is due."""
        leases = await self.step(lambda side: side.store.claim((of.route,), limit=limit, length=LENGTH, worker=WORKER))
        return [lease.job for lease in leases]

    async def finish(self, of: Plan, job: Job, outcome: Outcome, **fields: Any) -> AttemptFinished:
        """End an attempt."""
        commands = [finish(of, job, outcome, **fields)]
        answers, _ = await self.step(lambda side: side.dispatcher.dispatch_all(job.run_id, commands, None))
        (answer,) = answers
        assert isinstance(answer, AttemptFinished)
        return answer

    async def settle(self, *answers: str | None, tries: int = 2) -> None:
        """Publish so many of the oldest events."""
        events = await self.step(lambda side: side.store.unpublished(len(answers)))
        retry = Retry(max_attempts=tries, jitter=0.0)
        await self.ask(SettleOutbox(lease_id=RELAY, events=tuple(events), answers=answers, retry=retry))


@pytest.fixture
def both() -> Iterator[Both]:
    found = Both()
    yield found
    found.database.close()


def held(job: Job) -> LeaseId:
    assert job.lease_id is not None
    return job.lease_id


async def test_a_line_of_stages_is_told_as_the_memory_store_tells_it(both: Both) -> None:
    await both.start(LINE)
    (job,) = await both.claim(LINE)
    both.clock.advance(SECOND)
    await both.ask(StartAttempt(job=job))
    await both.step(lambda side: side.store.extend([(job.key, held(job))], LENGTH))
    await both.ask(ReportProgress(job=job, done=1.0))
    handed = (await both.finish(LINE, job, DONE, started_told=True)).job
    assert handed is not None
    await both.finish(LINE, handed, Failed(failure=BOOM))
    both.clock.advance(timedelta(minutes=5))
    (job,) = await both.claim(LINE)
    await both.ask(ReleaseJob(job=job))
    (job,) = await both.claim(LINE)
    both.clock.advance(2 * LENGTH)
    reaped = await both.ask(ReapLease(key=job.key, lease_id=held(job)))
    assert reaped.reaped
    both.clock.advance(timedelta(minutes=5))
    (job,) = await both.claim(LINE)
    ended = await both.finish(LINE, job, DONE)
    assert ended.run_status is RunStatus.COMPLETED


async def test_a_mapped_stage_its_signal_and_its_cancel_are_told_as_the_memory_store_tells_them(both: Both) -> None:
    run_id = await both.start(MAP)
    (job,) = await both.claim(MAP)
    await both.finish(MAP, job, THREE)
    one, two = await both.claim(MAP, limit=3)
    await both.ask(SignalRun(run_id=run_id, signal="go", payload=Payload("1")))
    await both.finish(MAP, one, DONE)
    await both.finish(MAP, attrs.evolve(two, wakes=1), Suspended(until=None))
    (three,) = await both.claim(MAP)
    cancelled = await both.ask(CancelRun(run_id=run_id, reason="enough"))
    assert cancelled.status is RunStatus.CANCELLING
    ended = await both.finish(MAP, three, Cancelled())
    assert ended.run_status is RunStatus.CANCELLED


async def test_a_failure_that_ends_the_others_jobs_is_told_as_the_memory_store_tells_it(both: Both) -> None:
    await both.start(MAP)
    (job,) = await both.claim(MAP)
    await both.finish(MAP, job, THREE)
    one, _ = await both.claim(MAP, limit=3)
    ended = await both.finish(MAP, one, Failed(failure=BOOM, retryable=False))
    assert ended.run_status is RunStatus.FAILED
    assert [written.key.index for written in both.last if written.table == "jobs"] == [0, 1, 2]


async def test_the_relays_settlements_are_told_as_the_memory_store_tells_them(both: Both) -> None:
    run_id = await both.start(LINE)
    (job,) = await both.claim(LINE)
    await both.finish(LINE, job, DONE)
    await both.step(lambda side: side.store.lease_relay(RELAY, LENGTH))
    await both.settle(None)
    await both.settle("the sink is full")
    both.clock.advance(timedelta(minutes=5))
    await both.step(lambda side: side.store.lease_relay(RELAY, LENGTH))
    await both.settle("the sink is full")
    told = [(written.table, written.key, written.after is None) for written in both.last]
    assert told == [("dead letters", ("default", run_id, 2), False), ("outbox", ("default", run_id, 2), True)]
    await both.settle(None, None)


async def test_runs_are_told_before_stages_these_before_jobs_and_these_before_events(both: Both) -> None:
    run_id = await both.start(LINE)
    (job,) = await both.claim(LINE)
    await both.finish(LINE, job, DONE)
    a, b = JobKey(run_id, StageId("a")), JobKey(run_id, StageId("b"))
    assert [(written.table, written.key) for written in both.last] == [
        ("runs", run_id),
        ("stages", a),
        ("jobs", a),
        ("jobs", b),
        ("outbox", ("default", run_id, 2)),
        ("outbox", ("default", run_id, 3)),
        ("outbox", ("default", run_id, 4)),
    ]


async def test_jobs_are_told_in_the_order_in_which_a_claim_took_them(both: Both) -> None:
    await both.start(MAP)
    (job,) = await both.claim(MAP)
    await both.finish(MAP, job, THREE)
    one, two = await both.claim(MAP, limit=2)
    await both.finish(MAP, two, Failed(failure=BOOM))
    both.clock.advance(SECOND)
    await both.finish(MAP, one, Failed(failure=BOOM))
    both.clock.advance(timedelta(minutes=5))
    await both.claim(MAP, limit=2)
    assert [(written.key.index, written.after.token) for written in both.last] == [(1, 5), (0, 6)]


async def test_a_job_is_told_as_gone_from_its_old_place_and_as_new_at_the_next_though_it_stood_there(
    both: Both,
) -> None:
    run_id = await both.start(LINE)
    (job,) = await both.claim(LINE)
    here, there = job.key, JobKey(run_id, StageId("0"))
    for old, new in ((here, there), (there, here)):
        await both.commit(Change(job_moves=(_move(old, new, job),)))
        assert [(written.key, written.before is None, written.after is None) for written in both.last] == [
            (old, False, True),
            (new, True, False),
        ]


def _move(old: JobKey, new: JobKey, job: Job) -> JobMove:
    return JobMove(key=old, stage=new.stage, index=0, route=job.route, available_at=None, attempt=0, max_attempts=1)


async def test_nothing_is_told_of_a_refused_change_nor_of_a_claim_that_finds_nothing(both: Both) -> None:
    run_id = await both.start(LINE)
    stale = Change(run=RunPatch(run_id=run_id, revision=77))
    with pytest.raises(StaleChange):
        await both.sql.store.commit(stale)
    await both.sql.store.claim((MAP.route,), limit=0, length=LENGTH, worker=WORKER)
    assert both.sql.told == []


async def test_what_was_taken_back_is_not_told_and_its_neighbour_in_the_batch_is(both: Both) -> None:
    run_id = await both.start(LINE)
    (job,) = await both.claim(LINE)
    lost = JobKey(run_id, StageId("lost"))
    poisoned = Change(job_deletes=(job.key,), job_moves=(_move(lost, lost, job),))
    good = Change(run=RunPatch(run_id=run_id, revision=0, cancel_reason="told"))
    store = both.sql.store
    answers = await asyncio.gather(store.commit(poisoned), store.commit(good), return_exceptions=True)
    assert isinstance(answers[0], PortError)
    assert answers[1] is None
    (report,) = both.sql.told
    ((table, key, before, after),) = report.writes
    assert (table, key, before.cancel_reason, after.cancel_reason) == ("runs", run_id, None, "told")


async def test_changes_of_one_batch_are_one_report(both: Both) -> None:
    run_id = await both.start(LINE)
    store = both.sql.store
    patches = [Change(run=RunPatch(run_id=run_id, revision=revision)) for revision in (0, 1)]
    await asyncio.gather(*map(store.commit, patches))
    (report,) = both.sql.told
    assert [(written.before.revision, written.after.revision) for written in report.writes] == [(0, 2)]


async def test_it_is_told_in_the_callers_context_before_the_write_has_passed() -> None:
    process: ContextVar[str] = ContextVar("process", default="nobody")
    met: list[str] = []

    async def note(name: str) -> None:
        met.append(name)

    clock = ManualClock()
    database = SharedDatabase(clock, watch=lambda _: met.append(process.get()))
    process.set("worker-1")
    ids = SeededIds(clock)
    store = database.client(ids, note)
    await Dispatcher(store, clock, ids).dispatch(create(LINE))
    await store.claim((LINE.route,), limit=1, length=LENGTH, worker=WORKER)
    await store.workers()
    assert met == [*["write:before", "worker-1", "write:after"] * 2, "read:before", "read:after"]
    database.close()


async def test_what_the_template_held_is_not_told_of_and_is_what_was_there_before(both: Both) -> None:
    run_id = await both.start(LINE)
    told: list[Committed] = []
    template = both.database._rounds._connection.serialize()
    database = SharedDatabase(both.clock, template, told.append)
    store = database.client(SeededIds(both.clock))
    await store.commit(Change(run=RunPatch(run_id=run_id, revision=0)))
    (report,) = told
    assert [(written.before.revision, written.after.revision) for written in report.writes] == [(0, 1)]
    database.close()
