"""What commands and readers read: every noun comes back as it was written, to every process, in its order."""

from datetime import timedelta

import attrs

from mainspring.ports.change import Change, RunPatch
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import NEXT_STAGE, SECOND, STAGE, World
from mainspring.ports.names import BlobKey, Fingerprint, Payload, RunId, SignalId, StageId, WorkflowId
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Artifact,
    Failure,
    Graph,
    JobKey,
    JobPhase,
    Polling,
    Run,
    RunFilter,
    RunStatus,
    StageStatus,
    StageTally,
)

ODD = (
    "\u0001 \u2028 \ud7ff \ue000 \U0001f680 e\u0301 \u05d0\u0301 "
    "' \" \\ % : ? ; -- /* \x1e\x1f\t\r\n {} $1 \x7f\ufffd\uffff"
)
"""Text that breaks naive quoting, splitting and encoding."""


class RunStoreContract(PersistenceSuite):
    """Reads see every finished commit, whichever process made it."""

    async def test_a_run_comes_back_as_it_was_written(self) -> None:
        world = await self.world()
        now = world.clock.now()
        full = world.run(
            status=RunStatus.FAILED,
            revision=3,
            priority=-5,
            key="order-42",
            config=Payload('{"hello":{}}'),
            tags=("a", "b"),
            metadata=Payload('{"k":[1]}'),
            start_at=now + SECOND,
            started_at=now + SECOND * 2,
            finished_at=now + timedelta(microseconds=1),
            deadline=now + timedelta(days=20_000),
            output=Payload("[]"),
            failure=Failure(code="failed", message="m", type="t", details="{}", traceback="tb", stage=STAGE),
            cancel_reason="because",
            parent_run=world.run_id(),
            parent_step="step",
            rerun_of=world.run_id(),
            rerun_from=STAGE,
        )
        await world.store.commit(Change(create=full))
        assert await world.other.run(full.id) == full
        assert await world.other.run_by_key(full.workflow, "order-42") == full

    async def test_a_plain_run_comes_back_as_it_was_written(self) -> None:
        world = await self.world()
        run = await world.created()
        assert await world.store.run(run.id) == run
        assert await world.other.run(run.id) == run

    async def test_a_job_comes_back_as_it_was_written(self) -> None:
        world = await self.world()
        run = await world.created()
        now = world.clock.now()
        full = world.job(
            run,
            index=3,
            phase=JobPhase.PARKED,
            priority=-2,
            available_at=now + SECOND,
            not_before=now + SECOND * 2,
            attempt=2,
            max_attempts=9,
            wakes=4,
            input=Payload("{}"),
            polling=Polling(state=Payload(ODD), every=SECOND, since=now, until=now + SECOND * 9, checks=7),
        )
        plain = world.job(run, available_at=None)
        await world.store.commit(Change(jobs=(full, plain)))
        assert await world.other.job(full.key) == full
        assert await world.other.jobs(run.id) == [plain, full]

    async def test_ended_stages_and_attempts_come_back_as_they_were_written(self) -> None:
        world = await self.world()
        run = await world.created()
        failure = Failure(code="failed", message=ODD, type="t", details="{}", traceback=ODD, stage=STAGE)
        report = Artifact(name=ODD, blob=BlobKey("r/l/0"), size=1 << 40, media_type="text/plain")
        picture = Artifact(name="a b", blob=BlobKey("r/l/1"), size=0, media_type="image/png")
        left = (report, picture)
        failed = world.stage(run, status=StageStatus.FAILED, output=None, failure=failure, artifacts=left)
        never = world.stage(
            run, index=1, status=StageStatus.SKIPPED, attempt=0, worker=None, started_at=None, output=None
        )
        attempt = world.attempt(run, failure=failure)
        given_back = world.attempt(run, started_at=world.clock.now() + SECOND, failure=None)
        await world.store.commit(Change(stages=(failed, never), attempts=(given_back, attempt)))
        assert await world.other.stages(run.id) == [failed, never]
        assert await world.other.attempts(run.id) == [attempt, given_back]

    async def test_what_is_not_there_is_none_or_empty(self) -> None:
        world = await self.world()
        nobody = world.run_id()
        assert await world.store.run(nobody) is None
        assert await world.store.run_by_key(WorkflowId("greet"), "k") is None
        assert await world.store.run_state(nobody) is None
        assert await world.store.job(JobKey(nobody, STAGE)) is None
        assert await world.store.signal(nobody, SignalId("s")) is None
        assert await world.store.answer("run.cancel", "k") is None
        assert await world.store.graph(Fingerprint("0")) is None
        for rows in (world.store.jobs, world.store.stages, world.store.attempts, world.store.inbox):
            assert await rows(nobody) == []

    async def test_a_commit_is_seen_by_every_process_at_once(self) -> None:
        world = await self.world()
        run = world.run()
        for n in range(20):
            writer, reader = (world.store, world.other)[:: 1 if n % 2 else -1]
            change = Change(create=run) if n == 0 else Change(run=RunPatch(run_id=run.id, revision=n - 1))
            await writer.commit(change)
            stored = await reader.run(run.id)
            assert stored is not None
            assert stored.revision == n

    async def test_stages_are_read_by_id(self) -> None:
        world = await self.world()
        run = await world.created()
        rows = [world.stage(run, stage=StageId(name), index=index) for name in "cab" for index in (10, 9, 0)]
        await world.store.commit(Change(stages=tuple(rows)))
        ordered = sorted(rows, key=lambda row: (row.stage, row.index))
        assert await world.other.stages(run.id) == ordered
        assert await world.other.stages(run.id, [StageId("b"), StageId("x")]) == ordered[3:6]
        assert await world.other.stages(run.id, []) == []

    async def test_a_state_tallies_what_stands_where(self) -> None:
        world = await self.world()
        run = await world.created()
        for index, status in enumerate(StageStatus):
            await world.store.commit(Change(stages=(world.stage(run, index=index, status=status),)))
        for index, phase in enumerate((JobPhase.READY, JobPhase.READY, JobPhase.BLOCKED, JobPhase.PARKED), start=10):
            await world.added(run, index=index, phase=phase)
        await world.claimed(limit=1)
        await world.added(run, stage=NEXT_STAGE, available_at=None)
        state = await world.other.run_state(run.id)
        assert state is not None
        assert state.run == run
        assert state.stages == {
            STAGE: StageTally(completed=1, failed=1, cancelled=1, skipped=1, active=3, parked=1),
            NEXT_STAGE: StageTally(active=1),
        }

    async def test_a_state_forgets_jobs_that_are_gone(self) -> None:
        world = await self.world()
        run, job = await world.with_job()
        await world.store.commit(Change(job_deletes=(job.key,)))
        state = await world.other.run_state(run.id)
        assert state is not None
        assert state.stages == {}

    async def test_signals_are_kept_in_order_of_arrival(self) -> None:
        world = await self.world()
        run = await world.created()
        sent = [world.signal(run, id=SignalId(f"{9 - n}"), sent_at=world.clock.now() - SECOND * n) for n in range(6)]
        await world.store.commit(Change(signals=tuple(sent[:2])))
        for signal in sent[2:]:
            await world.store.commit(Change(signals=(signal,)))
        inbox = await world.other.inbox(run.id)
        assert [attrs.evolve(signal, seq=0) for signal in inbox] == sent
        assert [signal.seq for signal in inbox] == sorted({signal.seq for signal in inbox})
        assert await world.other.signal(run.id, sent[3].id) == inbox[3]

    async def test_answers_and_shapes_come_back_as_they_were_written(self) -> None:
        world = await self.world()
        answer = world.answer(key=ODD, result=ODD, request_hash="h")
        graph = Graph(fingerprint=Fingerprint("feedfeedfeedfeed"), shape='{"stages":[]}')
        await world.store.commit(Change(answer=answer, graph=graph))
        assert await world.other.answer(answer.command, ODD) == answer
        assert await world.other.graph(graph.fingerprint) == graph

    async def test_odd_text_comes_back_as_it_was_written(self) -> None:
        world = await self.world()
        run = await world.created(input=Payload(ODD), key=ODD, tags=(ODD, ""), metadata=Payload(ODD), queue=ODD)
        job = await world.added(run, stage=StageId(ODD), input=Payload(ODD))
        signal = world.signal(run, id=SignalId(ODD), name=ODD, payload=Payload(ODD))
        row = world.stage(run, stage=StageId(ODD), output=Payload(ODD))
        await world.store.commit(Change(signals=(signal,), stages=(row,), events=(world.event(run, ODD),)))
        assert await world.other.run_by_key(run.workflow, ODD) == run
        assert await world.other.jobs(run.id) == [job]
        assert [found.payload for found in await world.other.inbox(run.id)] == [ODD]
        assert await world.other.stages(run.id) == [row]
        assert [event.data for event in await world.other.unpublished(10)] == [ODD]
        (lease,) = await world.claimed()
        assert (lease.job.stage, lease.job.input, lease.run.input) == (ODD, ODD, ODD)

    async def test_big_payloads_come_back_as_they_were_written(self) -> None:
        world = await self.world()
        big = Payload('"' + "\U0001f680x" * 500_000 + '"')
        run = await world.created(input=big)
        row = world.stage(run, output=big)
        await world.store.commit(Change(stages=(row,)))
        assert await world.other.run(run.id) == run
        assert await world.other.stages(run.id) == [row]

    async def test_many_rows_fit_into_one_change(self) -> None:
        world = await self.world()
        run = world.run()
        jobs = tuple(world.job(run, index=index, input=Payload(str(index))) for index in range(5_000))
        await world.store.commit(Change(create=run, jobs=jobs))
        assert await world.other.jobs(run.id) == list(jobs)
        state = await world.other.run_state(run.id)
        assert state is not None
        assert state.stages == {STAGE: StageTally(active=5_000)}

    async def test_finished_runs_are_told_from_active_and_unknown_ones(self) -> None:
        world = await self.world()
        runs = [await world.created(status=status) for status in RunStatus]
        ids = [run.id for run in runs]
        found = await world.other.finished([*ids, world.run_id()])
        assert {run.id for run in found} == {run.id for run in runs if run.status in TERMINAL_RUN_STATUSES}
        assert await world.other.finished(ids[:1]) == []
        assert await world.other.finished([]) == []

    async def test_time_is_the_stores(self) -> None:
        world = await self.world()
        before = await world.store.now()
        await world.advance(SECOND * 5)
        assert (await world.store.now()) - before >= SECOND * 5
        assert (await world.other.now()).utcoffset() == timedelta(0)


