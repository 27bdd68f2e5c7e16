"""Transactions of a database server, in memory: what parts them is their locks, and only their locks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from mainspring.adapters.memory import Fault, lock_sets
from mainspring.adapters.memory.row_locks import LockKey
from mainspring.adapters.memory.server import Handed
from mainspring.adapters.memory.store import MemoryStore
from mainspring.ports import batches
from mainspring.ports.change import Change, LeaseGuard, OutboxSettlement, RunGuard, RunPatch, Wake
from mainspring.ports.contracts.commit_guards import released
from mainspring.ports.contracts.world import LEASE_LENGTH, ROUTE, SECOND, WORKER
from mainspring.ports.errors import PortError, StaleChange, UnavailableError, UnknownOutcomeError
from mainspring.ports.names import Payload, RunId, SinkName
from mainspring.ports.records import Run, RunStatus
from tests.unit.adapters.memory.servers import Server, Stop, begun, turns


def patch(run: Run, revision: int = 0, output: str = "1") -> Change:
    return Change(run=RunPatch(run_id=run.id, revision=revision, output=Payload(output)))


def wake(server: Server, run: Run) -> Change:
    guard = RunGuard(run_id=run.id, revision=0)
    return Change(run_guard=guard, wakes=(Wake(run_id=run.id, at=server.clock.now()),))


async def test_a_claim_passes_over_rows_that_are_locked() -> None:
    server, stop = Server(), Stop("commit:locked")
    run, job = await server.world.with_job()
    other = await server.world.added(run, index=1)
    deleting = await begun(server.client(stop).commit(Change(job_deletes=(job.key,))))
    leases = await server.two.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER)
    assert [lease.job.key for lease in leases] == [other.key]
    assert await server.two.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER, only=[job.key]) == []
    stop.go_on.set()
    await deleting


async def test_rows_that_a_claim_is_about_to_lease_are_passed_over_by_others() -> None:
    server, stop = Server(), Stop("claim:locked")
    run, job = await server.world.with_job()
    claiming = await begun(server.client(stop).claim((ROUTE,), limit=9, length=LEASE_LENGTH, worker=WORKER))
    assert await server.world.claimed() == []
    await server.one.commit(patch(run))  # the run's row is not locked by it
    server.clock.advance(SECOND)
    stop.go_on.set()
    (lease,) = await claiming
    assert lease.job.lease_until == server.clock.now() - SECOND + LEASE_LENGTH
    assert lease.run.revision == 0  # as the statement saw it
    assert await server.world.stored(job) == lease.job
    assert len(server.locks) == 0


async def test_who_waited_for_a_lock_sees_what_its_holder_wrote() -> None:
    server, stop = Server(), Stop("commit:locked")
    run = await server.world.created()
    first = await begun(server.client(stop).commit(patch(run, output="first")))
    second = await begun(server.two.commit(patch(run, output="second")))
    assert not second.done()
    stop.go_on.set()
    await first
    with pytest.raises(StaleChange):
        await second
    stored = await server.one.run(run.id)
    assert stored is not None
    assert (stored.output, stored.revision) == ("first", 1)


async def test_of_two_clients_with_the_same_revision_one_is_stale() -> None:
    server = Server()
    run = await server.world.created()
    answers = await asyncio.gather(server.one.commit(patch(run)), server.two.commit(patch(run)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), StaleChange]


async def test_a_guard_whose_row_is_not_locked_loses_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_sets, "PARTS", tuple(part for part in lock_sets.PARTS if part is not lock_sets.runs))
    server, stop = Server(), Stop("commit:locked")
    run = await server.world.created()
    first = await begun(server.client(stop).commit(patch(run, output="first")))
    await server.two.commit(patch(run, output="second"))
    stop.go_on.set()
    await first
    stored = await server.one.run(run.id)
    assert stored is not None
    assert (stored.output, stored.revision) == ("first", 2)


@pytest.mark.fault(58)
async def test_a_lock_that_is_not_freed_in_time_is_waited_for_no_longer() -> None:
    server, stop = Server(lock_timeout=timedelta()), Stop("commit:locked")
    run, job = await server.world.with_job()
    holding = await begun(server.client(stop).commit(Change(run=patch(run).run, job_deletes=(job.key,))))
    for call in (
        server.two.commit(patch(run, output="late")),
        server.two.extend([(job.key, server.world.lease_id())], LEASE_LENGTH),
    ):
        with pytest.raises(UnavailableError, match="lock"):
            await call
    stop.go_on.set()
    await holding
    stored = await server.one.run(run.id)
    assert stored is not None
    assert stored.output == "1"
    assert len(server.locks) == 0
    await server.two.commit(patch(run, revision=1))


async def test_locks_are_handed_on_in_the_order_of_asking() -> None:
    server, stop = Server(), Stop("commit:locked")
    run = await server.world.created()
    holding = await begun(server.client(stop).commit(Change(run_guard=RunGuard(run_id=run.id, revision=0))))
    changes = [Change(events=(server.world.event(run, str(number)),)) for number in range(5)]
    waiting = [await begun(server.client().commit(change)) for change in changes]
    stop.go_on.set()
    await asyncio.gather(holding, *waiting)
    assert [event.data for event in await server.one.unpublished(10)] == ["0", "1", "2", "3", "4"]


async def test_nothing_of_a_transaction_is_seen_until_all_of_it_is() -> None:
    server, stop = Server(), Stop("commit:locked")
    run, job = await server.world.with_job()
    before = await server.world.everything()
    all_of_it = Change(run=patch(run).run, job_deletes=(job.key,), stages=(server.world.stage(run),))
    writing = await begun(server.client(stop).commit(all_of_it))
    assert await server.world.everything() == before
    stop.go_on.set()
    await writing
    state = await server.two.run_state(run.id)
    assert state is not None
    assert (state.run.revision, state.active, len(await server.two.stages(run.id))) == (1, 0, 1)


@pytest.mark.parametrize("name", ["commit", "claim", "extend"])
async def test_what_fails_while_it_holds_its_locks_is_rolled_back(name: str) -> None:
    server = Server()
    run, job = await server.world.with_job()
    failing = server.client(Fault(f"{name}:locked", UnknownOutcomeError("connection lost")))
    lease = await server.world.leased(await server.world.added(run, index=1, available_at=server.clock.now() - SECOND))
    before = await server.world.everything()
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "commit": lambda: failing.commit(Change(run=patch(run).run, job_deletes=(job.key,))),
        "claim": lambda: failing.claim((ROUTE,), limit=1, length=LEASE_LENGTH, worker=WORKER),
        "extend": lambda: failing.extend([(lease.job.key, lease.lease_id)], 2 * LEASE_LENGTH),
    }
    with pytest.raises(UnknownOutcomeError):
        await calls[name]()
    assert await server.world.everything() == before
    assert len(server.locks) == 0


async def test_a_heartbeat_waits_for_the_row_and_then_reads_it_again() -> None:
    server, stop = Server(), Stop("commit:locked")
    _, job = await server.world.with_job()
    lease = await server.world.leased(job)
    guard = LeaseGuard(key=job.key, lease_id=lease.lease_id)
    releasing = await begun(server.client(stop).commit(Change(leases=(guard,), job_moves=(released(job),))))
    extending = await begun(server.two.extend([(job.key, lease.lease_id)], LEASE_LENGTH))
    assert not extending.done()
    stop.go_on.set()
    await releasing
    assert [answer.lost for answer in await extending] == [True]
    assert (await server.world.stored(job)).lease_until is None


async def test_a_unique_key_that_is_being_inserted_is_waited_for() -> None:
    for wins in (True, False):
        server = Server()
        stop = Stop("commit:locked")
        fault = Fault("commit:locked", UnavailableError("rolled back"))

        async def point(name: str, stop: Stop = stop, fault: Fault = fault, wins: bool = wins) -> None:
            await stop(name)
            if not wins:
                await fault(name)

        first = await begun(server.client(point).commit(Change(create=server.world.run(key="order"))))
        second = await begun(server.two.commit(Change(create=server.world.run(key="order"))))
        assert not second.done()
        stop.go_on.set()
        answers = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(a) for a in answers] == ([type(None), StaleChange] if wins else [UnavailableError, type(None)])


async def test_an_event_may_be_seen_before_an_older_one() -> None:
    server, stop = Server(), Stop("commit:locked")
    older, newer = [await server.world.created() for _ in range(2)]
    writing = await begun(server.client(stop).commit(Change(events=(server.world.event(older),))))
    await server.two.commit(Change(events=(server.world.event(newer),)))
    assert [event.run_id for event in await server.one.unpublished(10)] == [newer.id]
    stop.go_on.set()
    await writing
    assert [event.run_id for event in await server.one.unpublished(10)] == [older.id, newer.id]


async def test_settling_is_parted_from_the_relays_lease_by_its_row_and_from_no_other_sinks() -> None:
    server, stop, sink = Server(), Stop("commit:locked"), SinkName("audit")
    mine, other = server.world.lease_id(), server.world.lease_id()
    await server.one.lease_relay(mine, SECOND, sink)
    settling = await begun(server.client(stop).commit(Change(outbox=OutboxSettlement(sink=sink, lease_id=mine))))
    server.clock.advance(2 * SECOND)
    taking = await begun(server.two.lease_relay(other, SECOND, sink))
    assert await server.two.lease_relay(server.world.lease_id(), SECOND)
    assert not taking.done()
    stop.go_on.set()
    await settling
    assert await taking


# Batches.


async def test_changes_that_come_while_a_batch_is_written_are_written_together() -> None:
    server = Server()
    seen: list[int] = []
    server.store.watch = lambda committed: seen.append(len(committed.changes))
    runs = [server.world.run() for _ in range(5)]
    await asyncio.gather(*(server.one.commit(Change(create=run)) for run in runs))
    assert seen == [5]


async def test_two_exclusive_changes_of_a_run_never_share_a_batch() -> None:
    server = Server()
    run = await server.world.created()
    commits = (server.one.commit(patch(run, output=str(number))) for number in range(3))
    answers = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), StaleChange, StaleChange]


async def test_without_the_rule_of_batches_an_update_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def anything_fits(taken: batches.Uses, wanted: batches.Uses) -> bool:
        return True

    monkeypatch.setattr(batches, "fits", anything_fits)
    server = Server()
    run = await server.world.created()
    await asyncio.gather(server.one.commit(patch(run)), server.one.commit(patch(run)))
    stored = await server.one.run(run.id)
    assert stored is not None
    assert stored.revision == 2


async def test_many_wakes_share_a_batch_and_are_summed() -> None:
    server = Server()
    run, job = await server.world.with_job(available_at=None)
    seen: list[int] = []
    server.store.watch = lambda committed: seen.append(len(committed.changes))
    await asyncio.gather(*(server.one.commit(wake(server, run)) for _ in range(30)))
    assert seen == [30]
    assert (await server.world.stored(job)).wakes == 30


async def test_a_wake_and_a_suspension_never_share_a_batch() -> None:
    server = Server()
    run, job = await server.world.with_job()
    lease = await server.world.leased(job)
    guard = LeaseGuard(key=job.key, lease_id=lease.lease_id, wakes=0)
    suspend = Change(leases=(guard,), job_moves=(released(job, available_at=None),))
    woken, suspended = await asyncio.gather(
        server.one.commit(wake(server, run)), server.one.commit(suspend), return_exceptions=True
    )
    assert woken is None
    assert isinstance(suspended, StaleChange)


async def test_nobody_overtakes_a_change_it_does_not_go_with() -> None:
    def handed(change: Change) -> Handed:
        verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return Handed(change=change, verdict=verdict, uses=batches.uses(change))

    server = Server()
    run, other = server.world.run(), server.world.run()
    waiting = [handed(c) for c in (wake(server, run), patch(run), wake(server, run), patch(other), patch(run))]
    batch, left = batches.next_batch(waiting)
    assert batch == [waiting[0], waiting[3]]
    assert left == [waiting[1], waiting[2], waiting[4]]
    batch, left = batches.next_batch(left)
    assert batch == [waiting[1]]
    waiting = [handed(c) for c in (patch(run), wake(server, run), wake(server, run))]
    assert batches.next_batch(waiting) == (waiting[:1], waiting[1:])


async def test_a_change_that_cannot_be_written_harms_no_neighbour_and_is_not_told_of() -> None:
    server = Server()
    runs = [await server.world.created() for _ in range(3)]
    poison = Change(run=patch(runs[1]).run, jobs=(server.world.job(runs[1]), server.world.job(runs[1])))
    changes = (patch(runs[0]), poison, patch(runs[2]))
    told: list[RunId | None] = []
    server.store.watch = lambda committed: told.extend(write.key for write in committed.writes)
    answers = await asyncio.gather(*map(server.one.commit, changes), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), PortError, type(None)]
    assert told == [runs[0].id, runs[2].id]


async def test_a_caller_that_is_cancelled_takes_no_neighbour_along() -> None:
    server, stop = Server(), Stop("commit:locked")
    one, two = [await server.world.created() for _ in range(2)]
    client = server.client(stop)
    tasks = [asyncio.create_task(client.commit(patch(run))) for run in (one, two)]
    await turns()
    tasks[0].cancel()
    await turns()
    stop.go_on.set()
    await tasks[1]
    stored = [await server.one.run(run.id) for run in (one, two)]
    assert [run and run.revision for run in stored] == [1, 1]


async def test_closing_waits_for_what_was_handed_in() -> None:
    server, stop = Server(), Stop("commit:locked")
    run = await server.world.created()
    client = server.client(stop)
    writing = await begun(client.commit(patch(run)))
    closing = await begun(client.close())
    assert not closing.done()
    stop.go_on.set()
    await closing
    await writing


async def test_a_lock_set_can_be_told_of_any_change() -> None:
    server = Server()
    run, job = await server.world.with_job()
    change = Change(
        run=RunPatch(run_id=run.id, revision=0, status=RunStatus.RUNNING),
        wakes=(Wake(run_id=run.id, at=server.clock.now()),),
        answer=server.world.answer(command="c", key="k"),
    )

    def locked(store: MemoryStore, changes: Sequence[Change]) -> list[LockKey]:
        return [key for part in lock_sets.PARTS for key in lock_sets.of_part(part, store, changes)]

    keys = locked(server.store, [change])
    assert keys[:2] == [lock_sets.run(run.id), lock_sets.job(job.key)]
    assert keys == sorted(keys)
    assert [key[1] for key in keys] == ["run", "job", "answer"]
