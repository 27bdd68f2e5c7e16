"""Runs started beside a worker: it begins them at once where a slot is free, and never takes more than it has."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import attrs
import pytest

from mainspring import Context, workflow
from mainspring.client import Client
from mainspring.errors import RunCancelledError
from mainspring.handles import RunHandle
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.worker import Worker
from mainspring.ports.change import Change
from mainspring.ports.errors import UnavailableError, UnknownOutcomeError
from mainspring.ports.names import Route, RunId
from mainspring.ports.records import JobKey, Lease, Run, RunFilter, RunStatus
from mainspring.requests import StartOptions
from mainspring.results import SAFETY_POLL
from tests.hosts.parts import Bench, bench

SOON = 10.0
request: ContextVar[str] = ContextVar("request", default="")
TIMING = Timing(safety_poll=timedelta(seconds=60), shutdown_grace=timedelta(seconds=5))


@workflow(version="1")
async def held(ctx: Context, name: str) -> str:
    """Ends when the test says so."""
    seen.tokens.append(ctx.fencing_token)
    seen.requests.append(request.get())
    seen.at_once = max(seen.at_once, len(seen.tokens) - seen.ended)
    await seen.go.wait()
    seen.ended += 1
    return name


class Seen:
    """What bodies of one test have seen."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.tokens: list[int] = []
        self.requests: list[str] = []
        self.at_once = 0
        self.ended = 0


seen: Seen


