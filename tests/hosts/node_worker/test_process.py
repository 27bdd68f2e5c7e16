"""Real processes of a worker: signals, the watchdog, bodies that end or block it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mainspring import Mainspring, RunStatus, Workflow
from mainspring.errors import RunFailedError
from mainspring.hosts.node_worker.process import new_loop, survive
from mainspring.ports.names import RunId
from mainspring.ports.records import Job
from tests.hosts.node_worker import troubles
from tests.hosts.programs import PATIENCE, Program, until

WORKFLOWS: list[Workflow[Any, Any]] = [one for one in vars(troubles).values() if isinstance(one, Workflow)]


class Site:
    """A store, and workers on it."""

    def __init__(self, folder: Path, engine: Mainspring) -> None:
        self.folder = folder
        self.engine = engine

    def worker(self, *options: str, environment: dict[str, str] | None = None) -> Program:
        command = ("worker", troubles.__file__, "--database", self.engine.url, "--json", *options)
        return Program(*command, folder=self.folder, environment={"TROUBLES": str(self.folder), **(environment or {})})

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    async def job(self, run_id: RunId) -> Job:
        (job,) = await self.engine.parts.store.jobs(run_id)
        return job


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Mainspring(f"sqlite:///{tmp_path}/runs.db", workflows=WORKFLOWS, worker=False) as engine:
        yield Site(tmp_path, engine)


@pytest.mark.fault(104)
async def test_sigterm_lets_the_body_finish_and_exits_with_0(site: Site) -> None:
    run = await site.engine.start(troubles.patient, None)
    with site.worker() as worker:
        await until(lambda: site.has("patient"), "the body")
        worker.process.send_signal(signal.SIGTERM)
        await worker.tells("draining")
        assert await run.status() in {RunStatus.PENDING, RunStatus.RUNNING}
        (site.folder / "go").touch()
        assert await worker.ends() == 0
    assert await run.result(PATIENCE) == "went"
    assert not await site.engine.parts.store.attempts(run.id)


@pytest.mark.fault(104)
@pytest.mark.parametrize("body", [troubles.patient, troubles.endless])
async def test_a_second_signal_gives_the_job_back_with_its_attempt(site: Site, body: Workflow[None, Any]) -> None:
    run = await site.engine.start(body, None)
    with site.worker(environment={"MAINSPRING_CANCEL_GRACE": "0.1"}) as worker:
        await until(lambda: site.has(body.workflow_id), "the body")
        assert await worker.hurries(signal.SIGTERM) == 0
    job = await site.job(run.id)
    assert (job.lease_id, job.attempt) == (None, 0)


async def test_a_thread_that_a_body_left_behind_does_not_keep_the_process(site: Site) -> None:
    await site.engine.start(troubles.pooled, None)
    with site.worker(environment={"MAINSPRING_CANCEL_GRACE": "0.1"}) as worker:
        await until(lambda: site.has("pooled"), "the body")
        assert await worker.hurries(signal.SIGINT) == 0


@pytest.mark.promise(3, 11)
@pytest.mark.fault(21)
async def test_a_body_that_blocks_the_loop_ends_the_process_and_another_worker_finishes_the_run(site: Site) -> None:
    run = await site.engine.start(troubles.blocking, None)
    with site.worker("--lease", "1") as worker:
        assert await worker.ends() == 7
        told = await worker.tells("event_loop_dead")
        assert "time.sleep(3600)" in told["stack"]
        assert 1 <= told["seconds"] < PATIENCE
    with site.worker("--lease", "1", "--until-idle") as worker:
        assert await worker.ends() == 0
    assert await run.result(PATIENCE) == "attempt 2"


@pytest.mark.fault(17)
@pytest.mark.promise(3, 13)
async def test_the_watchdog_lets_a_process_that_was_stopped_go_on(site: Site) -> None:
    run = await site.engine.start(troubles.patient, None)
    with site.worker("--lease", "1") as stopped:
        await until(lambda: site.has("patient"), "the body")
        stopped.process.send_signal(signal.SIGSTOP)
        (site.folder / "go").touch()
        with site.worker("--lease", "1") as other:
            assert await run.result(PATIENCE) == "went"
            stopped.process.send_signal(signal.SIGCONT)
            neighbour = await site.engine.start(troubles.neighbour, 1)
            assert await other.ends(signal.SIGTERM) == 0
        assert await neighbour.result(PATIENCE) == 2
        assert await stopped.ends(signal.SIGTERM) == 0
        assert not stopped.has_told("event_loop_dead")


@pytest.mark.parametrize("loop", ["--uvloop", "--no-uvloop"])
async def test_bodies_that_call_exit_end_themselves_only(site: Site, loop: str) -> None:
    leaving = await site.engine.start(troubles.exits, None)
    in_thread = await site.engine.start(troubles.exits_in_a_thread, None)
    stopping = await site.engine.start(troubles.stops_the_loop, None)
    neighbours = await site.engine.start_many(troubles.neighbour, range(20))
    with site.worker("--until-idle", loop) as worker:
        assert await worker.ends() == 0
        assert worker.has_told("loop_interrupted")
    for run in (leaving, in_thread):
        with pytest.raises(RunFailedError) as failed:
            await run.result(PATIENCE)
        assert failed.value.failure is not None
        assert failed.value.failure.type == "SystemExit"
    assert await stopping.result(PATIENCE) == "still here"
    assert [await one.result(PATIENCE) for one in neighbours] == list(range(1, 21))


@pytest.mark.fault(75)
async def test_a_body_that_ends_the_process_is_given_up_on_and_its_neighbours_complete(site: Site) -> None:
    run = await site.engine.start(troubles.poison, None)
    neighbours = await site.engine.start_many(troubles.neighbour, range(20))
    codes = set[int]()
    while await run.status() not in {RunStatus.FAILED, RunStatus.COMPLETED}:
        with site.worker("--lease", "0.5", "--until-idle") as worker:
            codes.add(await worker.ends())
    with pytest.raises(RunFailedError, match="worker_lost"):
        await run.result()
    assert codes == {0, 41}
    with site.worker("--lease", "0.5", "--until-idle") as worker:
        assert await worker.ends() == 0
    assert [await one.result(PATIENCE) for one in neighbours] == list(range(1, 21))
    attempts = await site.engine.parts.store.attempts(run.id)
    assert len(attempts) == 1  # the first try; the second one ended the stage


async def test_fifty_stuck_threads_end_the_worker_with_6(site: Site) -> None:
    runs = await site.engine.start_many(troubles.stuck, [None] * 50)
    with site.worker(environment={"MAINSPRING_CANCEL_GRACE": "0.05", "MAINSPRING_SAFETY_POLL": "0.5"}) as worker:
        assert await worker.ends() == 6
        assert "50 bodies" in (await worker.tells("worker_died"))["error"]
    for run in runs:
        with pytest.raises(RunFailedError, match="timed_out"):
            await run.result(PATIENCE)


async def test_until_idle_waits_for_runs_that_other_workers_hold(site: Site) -> None:
    run = await site.engine.start(troubles.patient, None)
    with site.worker() as holder:
        await until(lambda: site.has("patient"), "the body")
        with site.worker("--until-idle") as idle:
            await idle.tells("worker_started")
            assert not idle.ended
            (site.folder / "go").touch()
            assert await idle.ends() == 0
            assert await run.status() is RunStatus.COMPLETED
        assert await holder.ends(signal.SIGTERM) == 0


@pytest.mark.parametrize("wanted", [True, False])
def test_a_rogue_task_cannot_end_the_loop(*, wanted: bool) -> None:
    async def rogue() -> None:
        raise KeyboardInterrupt

    async def main() -> str:
        task = asyncio.ensure_future(rogue())
        await asyncio.wait([task])
        return type(task.exception()).__name__

    loop = new_loop(uvloop=wanted)
    try:
        assert survive(loop, main()) == "KeyboardInterrupt"
    finally:
        loop.close()


def test_an_error_of_the_main_coroutine_is_raised() -> None:
    async def main() -> None:
        raise RuntimeError("mine")

    loop = new_loop(uvloop=False)
    try:
        with pytest.raises(RuntimeError, match="mine"):
            survive(loop, main())
    finally:
        loop.close()
