"""What the memory store keeps of announcements goes with the jobs."""

from datetime import timedelta

from mainspring import Context, workflow
from tests.hosts.parts import ManualClock, bench


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


async def test_announcements_of_jobs_that_are_gone_are_forgotten() -> None:
    clock = ManualClock()
    made = bench(hello, clock=clock)
    run = await made.start(hello, "x")
    clock.advance(timedelta(minutes=1))
    assert len(await made.store.announce(10, timedelta(minutes=1))) == 1
    await run.cancel()
    assert await made.store.jobs(run.id) == []
    await made.store.announce(10, timedelta(minutes=1))
    assert made.store.store.announced.rows() == []
