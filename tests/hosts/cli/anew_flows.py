"""Workflows for what is done to runs that have ended, and for stages that wait; FLOWS tells whether all is mended."""

import os
from datetime import timedelta
from pathlib import Path

from mainspring import Context, Pending, Retry, Workflow, stage


def is_mended() -> bool:
    """Whether the bug is gone."""
    return (Path(os.environ["FLOWS"]) / "mended").exists()


@stage
async def render(ctx: Context, name: str) -> str:
    """Leaves a report."""
    await ctx.artifact("report.bin", b"\x00\xffreport", media_type="application/x-report")
    return f"report of {name}"


@stage(retry=Retry(max_attempts=1))
def publish(ctx: Context, report: str) -> str:
    """Has a bug until it is mended."""
    if not is_mended():
        raise ValueError("no printer")
    return report.upper()


def check(ctx: Context, batch: str) -> Pending[str] | str:
    """Is ready once the bug is mended."""
    return "ready" if is_mended() else Pending(batch)


@stage(poll=check)
def submit(ctx: Context, name: str) -> Pending[str]:
    """Waits."""
    return Pending(name, every=timedelta(milliseconds=20), until=timedelta(days=2))


publishing = Workflow("publishing", version="1").pipe(render).pipe(publish)
polling = Workflow("polling", version="1").pipe(submit)
