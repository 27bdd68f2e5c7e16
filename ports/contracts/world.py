"""The world in which the persistence suites act: a store, its clock, builders of records, and a look at all of it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import attrs

from mainspring.ports.change import Change, Wake
from mainspring.ports.clock import Clock
from mainspring.ports.errors import StaleChange
from mainspring.ports.names import (
    Fingerprint,
    LeaseId,
    Payload,
    Route,
    RunId,
    SignalId,
    StageId,
    Version,
    WorkerId,
    WorkflowId,
)
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import (
    Answer,
    AttemptRecord,
    EventDraft,
    Failure,
    Graph,
    Job,
    JobKey,
    Lease,
    Run,
    RunStatus,
    Signal,
    StageRecord,
    StageStatus,
)

ROUTE = Route("default/greet@1#0123456789abcdef")
OTHER_ROUTE = Route("default/greet@2#0123456789abcdef")
STAGE = StageId("hello")
NEXT_STAGE = StageId("goodbye")
WORKER = WorkerId("worker-1")
OTHER_WORKER = WorkerId("worker-2")
LEASE_LENGTH = timedelta(seconds=30)
SECOND = timedelta(seconds=1)


class SteerableClock(Clock, Protocol):
    """A clock that a suite may move; it stands still otherwise."""

    def advance(self, by: timedelta) -> None:
        """Move by so much."""
        ...


@attrs.define(kw_only=True)
class World:
    """One fresh store and all that a suite made in it."""

    store: Persistence
    other: Persistence  #: another process' view of the same store
    clock: SteerableClock
    advance: Callable[[timedelta], Awaitable[None]]  #: moves the store's time
    run_ids: list[RunId] = attrs.field(factory=list[RunId])
    made: int = 0

    def number(self) -> int:
        """1, 2, 3 …: to tell one made-up thing from another."""
        self.made += 1
        return self.made

    def run_id(self) -> RunId:
        """A fresh id, in the form and the order of UUIDv7s."""
        run_id = RunId(f"019a0000-0000-7000-8000-{self.number():012x}")
        self.run_ids.append(run_id)
        return run_id

    def lease_id(self) -> LeaseId:
        """A lease id that no claim ever gave."""
        return LeaseId(f"00000000-0000-4000-8000-{self.number():012x}")

    # Builders: what is not said is plain.

    def run(self, **fields: Any) -> Run:
        """A pending run."""
        plain: dict[str, Any] = {
            "id": fields.get("id") or self.run_id(),
            "workflow": WorkflowId("greet"),
            "version": Version("1"),
            "fingerprint": Fingerprint("0123456789abcdef"),
            "queue": "default",
            "status": RunStatus.PENDING,
            "revision": 0,
            "priority": 0,
            "key": None,
            "request_hash": "hash",
            "input": Payload('"world"'),
            "config": None,
            "tags": (),
            "metadata": None,
            "created_at": self.clock.now(),
            "start_at": None,
            "started_at": None,
            "finished_at": None,
            "deadline": None,
            "output": None,
            "failure": None,
        }
        return Run(**(plain | fields))

    def job(self, run: Run, **fields: Any) -> Job:
        """A ready job that is due."""
        plain: dict[str, Any] = {
            "run_id": run.id,
            "stage": STAGE,
            "route": ROUTE,
            "available_at": self.clock.now(),
            "max_attempts": 3,
        }
        return Job(**(plain | fields))

    def stage(self, run: Run, **fields: Any) -> StageRecord:
        """A completed stage."""
        plain: dict[str, Any] = {
            "run_id": run.id,
            "stage": STAGE,
            "index": 0,
            "status": StageStatus.COMPLETED,
            "attempt": 1,
            "worker": WORKER,
            "started_at": self.clock.now(),
            "finished_at": self.clock.now(),
            "output": Payload("1"),
            "failure": None,
        }
        return StageRecord(**(plain | fields))

    def attempt(self, run: Run, **fields: Any) -> AttemptRecord:
        """A try that failed and will be repeated."""
        plain: dict[str, Any] = {
            "run_id": run.id,
            "stage": STAGE,
            "index": 0,
            "attempt": 1,
            "lease_id": self.lease_id(),
            "worker": WORKER,
            "started_at": self.clock.now(),
            "ended_at": self.clock.now(),
            "failure": Failure(code="failed", message="no luck", type="builtins.ValueError", stage=STAGE),
        }
        return AttemptRecord(**(plain | fields))

    def signal(self, run: Run, **fields: Any) -> Signal:
        """A message to the run."""
        plain: dict[str, Any] = {
            "run_id": run.id,
            "id": SignalId(f"signal-{self.number()}"),
            "name": "approval",
            "payload": Payload("true"),
            "sent_at": self.clock.now(),
        }
        return Signal(**(plain | fields))

    def event(self, run: Run, data: str = "{}") -> EventDraft:
        """Something to tell of the run."""
        return EventDraft(run_id=run.id, type="stage.progress", at=self.clock.now(), data=data)

    def answer(self, **fields: Any) -> Answer:
        """An answer to remember."""
        plain = {"command": "run.cancel", "key": f"key-{self.number()}", "request_hash": "hash", "result": "{}"}
        return Answer(**(plain | fields))

    # Deeds: committed at once.

    async def created(self, **fields: Any) -> Run:
        """A run that stands in the store, without jobs."""
        run = self.run(**fields)
        await self.store.commit(Change(create=run))
        return run

    async def added(self, run: Run, **fields: Any) -> Job:
        """A job that stands in the store."""
        job = self.job(run, **fields)
        await self.store.commit(Change(jobs=(job,)))
        return job

    async def with_job(self, **fields: Any) -> tuple[Run, Job]:
        """A run with one job, both in the store."""
        run = await self.created()
        return run, await self.added(run, **fields)

    async def claimed(
        self, *keys: JobKey, limit: int = 100, length: timedelta = LEASE_LENGTH, worker: WorkerId = WORKER
    ) -> list[Lease]:
        """What a claim of either route leases, among the given jobs or all."""
        only: Sequence[JobKey] | None = keys or None
        return await self.store.claim((ROUTE, OTHER_ROUTE), limit=limit, length=length, worker=worker, only=only)

    async def leased(self, job: Job) -> Lease:
        """The lease of this very job."""
        (lease,) = await self.claimed(job.key)
        return lease

    async def stored(self, job: Job) -> Job:
        """The job's row as it stands now, seen by the other process."""
        row = await self.other.job(job.key)
        assert row is not None, f"{job.key} is gone"
        return row

    # Verdicts.

    async def everything(self) -> dict[str, object]:
        """All of the store that can be seen by the other process, for comparison."""
        seen: dict[str, object] = {}
        for run_id in self.run_ids:
            seen[run_id] = (
                await self.other.run_state(run_id),
                await self.other.jobs(run_id),
                await self.other.stages(run_id),
                await self.other.attempts(run_id),
                await self.other.inbox(run_id),
            )
        seen["graph"] = await self.other.graph(Fingerprint("feedfeedfeedfeed"))
        seen["answer"] = await self.other.answer("test", "everything")
        seen["events"] = await self.other.unpublished(1_000)
        seen["dead letters"] = await self.other.dead_letters(1_000)
        return seen

    async def assert_refused(self, change: Change) -> None:
        """The Change, laden with one write of every kind that it lacks, is refused, and nothing of it is visible."""
        laden = await self._laden(change)
        before = await self.everything()
        try:
            await self.store.commit(laden)
        except StaleChange:
            pass
        else:
            raise AssertionError(f"was written, though it must be refused: {change}")
        after = await self.everything()
        assert after == before, "a refused Change left something behind"

    async def _laden(self, change: Change) -> Change:
        """The Change with writes of every kind to a run of its own, so that a part that slips through is seen."""
        run = await self.created()
        await self.added(run, available_at=None)
        changes: dict[str, Any] = {
            "signals": (*change.signals, self.signal(run)),
            "stages": (*change.stages, self.stage(run, stage=StageId("ended"))),
            "attempts": (*change.attempts, self.attempt(run)),
            "jobs": (*change.jobs, self.job(run, stage=StageId("slipped-in"))),
            "wakes": (*change.wakes, Wake(run_id=run.id, at=self.clock.now())),
            "events": (*change.events, self.event(run)),
            "graph": change.graph or Graph(fingerprint=Fingerprint("feedfeedfeedfeed"), shape="{}"),
            "answer": change.answer or self.answer(command="test", key="everything"),
        }
        if change.create is None and change.run is None:
            changes["create"] = self.run()
        return attrs.evolve(change, **changes)
