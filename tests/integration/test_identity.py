"""Who holds what: leases are told apart by random ids, whatever workers are called and whatever was restored."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from mainspring import Context, Mainspring, Retry, Workflow, stage, workflow
from mainspring.engine import open_parts
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.ports.change import Change, LeaseGuard
from mainspring.ports.errors import StaleChange
from mainspring.ports.names import WorkerId

LENGTH = timedelta(seconds=30)
SOON = 20.0
seen: list[tuple[str, int, int]] = []


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@stage(retry=Retry(max_attempts=3, initial=timedelta(milliseconds=1)))
async def charges(ctx: Context, amount: int) -> int:
    seen.append((ctx.idempotency_key, ctx.fencing_token, ctx.attempt))
    if ctx.attempt < 3:
        raise ConnectionError("charged, and then the line went dead")
    return amount


charging = Workflow("charging", version="1").pipe(charges)


@pytest.mark.promise(13)
@pytest.mark.fault(25)
async def test_after_a_restored_backup_two_holders_never_share_a_guard(tmp_path: Path) -> None:
    original, backup = tmp_path / "store.db", tmp_path / "backup.db"
    async with Mainspring(f"sqlite:///{original}", workflows=[hello], worker=False) as engine:
        run = await engine.start(hello, "x")
        routes = WorkflowRegistry([hello], engine.parts.codec).routes()
    shutil.copy(original, backup)
    stores = [open_parts(f"sqlite:///{path}") for path in (original, backup)]
    try:
        (before,) = await stores[0].store.claim(routes, limit=1, length=LENGTH, worker=WorkerId("w"))
        (after,) = await stores[1].store.claim(routes, limit=1, length=LENGTH, worker=WorkerId("w"))
        assert (before.job.run_id, before.job.token) == (run.id, after.job.token), "the integer was handed out twice"
        with pytest.raises(StaleChange):
            await stores[1].store.commit(Change(leases=(LeaseGuard(key=after.job.key, lease_id=before.lease_id),)))
    finally:
        for parts in stores:
            await parts.transport.close()
            await parts.store.close()


@pytest.mark.fault(26, 27)
async def test_two_workers_of_one_name_do_not_disturb_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    same = WorkerSettings(name="twin", concurrency=5, timing=Timing(safety_poll=timedelta(seconds=0.1)))
    async with (
        Mainspring(url, workflows=[hello], settings=same) as one,
        Mainspring(url, workflows=[hello], settings=same) as two,
    ):
        assert one.worker is not None
        assert two.worker is not None
        assert one.worker.id != two.worker.id
        runs = await one.start_many(hello, [str(number) for number in range(100)])
        results = await asyncio.gather(*(run.result(SOON) for run in runs))
        assert results == [f"hello {number}" for number in range(100)]


@pytest.mark.promise(5)
@pytest.mark.fault(4, 18)
async def test_the_outside_world_sees_one_key_and_growing_tokens(tmp_path: Path) -> None:
    seen.clear()
    async with Mainspring(f"sqlite:///{tmp_path / 'store.db'}", workflows=[charging]) as engine:
        run = await engine.start(charging, 5)
        assert await run.result(SOON) == 5
    assert [attempt for _, _, attempt in seen] == [1, 2, 3]
    assert {key for key, _, _ in seen} == {f"{run.id}/charges/0"}
    tokens = [token for _, token, _ in seen]
    assert tokens == sorted(set(tokens))
