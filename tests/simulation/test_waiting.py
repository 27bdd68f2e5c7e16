"""Stages that wait for their check, and files they leave, in worlds in which everything goes wrong."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from mainspring import Context, Pending, Retry, Workflow, stage
from mainspring.testing import SimulatedRun, outside, simulate

OFTEN = Retry(max_attempts=50, initial=timedelta(milliseconds=100), maximum=timedelta(seconds=1))


@attrs.frozen
class Batch:
    """Handed in, and so often not ready."""

    name: str
    seen: int = 0


async def ready(ctx: Context, batch: Batch) -> Pending[Batch] | str:
    """Ready at the third check."""
    if batch.seen < 2:
        return Pending(attrs.evolve(batch, seen=batch.seen + 1))
    await ctx.artifact("batch.txt", batch.name.encode())
    return f"{batch.name} after {batch.seen}"


@stage(poll=ready, retry=OFTEN)
async def submit(ctx: Context, name: str) -> Pending[Batch]:
    """Hands the batch in, once per key."""
    await outside().call("submit", key=ctx.idempotency_key, value=name)
    return Pending(Batch(name), every=timedelta(seconds=2), until=timedelta(days=1))


@stage(retry=OFTEN)
def shout(ctx: Context, text: str) -> str:
    """Goes on with it."""
    ctx.artifact("shout.txt", text.encode())
    return text.upper()


flow = Workflow("waiting", version="1").pipe(submit).pipe(shout)


def waited_out(run: SimulatedRun[str, Any]) -> bool:
    """The checks before the last one counted, each once."""
    return run.output == "B1 AFTER 2"


@pytest.mark.parametrize("where", ["by chance", "everywhere"])
def test_a_stage_that_waits_is_ready_once_whatever_breaks(where: Any) -> None:
    report = simulate(flow, "b1", invariant=waited_out, crashes=where, seeds=60 if where == "by chance" else None)
    assert report.runs["completed"] == report.worlds
    assert report.crashes > 20
