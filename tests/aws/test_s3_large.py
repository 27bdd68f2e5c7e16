"""Large blobs in S3: sent in parts, each repeated alone, whole or not at all, and nothing of them left behind."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from mainspring.ports.errors import UnavailableError
from tests.aws.buckets import KEY, LARGE, SLOW, Bench
from tests.aws.faulty import Call, cut, fails, refusal


@pytest.fixture(params=["moto", "ministack"])
def bench(request: pytest.FixtureRequest) -> Generator[Bench]:
    made = Bench(request.getfixturevalue(request.param))
    yield made
    for store in made.opened:
        asyncio.run(store.close())


@pytest.mark.fault(108)
async def test_a_large_blob_goes_in_parts_each_repeated_alone(bench: Bench) -> None:
    store, faulty = bench.store(upload_part=[SLOW, cut], complete_multipart_upload=[SLOW])
    await store.put(KEY, LARGE)
    assert faulty.calls["create_multipart_upload"] == 1
    assert faulty.calls["upload_part"] == 4
    assert faulty.calls["put_object"] == 0
    assert await store.get(KEY) == LARGE
    assert bench.unfinished() == []


@pytest.mark.fault(108)
async def test_a_large_blob_whose_last_answer_was_lost_is_there(bench: Bench) -> None:
    store, faulty = bench.store(complete_multipart_upload=[cut])
    await store.put(KEY, LARGE)
    assert faulty.calls["create_multipart_upload"] == 1
    assert await store.get(KEY) == LARGE
    assert bench.unfinished() == []


def done_and_gone(call: Call) -> Any:
    """The first answer was lost; the repeat is told that there is no such upload any more."""
    call()
    raise refusal("NoSuchUpload", 404)


@pytest.mark.fault(108)
async def test_a_large_blob_whose_upload_ended_unheard_is_not_sent_again(bench: Bench) -> None:
    store, faulty = bench.store(complete_multipart_upload=[done_and_gone])
    await store.put(KEY, LARGE)
    assert faulty.calls["create_multipart_upload"] == 1
    assert await store.get(KEY) == LARGE


@pytest.mark.fault(108)
async def test_a_large_blob_that_races_with_another_is_uploaded_anew(bench: Bench) -> None:
    store, faulty = bench.store(
        complete_multipart_upload=[fails("ConditionalRequestConflict", 409), fails("NoSuchUpload", 404)]
    )
    await store.put(KEY, LARGE)
    assert faulty.calls["create_multipart_upload"] == 3
    assert await store.get(KEY) == LARGE
    assert bench.unfinished() == []


@pytest.mark.fault(108)
async def test_a_large_blob_that_is_there_is_not_written_again(bench: Bench) -> None:
    store, _ = bench.store()
    await store.put(KEY, LARGE)
    await store.put(KEY, LARGE + b"!")
    assert await store.get(KEY) == LARGE
    assert bench.unfinished() == []


@pytest.mark.fault(108)
async def test_an_upload_that_fails_leaves_no_parts_behind(bench: Bench) -> None:
    store, faulty = bench.store(upload_part=[lambda call: call(), *[SLOW] * 5])
    with pytest.raises(UnavailableError, match="SlowDown"):
        await store.put(KEY, LARGE)
    assert faulty.calls["abort_multipart_upload"] == 1
    assert (bench.objects(), bench.unfinished()) == ([], [])


@pytest.mark.fault(108)
async def test_large_blobs_that_race_for_ever_are_told_as_unavailable(bench: Bench) -> None:
    store, _ = bench.store(complete_multipart_upload=[fails("ConditionalRequestConflict", 409)] * 5)
    with pytest.raises(UnavailableError, match="at the same time"):
        await store.put(KEY, LARGE)
    assert bench.unfinished() == []
