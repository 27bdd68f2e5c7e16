"""A client whose process died: its tasks are never run again, and nobody waits for them."""

import asyncio
from datetime import timedelta

import pytest

from mainspring.adapters.memory import Committed, MemoryPersistence, SeededIds
from mainspring.ports.change import Change, RunPatch
from mainspring.ports.contracts.world import LEASE_LENGTH, ROUTE, WORKER
from mainspring.ports.errors import StaleChange, UnavailableError
from mainspring.ports.records import Run, WorkerRecord
from mainspring.ports.sinks import Sink
from tests.unit.adapters.memory.servers import Server, Stop, begun, turns


def patch(run: Run, revision: int = 0) -> Change:
    return Change(run=RunPatch(run_id=run.id, revision=revision))


async def revision(server: Server, run: Run) -> int:
    stored = await server.two.run(run.id)
    assert stored is not None
    return stored.revision


async def test_what_a_dead_client_holds_goes_to_who_waits_for_it() -> None:
    server = Server()
    run, job = await server.world.with_job()
    dead = server.client(Stop("commit:locked"))
    dying = await begun(dead.commit(Change(run=patch(run).run, job_deletes=(job.key,))))
    waiting = await begun(server.two.commit(patch(run)))
    assert not waiting.done()
    dead.disconnect()
    await waiting
    assert await revision(server, run) == 1
    assert [lease.job.key for lease in await server.world.claimed()] == [job.key]
    assert not dying.done()
    assert len(server.locks) == 0


@pytest.mark.parametrize("name", ["claim", "extend"])
async def test_rows_that_a_dead_client_was_leasing_are_free(name: str) -> None:
    server = Server()
    _, job = await server.world.with_job()
    dead = server.client(Stop(f"{name}:locked"))
    if name == "claim":
        await begun(dead.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER))
    else:
        await begun(dead.extend([(job.key, server.world.lease_id())], LEASE_LENGTH))
    assert await server.world.claimed() == []
    dead.disconnect()
    assert (await server.world.leased(job)).job.key == job.key


async def test_a_lock_is_never_handed_to_a_dead_client() -> None:
    server, stop = Server(), Stop("commit:locked")
    run = await server.world.created()
    holding = await begun(server.client(stop).commit(patch(run)))
    dead = server.client()
    dying = await begun(dead.commit(patch(run)))
    waiting = await begun(server.two.commit(patch(run, 1)))
    dead.disconnect()
    stop.go_on.set()
    await holding
    await waiting
    assert await revision(server, run) == 2
    assert not dying.done()
    assert len(server.locks) == 0


async def test_a_lock_is_never_handed_to_a_task_that_is_not_run_again() -> None:
    server, stop = Server(), Stop("commit:locked")
    _, job = await server.world.with_job()
    holding = await begun(server.client(stop).commit(Change(job_deletes=(job.key,))))
    dead = server.client()
    frozen = dead.extend([(job.key, server.world.lease_id())], LEASE_LENGTH)
    frozen.send(None)  # as far as its wait; no loop will ever resume it
    waiting = await begun(server.two.extend([(job.key, server.world.lease_id())], LEASE_LENGTH))
    dead.disconnect()
    stop.go_on.set()
    await holding
    await turns()
    assert waiting.done()
    assert len(server.locks) == 0
    frozen.close()


async def test_a_lock_that_was_handed_to_a_client_that_then_died_goes_on() -> None:
    server = Server()
    run = await server.world.created()
    first, second = server.client(Stop("commit:locked")), server.client()
    dying = [await begun(client.commit(patch(run))) for client in (first, second)]
    waiting = await begun(server.two.commit(patch(run)))
    first.disconnect()
    second.disconnect()  # it has the lock by now, yet its task had no turn since
    await waiting
    assert await revision(server, run) == 1
    assert not any(task.done() for task in dying)
    assert len(server.locks) == 0


async def test_the_time_out_of_a_dead_clients_lock_wait_tells_nobody() -> None:
    server, stop = Server(lock_timeout=timedelta()), Stop("commit:locked")
    run = await server.world.created()
    holding = await begun(server.client(stop).commit(patch(run)))
    dead = server.client()
    dying = asyncio.create_task(dead.commit(patch(run)))
    await asyncio.sleep(0)  # it hands in
    await asyncio.sleep(0)  # it waits, and its time is up at the next turn
    dead.disconnect()
    await turns()
    assert not dying.done()
    stop.go_on.set()
    await holding


async def test_what_was_batched_by_a_dead_client_is_never_written() -> None:
    server, stop = Server(), Stop("commit:locked")
    runs = [await server.world.created() for _ in range(3)]
    dead = server.client(stop)
    dying = [await begun(dead.commit(patch(run))) for run in runs]
    dead.disconnect()
    stop.go_on.set()  # though its tasks be run again
    await turns()
    assert [await revision(server, run) for run in runs] == [0, 0, 0]
    assert not any(task.done() for task in dying)
    with pytest.raises(UnavailableError):
        await dead.commit(patch(runs[0]))
    with pytest.raises(UnavailableError):
        await dead.run(runs[0].id)
    await dead.close()


# The watch.


async def test_the_watch_is_told_of_every_transaction_once_all_of_it_is_true() -> None:
    server = Server()
    plain = MemoryPersistence(server.clock, SeededIds(server.clock, 7), store=server.store)
    told: list[tuple[list[str], int]] = []

    def watch(committed: Committed) -> None:
        told.append(([write.table for write in committed.writes], len(committed.changes)))

    server.store.watch = watch
    for client in (server.one, plain):
        told.clear()
        run = server.world.run()
        job = server.world.job(run)
        jobs = (job, server.world.job(run, index=1))
        create = Change(create=run, jobs=jobs, events=(server.world.event(run),))
        await client.commit(create)
        lease, _ = await client.claim((ROUTE,), limit=5, length=LEASE_LENGTH, worker=WORKER)
        assert await client.claim((ROUTE,), limit=5, length=LEASE_LENGTH, worker=WORKER, only=[job.key]) == []
        await client.extend([(job.key, lease.lease_id), (job.key, server.world.lease_id())], LEASE_LENGTH)
        await client.lease_relay(lease.lease_id, LEASE_LENGTH)
        await client.release_relay(lease.lease_id)
        now = server.clock.now()
        worker = WorkerRecord(id=WORKER, build="b", routes=(ROUTE,), started_at=now, seen_at=now)
        await client.record_worker(worker)
        await client.forget_worker(WORKER)
        await client.add_sink(Sink())
        with pytest.raises(StaleChange):
            await client.commit(create)
        assert told == [
            (["runs", "jobs", "jobs", "counters", "outbox"], 1),
            (["jobs", "counters", "jobs", "counters"], 0),
            (["jobs"], 0),
            (["relays"], 0),
            (["relays"], 0),
            (["workers"], 0),
            (["workers"], 0),
            (["sinks"], 0),
        ]


async def test_the_watch_is_told_rows_as_they_were_and_are() -> None:
    server = Server()
    run = await server.world.created()
    told: list[Committed] = []
    server.store.watch = told.append
    change = patch(run)
    await server.one.commit(change)
    (committed,) = told
    assert committed.changes == (change,)
    ((table, key, before, after),) = committed.writes
    assert (table, key, before) == ("runs", run.id, run)
    assert after == await server.two.run(run.id)
