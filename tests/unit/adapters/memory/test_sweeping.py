"""Sweeping a store that is used like a database server: what is locked is passed over, what is decided is locked."""

import asyncio
from datetime import timedelta

import pytest

from mainspring.adapters.memory.row_locks import Holder, RowLocks
from mainspring.ports.change import Change, RunGuard
from mainspring.ports.errors import StaleChange, UnavailableError
from mainspring.ports.records import Run, RunStatus, Swept
from tests.unit.adapters.memory.servers import Server, Stop, begun

AGE = timedelta(days=1)


async def old_run(server: Server, key: str | None = None) -> Run:
    """A run that may be swept."""
    ended = server.clock.now() - AGE
    return await server.world.created(key=key, status=RunStatus.COMPLETED, finished_at=ended)


def signal_of(server: Server, run: Run) -> Change:
    return Change(run_guard=RunGuard(run_id=run.id, revision=run.revision), signals=(server.world.signal(run),))


@pytest.mark.fault(96)
async def test_a_sweep_passes_over_a_run_that_another_has_locked() -> None:
    server, stop = Server(), Stop("commit:locked")
    busy, idle = await old_run(server), await old_run(server)
    signalling = await begun(server.client(stop).commit(signal_of(server, busy)))
    assert (await server.two.sweep(runs=AGE, answers=None, limit=1)).runs == (idle.id,)
    stop.go_on.set()
    await signalling
    assert len(await server.one.inbox(busy.id)) == 1
    assert (await server.two.sweep(runs=AGE, answers=None, limit=1)).runs == (busy.id,)
    assert len(server.locks) == 0


@pytest.mark.fault(96)
async def test_a_signal_waits_for_the_sweep_of_its_run_and_is_refused() -> None:
    server, stop = Server(), Stop("sweep:locked")
    run = await old_run(server)
    sweeping = await begun(server.client(stop).sweep(runs=AGE, answers=None, limit=9))
    signalling = await begun(server.two.commit(signal_of(server, run)))
    assert not signalling.done()
    assert await server.one.run(run.id) == run, "nobody sees a sweep before it is whole"
    stop.go_on.set()
    assert (await sweeping).runs == (run.id,)
    with pytest.raises(StaleChange):
        await signalling
    assert await server.one.inbox(run.id) == []


async def test_a_start_under_the_key_of_a_run_that_is_being_swept_waits_and_gets_it() -> None:
    server, stop = Server(), Stop("sweep:locked")
    await old_run(server, key="order-42")
    sweeping = await begun(server.client(stop).sweep(runs=AGE, answers=None, limit=9))
    again = server.world.run(key="order-42")
    starting = await begun(server.two.commit(Change(create=again)))
    assert not starting.done()
    stop.go_on.set()
    await asyncio.gather(sweeping, starting)
    assert await server.one.run_by_key(again.workflow, "order-42") == again


async def test_who_answers_again_under_a_key_that_is_being_forgotten_waits_and_gives_the_answer() -> None:
    server, stop = Server(), Stop("sweep:locked")
    await server.one.commit(Change(answer=server.world.answer(key="k", result="old")))
    server.clock.advance(AGE)
    sweeping = await begun(server.client(stop).sweep(runs=None, answers=AGE, limit=9))
    new = server.world.answer(key="k", result="new")
    answering = await begun(server.two.commit(Change(answer=new)))
    assert not answering.done()
    assert await server.two.sweep(runs=None, answers=AGE, limit=9) == Swept(), "it is locked"
    stop.go_on.set()
    await answering
    assert await sweeping == Swept(answers=1)
    assert await server.one.answer("run.cancel", "k") == new


@pytest.mark.fault(96)
async def test_the_sweep_of_a_client_that_died_is_rolled_back_whole() -> None:
    server, stop = Server(), Stop("sweep:locked")
    run = await old_run(server)
    dead = server.client(stop)
    sweeping = await begun(dead.sweep(runs=AGE, answers=None, limit=9))
    dead.disconnect()
    stop.go_on.set()
    with pytest.raises(UnavailableError):
        await sweeping
    assert await server.one.run(run.id) == run
    assert await server.one.tombstones(timedelta(), 9) == []
    assert (await server.two.sweep(runs=AGE, answers=None, limit=9)).runs == (run.id,)


def test_of_several_locks_all_are_taken_or_none() -> None:
    locks, mine, theirs = RowLocks(), Holder(), Holder()
    assert locks.take_all(mine, [("a",), ("b",)])
    assert locks.take_all(mine, [("b",), ("c",)]), "what is mine already is no hindrance"
    assert not locks.take_all(theirs, [("d",), ("c",)])
    assert not locks.locked(("d",))
