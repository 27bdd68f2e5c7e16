"""Stages that wait for their check, reruns and artifacts, on every deployment."""

from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from mainspring import Context, Pending, Retry, RunStatus, Workflow, stage
from mainspring.errors import RunFailedError
from tests.acceptance.conftest import Engines

SOON = 20.0
LARGE = 100_000


@attrs.frozen
class Batch:
    """What the provider gave."""

    name: str
    left: int
    notes: str = ""


def check(ctx: Context, batch: Batch) -> Pending[Batch] | str:
    """Counts down, and takes notes that soon are large."""
    if batch.left:
        return Pending(attrs.evolve(batch, left=batch.left - 1, notes="n" * LARGE))
    return f"{batch.name} {len(batch.notes)}"


@stage(poll=check)
async def submit(ctx: Context, name: str) -> Pending[Batch]:
    """Hands the batch in."""
    return Pending(Batch(name, 2), every=timedelta(milliseconds=30), until=timedelta(minutes=5))


@stage
async def join(ctx: Context, names: list[str]) -> str:
    """Puts them together."""
    return ", ".join(names)


@stage
async def render(ctx: Context, folder: str) -> str:
    """Leaves a report, and gives a large output."""
    await ctx.artifact("report.bin", b"\x00\xff" * LARGE, media_type="application/x-report")
    return folder.ljust(LARGE)


@stage(retry=Retry(max_attempts=1))
def publish(ctx: Context, report: str) -> str:
    """Has a bug until it is mended."""
    ctx.artifact("log.txt", b"published", media_type="text/plain")
    if not (Path(report.strip()) / "mended").exists():
        raise ValueError("no printer")
    return f"published {len(report)}"


batches = Workflow("batches", version="1").map(submit, max_parallel=2).pipe(join)
publishing = Workflow("publishing", version="1").pipe(render).pipe(publish)


async def test_stages_wait_for_their_checks_and_the_run_goes_on(engine_with: Engines) -> None:
    async with engine_with(batches) as engine:
        expected = f"a {LARGE}, b {LARGE}, c {LARGE}"
        assert await engine.run(batches, ["a", "b", "c"], timeout=SOON) == expected


@pytest.mark.fault(84)
async def test_a_failed_run_is_begun_anew_with_what_it_had_put_out(engine_with: Engines, tmp_path: Path) -> None:
    async with engine_with(publishing) as engine:
        failed = await engine.start(publishing, str(tmp_path))
        with pytest.raises(RunFailedError, match="no printer"):
            await failed.result(SOON)
        assert [one.name for one in await failed.artifacts()] == ["report.bin"]
        (tmp_path / "mended").touch()
        again = await failed.rerun(key="again")
        assert (await failed.rerun(key="again")).id == again.id
        assert await again.result(SOON) == f"published {LARGE}"
        assert await failed.status() is RunStatus.FAILED
        assert await again.artifact(publish, "log.txt") == b"published"
        assert await again.artifact(render, "report.bin") == b"\x00\xff" * LARGE, "taken over"
        run = await again.describe()
        assert (run.rerun_of, run.rerun_from) == (failed.id, "publish")
