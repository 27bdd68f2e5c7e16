"""Workers of the code before go on while the schema is moved, as long as it serves them; then they stop claiming."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from mainspring import Mainspring
from mainspring.adapters.sql import schema
from mainspring.ports.errors import SchemaError
from tests.hosts.cli import flows
from tests.migrations.revisions import EXPANDS, ONLINE, RETIRES, write


async def move(url: str, folders: list[Path], revision: str = "head") -> None:
    await asyncio.to_thread(schema.migrate, url, revision, script_locations=folders)


@pytest.mark.fault(72)
async def test_an_old_worker_goes_on_through_revisions_that_only_expand(database: str, tmp_path: Path) -> None:
    """Its statements are prepared before, its runs are under way meanwhile, and it may be started anew after."""
    later = write(tmp_path / "later", EXPANDS, ONLINE)
    async with Mainspring(database, workflows=[flows.graph]) as engine:
        before = await engine.start_many(flows.graph, [3] * 20)
        await before[0].result(timeout=30)
        moving = asyncio.create_task(move(database, later))
        meanwhile = 0
        while not moving.done():
            await engine.run(flows.graph, 3, timeout=30)
            meanwhile += 1
        await moving
        assert meanwhile
        for run in before:
            await run.result(timeout=30)
        await engine.run(flows.graph, 3, timeout=30)
        running = await engine.start(flows.graph, 3)
        await move(database, later, "0001")
        await running.result(timeout=30)
        await move(database, later)
    async with Mainspring(database, workflows=[flows.graph]) as engine:
        await engine.run(flows.graph, 3, timeout=30)


@pytest.mark.fault(72)
async def test_an_old_worker_stops_claiming_when_the_schema_serves_it_no_more(database: str, tmp_path: Path) -> None:
    """What it runs already is finished; what is started meanwhile waits for newer code, or for the way back."""
    later = write(tmp_path / "later", RETIRES)
    structlog.reset_defaults()
    with capture_logs() as logs:
        async with Mainspring(database, workflows=[flows.graph]) as engine:
            await engine.run(flows.graph, 3, timeout=30)
            await move(database, later)
            left = await engine.start(flows.graph, 3)
            with pytest.raises(TimeoutError):
                await left.result(timeout=timedelta(seconds=1))
            assert engine.worker is not None
            assert engine.worker.trouble == "no claim is answered"
            with pytest.raises(SchemaError, match="update Mainspring here"):
                async with Mainspring(database, workflows=[flows.graph]):
                    pass
            await move(database, later, "0001")
            await left.result(timeout=30)
    told = [line for line in logs if line["event"] == "claim_failed"]
    assert told
    assert all("run: mainspring migrate" in str(line) for line in told)