class Watched:
    """A store that counts claims, and may fail or hold up the commit that creates a run."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.claimed = 0
        self.looked = 0  #: how often somebody asked which runs have ended
        self.failure: Exception | None = None
        self.written_first = True  #: whether what fails was written all the same
        self.open = asyncio.Event()
        self.open.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def claim(self, routes: Sequence[str], **options: Any) -> list[Lease]:
        leases: list[Lease] = await self._store.claim(routes, **options)
        self.claimed += len(leases)
        return leases

    async def finished(self, run_ids: Sequence[RunId]) -> list[Run]:
        self.looked += 1
        found: list[Run] = await self._store.finished(run_ids)
        return found

    async def commit(self, change: Change) -> None:
        if change.create is None:
            await self._store.commit(change)
            return
        await self.open.wait()
        failure, self.failure = self.failure, None
        if failure is None or self.written_first:
            await self._store.commit(change)
        if failure is not None:
            raise failure


@attrs.define
class Place:
    """A worker with a client beside it."""

    world: Bench
    store: Watched
    worker: Worker
    client: Client
    running: asyncio.Task[None]

    @property
    def route(self) -> Route:
        return held.plan.route

    async def start(self, name: str = "x", **options: Any) -> RunHandle[str]:
        return await self.client.start(held, name, StartOptions(**options))

    async def leased_to_us(self, handle: RunHandle[str]) -> bool:
        job = await self.store.job(JobKey(handle.id, held.plan.sources[0].id))
        return job is not None and job.worker == self.worker.id


@asynccontextmanager
async def place(concurrency: int = 4) -> AsyncGenerator[Place]:
    global seen  # noqa: PLW0603  bodies are module functions; each test has a loop of its own
    seen = Seen()
    world = bench(held)
    store = Watched(world.parts.store)
    standing_in: Any = store
    parts = attrs.evolve(world.parts, store=standing_in)
    settings = WorkerSettings(concurrency=concurrency, timing=TIMING)

    def ended(run_id: RunId, run: Run | None) -> None:  # as the engine does
        client.results.ended(run_id, run)

    worker = Worker(parts, world.registry, settings, ended)
    client = Client(parts, world.registry, worker.executor.dispatcher, worker)
    async with asyncio.timeout(SOON):
        running = asyncio.get_running_loop().create_task(worker.run())
        try:
            while worker.trouble is not None:
                await asyncio.sleep(0)
            yield Place(world, store, worker, client, running)
        finally:
            seen.go.set()
            worker.stop()
            await running
            await client.results.close()


async def test_a_run_started_beside_a_free_worker_begins_without_a_claim() -> None:
    async with place() as here:
        handle = await here.start()
        assert await here.leased_to_us(handle)
        seen.go.set()
        assert await handle.result() == "x"
        assert (here.store.claimed, seen.tokens) == (0, [1])


async def test_who_waits_for_a_run_begun_here_is_told_of_its_end_without_a_look_at_the_store() -> None:
    async with place() as here:
        waited, ended, cancelled = [await here.start(name) for name in ("waited", "ended", "cancelled")]
        waiting = asyncio.create_task(waited.result())
        await asyncio.sleep(0.01)
        assert await cancelled.cancel() is RunStatus.CANCELLING
        seen.go.set()
        assert await waiting == "waited"
        while (await here.client.run(cancelled.id)).status is not RunStatus.CANCELLED:
            await asyncio.sleep(0)
        assert await ended.result() == "ended"
        assert here.store.looked == 0
        assert await ended.result() == "ended"  # whoever asks again looks
        assert here.store.looked == 1
        began = asyncio.get_running_loop().time()
        with pytest.raises(RunCancelledError):
            await cancelled.result()
        assert asyncio.get_running_loop().time() - began < SAFETY_POLL.total_seconds() / 2


async def test_a_worker_never_has_more_under_way_than_it_has_slots() -> None:
    async with place(concurrency=2) as here:
        here.store.open.clear()
        starting = [asyncio.create_task(here.start(str(number))) for number in range(5)]
        await asyncio.sleep(0.01)
        here.store.open.set()
        handles = [await one for one in starting]
        assert sum([await here.leased_to_us(handle) for handle in handles]) == 2
        await asyncio.sleep(0.01)
        assert seen.at_once == 2
        seen.go.set()
        assert sorted([await handle.result() for handle in handles]) == ["0", "1", "2", "3", "4"]
        assert (here.store.claimed, seen.at_once) == (3, 2)


async def test_who_stops_waiting_for_the_start_leaves_a_run_that_is_worked_on() -> None:
    async with place() as here:
        here.store.open.clear()
        starting = asyncio.create_task(here.start(key="k"))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        here.store.open.set()
        seen.go.set()
        again = await here.start(key="k")
        assert await again.result() == "x"
        assert (again.created, seen.tokens) == (False, [1])


async def test_a_start_of_unknown_outcome_that_was_written_is_found_and_begun() -> None:
    async with place() as here:
        here.store.failure = UnknownOutcomeError("perhaps")
        handle = await here.start()
        assert handle.created
        seen.go.set()
        assert await handle.result() == "x"
        assert (here.store.claimed, seen.tokens) == (0, [1])


async def test_a_start_that_fails_gives_its_slot_back() -> None:
    async with place(concurrency=1) as here:
        here.store.failure, here.store.written_first = UnavailableError("away"), False
        with pytest.raises(UnavailableError):
            await here.start()
        handle = await here.start()
        assert await here.leased_to_us(handle)


async def test_a_run_that_is_there_already_is_not_begun_again() -> None:
    async with place() as here:
        first = await here.start(key="k")
        again = await here.start(key="k")
        seen.go.set()
        assert (again.id, again.created) == (first.id, False)
        assert await first.result() == "x"
        assert seen.tokens == [1]


async def test_what_was_made_for_a_worker_that_stops_meanwhile_is_given_back() -> None:
    async with place() as here:
        here.store.open.clear()
        starting = asyncio.create_task(here.start())
        await asyncio.sleep(0)
        here.worker.stop()
        here.store.open.set()
        handle = await starting
        assert not await here.leased_to_us(handle)
        (job,) = await here.store.jobs(handle.id)
        assert (job.lease_id, job.attempt) == (None, 0)
        assert (await here.client.run(handle.id)).status is RunStatus.PENDING


async def test_a_worker_does_not_end_before_what_was_made_for_it_is_given_back() -> None:
    async with place() as here:
        here.store.open.clear()
        starting = asyncio.create_task(here.start())
        await asyncio.sleep(0)
        starting.cancel()  # nobody waits for it any more
        here.worker.stop()
        await asyncio.sleep(0.01)
        assert not here.running.done()
        here.store.open.set()
        await here.running
        (run,) = (await here.client.runs(RunFilter())).runs
        (job,) = await here.store.jobs(run.id)
        assert (job.lease_id, job.attempt) == (None, 0)


async def test_a_body_sees_the_workers_context_and_not_that_of_whoever_started_its_run() -> None:
    async with place() as here:
        mine = request.set("of the starter")
        seen.go.set()
        assert await (await here.start("context")).result() == "context"
        request.reset(mine)
        assert seen.requests == [""]


async def test_a_slot_that_a_claim_may_fill_is_not_taken() -> None:
    async with place(concurrency=2) as here:
        claiming = here.worker._claiming  # pyright: ignore[reportPrivateUsage]
        assert claiming.has_room(here.route)
        claiming._asked = 2  # pyright: ignore[reportPrivateUsage]  as while a claim is under way
        assert not claiming.has_room(here.route)
        claiming._asked, claiming._more_wait = 0, True  # pyright: ignore[reportPrivateUsage]  older jobs wait
        assert not claiming.has_room(here.route)
        claiming._more_wait = False  # pyright: ignore[reportPrivateUsage]
        assert not claiming.has_room(Route("nobody's"))


async def test_a_worker_that_is_fenced_takes_nothing() -> None:
    async with place() as here:
        here.worker._claiming.fenced = True  # pyright: ignore[reportPrivateUsage]  as a heartbeat that fails does
        handle = await here.start()
        assert not await here.leased_to_us(handle)
        here.worker._claiming.fenced = False  # pyright: ignore[reportPrivateUsage]
        seen.go.set()
