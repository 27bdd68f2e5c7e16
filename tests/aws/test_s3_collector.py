"""Large payloads in a bucket: orphans are collected there as anywhere, and what a run needs stays."""

import asyncio
from datetime import timedelta

import attrs
import pytest

from mainspring.adapters.aws.s3_blob_store import S3BlobStore
from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.upkeep.collector import Collector
from tests.aws.buckets import bucket
from tests.aws.servers import AwsServer
from tests.hosts.parts import ManualClock, bench
from tests.hosts.upkeep.collecting import LARGE, claim, growing, keys, named, put, upkeep_of


@pytest.mark.fault(12)
@pytest.mark.parametrize("name", ["moto", "ministack"])
async def test_an_orphan_in_a_bucket_goes_and_the_output_of_the_run_stays(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: AwsServer = request.getfixturevalue(name)
    blobs = S3BlobStore(server.url("s3", f"{bucket(server)}/payloads"))
    clock = ManualClock()
    world = bench(growing, clock=clock)
    world = attrs.evolve(world, parts=attrs.evolve(world.parts, blobs=blobs))
    run = await world.start(growing, "a")
    (crashed,) = await claim(world)
    orphan = await put(world, run.id, crashed.lease_id)
    clock.advance(timedelta(minutes=1))
    await upkeep_of(world).reap()
    clock.advance(timedelta(minutes=5))
    (lease,) = await claim(world)
    executor = Executor(world.parts, world.registry, Timing())
    assert await executor.execute(lease, asyncio.get_running_loop().time() + 1_000) == "completed"
    assert orphan in await keys(blobs)
    assert await Collector(world.store, blobs).round() == 1
    assert await keys(blobs) == await named(world.store, run.id) != set()
    (key,) = await keys(blobs)
    assert len(await blobs.get(key)) > LARGE
    await blobs.close()
