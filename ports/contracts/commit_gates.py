"""Unique keys that gate a Change: the second of two is refused whole, and what the first wrote stays."""

from mainspring.ports.change import Change, RunPatch
from mainspring.ports.contracts.suite import PersistenceSuite
from mainspring.ports.contracts.world import NEXT_STAGE, World
from mainspring.ports.errors import PortError
from mainspring.ports.names import Fingerprint, Payload, WorkflowId
from mainspring.ports.records import Graph


class CommitGatesContract(PersistenceSuite):
    """Insert, on conflict refuse."""

    async def test_a_run_id_that_is_taken_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run = await world.created()
        again = world.run(id=run.id, input=Payload("2"))
        await world.assert_refused(Change(create=again))
        assert await world.other.run(run.id) == run

    async def test_a_run_key_that_is_taken_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run = await world.created(key="order-42")
        await world.assert_refused(Change(create=world.run(key="order-42")))
        assert await world.other.run_by_key(run.workflow, "order-42") == run

    async def test_a_run_key_is_unique_per_workflow_only(self) -> None:
        world = await self.world()
        greet = await world.created(key="order-42")
        other = await world.created(key="order-42", workflow=WorkflowId("other"))
        assert await world.other.run_by_key(greet.workflow, "order-42") == greet
        assert await world.other.run_by_key(other.workflow, "order-42") == other

    async def test_runs_without_a_key_do_not_meet(self) -> None:
        world = await self.world()
        assert await world.created() != await world.created()

    async def test_a_run_key_is_compared_exactly(self) -> None:
        world = await self.world()
        for key in ("a", "A", "\uff41", "a ", "\u00e1", "a\u0301"):
            await world.created(key=key)
        assert await world.other.run_by_key(WorkflowId("greet"), " a") is None

    async def test_a_signal_id_that_the_run_received_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run = await world.created()
        signal = world.signal(run)
        await world.store.commit(Change(signals=(signal,)))
        again = world.signal(run, id=signal.id, payload=Payload("false"))
        await world.assert_refused(Change(signals=(again,)))
        assert [found.payload for found in await world.other.inbox(run.id)] == ["true"]

    async def test_a_signal_id_is_unique_per_run_only(self) -> None:
        world = await self.world()
        one, two = await world.created(), await world.created()
        signal = world.signal(one)
        await world.store.commit(Change(signals=(signal,)))
        await world.store.commit(Change(signals=(world.signal(two, id=signal.id),)))
        assert len(await world.other.inbox(two.id)) == 1

    async def test_an_answer_that_is_remembered_refuses_the_whole_change(self) -> None:
        world = await self.world()
        answer = world.answer(key="k", result="1")
        await world.store.commit(Change(answer=answer))
        await world.assert_refused(Change(answer=world.answer(key="k", result="2")))
        assert await world.other.answer(answer.command, "k") == answer

    async def test_an_answer_is_remembered_per_command(self) -> None:
        world = await self.world()
        one = world.answer(key="k")
        two = world.answer(key="k", command="run.signal")
        await world.store.commit(Change(answer=one))
        await world.store.commit(Change(answer=two))
        assert await world.other.answer("run.signal", "k") == two

    async def test_a_stage_row_that_is_there_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.commit(Change(stages=(world.stage(run),)))
        await world.assert_refused(Change(stages=(world.stage(run, output=Payload("2")),)))
        assert [record.output for record in await world.other.stages(run.id)] == ["1"]

    async def test_one_taken_stage_row_among_several_refuses_the_whole_change(self) -> None:
        world = await self.world()
        run = await world.created()
        await world.store.commit(Change(stages=(world.stage(run, index=1),)))
        rows = tuple(world.stage(run, index=index) for index in range(3))
        await world.assert_refused(Change(stages=rows))

    async def test_stage_rows_of_other_instances_stages_and_runs_do_not_meet(self) -> None:
        world = await self.world()
        one, two = await world.created(), await world.created()
        rows = (world.stage(one), world.stage(one, index=1), world.stage(one, stage=NEXT_STAGE), world.stage(two))
        await world.store.commit(Change(stages=rows))
        assert len(await world.other.stages(one.id)) == 3

    async def test_a_job_row_that_is_there_keeps_a_change_from_being_written(self) -> None:
        world = await self.world()
        run, job = await world.with_job(input=Payload("1"))
        change = Change(
            run=RunPatch(run_id=run.id, revision=0),
            stages=(world.stage(run, index=7),),
            jobs=(world.job(run, index=3), world.job(run, input=Payload("2"))),
        )
        before = await world.everything()
        await _assert_not_written(world, change)
        assert await world.everything() == before
        assert await world.stored(job) == job

    async def test_a_shape_that_is_stored_stays_and_gates_nothing(self) -> None:
        world = await self.world()
        fingerprint = Fingerprint("feedfeedfeedfeed")
        first = Graph(fingerprint=fingerprint, shape="first")
        await world.store.commit(Change(graph=first))
        run = world.run()
        await world.store.commit(Change(create=run, graph=Graph(fingerprint=fingerprint, shape="second")))
        assert await world.other.graph(fingerprint) == first
        assert await world.other.run(run.id) == run

    async def test_a_refused_change_can_be_written_once_its_gate_is_right(self) -> None:
        world = await self.world()
        run = await world.created()
        one, two = world.signal(run), world.signal(run)
        await world.store.commit(Change(signals=(one,)))
        await world.assert_refused(Change(signals=(one, two)))
        await world.store.commit(Change(signals=(two,)))
        assert [found.id for found in await world.other.inbox(run.id)] == [one.id, two.id]
        assert [found.seq for found in await world.other.inbox(run.id)] == sorted(
            found.seq for found in await world.other.inbox(run.id)
        )


async def _assert_not_written(world: World, change: Change) -> None:
    """Refused in whatever way: such a Change is a mistake of the kernel, not a race it may lose."""
    try:
        await world.store.commit(change)
    except PortError:
        return
    raise AssertionError(f"was written, though a row is there already: {change}")