class RunListingContract(PersistenceSuite):
    """Lists are filtered and come in pages, newest first."""

    async def _listed(self, world: World, where: RunFilter) -> list[Run]:
        return await world.other.runs(where, limit=100)

    async def test_runs_come_newest_first_in_pages_without_gaps_or_repeats(self) -> None:
        world = await self.world()
        runs = [await world.created() for _ in range(7)]
        pages = [await world.other.runs(RunFilter(), limit=3)]
        while pages[-1]:
            pages.append(await world.other.runs(RunFilter(), limit=3, before=pages[-1][-1].id))
        assert [len(page) for page in pages] == [3, 3, 1, 0]
        assert [run for page in pages for run in page] == runs[::-1]

    async def test_a_page_goes_on_where_it_stood_though_runs_were_added(self) -> None:
        world = await self.world()
        runs = [await world.created() for _ in range(4)]
        first = await world.other.runs(RunFilter(), limit=2)
        await world.created()
        assert await world.other.runs(RunFilter(), limit=2, before=first[-1].id) == [runs[1], runs[0]]

    async def test_pages_hold_matching_runs_only(self) -> None:
        world = await self.world()
        runs = [await world.created(tags=("odd",) if n % 2 else ()) for n in range(8)]
        first = await world.other.runs(RunFilter(tag="odd"), limit=2)
        second = await world.other.runs(RunFilter(tag="odd"), limit=2, before=first[-1].id)
        assert first + second == runs[::-2]

    async def test_every_filter_filters(self) -> None:
        world = await self.world()
        plain = await world.created()
        other = await world.created(
            workflow=WorkflowId("other"),
            status=RunStatus.FAILED,
            tags=("x", "y"),
            key="k",
            created_at=world.clock.now() + timedelta(hours=2),
            rerun_of=plain.id,
        )
        later = world.clock.now() + timedelta(hours=1)
        for where in (
            RunFilter(workflow=WorkflowId("other")),
            RunFilter(status=(RunStatus.FAILED, RunStatus.COMPLETED)),
            RunFilter(tag="x"),
            RunFilter(tag="y"),
            RunFilter(key="k"),
            RunFilter(created_after=later),
            RunFilter(rerun_of=plain.id),
            RunFilter(workflow=WorkflowId("other"), status=(RunStatus.FAILED,), tag="y", key="k", created_after=later),
        ):
            assert await self._listed(world, where) == [other]
        assert await self._listed(world, RunFilter(created_before=later)) == [plain]
        assert await self._listed(world, RunFilter()) == [other, plain]

    async def test_filters_that_do_not_all_hold_list_nothing(self) -> None:
        world = await self.world()
        await world.created(tags=("x",))
        for where in (
            RunFilter(tag="x", status=(RunStatus.FAILED,)),
            RunFilter(tag="X"),
            RunFilter(tag=""),
            RunFilter(tag='x"'),
            RunFilter(tag="%"),
            RunFilter(key="k"),
            RunFilter(rerun_of=RunId("no run's id")),
            RunFilter(workflow=WorkflowId("greet' or '1'='1")),
        ):
            assert await self._listed(world, where) == []
