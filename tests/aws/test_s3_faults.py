"""S3BlobStore while the service is slow to agree, the network breaks, and others write the same."""

import asyncio
import io
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import pytest
from botocore.response import StreamingBody  # type: ignore[import-untyped]

from mainspring.adapters.aws.s3_blob_store import S3BlobStore
from mainspring.ports.errors import (
    BlobCorruptError,
    BlobNotFoundError,
    InvalidValueError,
    ReadOnlyError,
    SettingsError,
    UnavailableError,
)
from mainspring.ports.names import BlobKey
from tests.aws.buckets import KEY, LARGE, SLOW, Bench
from tests.aws.faulty import Call, Faulty, Mishap, Sleeps, cut, cut_before, fails


@pytest.fixture(params=["moto", "ministack"])
def bench(request: pytest.FixtureRequest) -> Generator[Bench]:
    made = Bench(request.getfixturevalue(request.param))
    yield made
    for store in made.opened:
        asyncio.run(store.close())


def body(change: Callable[[bytes], bytes]) -> Mishap:
    """The object's bytes are not those that the service sent."""

    def mishap(call: Call) -> Any:
        answer = call()
        sent = answer["Body"].read()
        return {**answer, "Body": StreamingBody(io.BytesIO(change(sent)), len(sent))}

    return mishap


TRUNCATED = body(lambda sent: sent[:-1])
CHANGED = body(lambda sent: bytes([sent[0] ^ 1]) + sent[1:])


@pytest.mark.fault(108)
async def test_a_put_that_is_throttled_is_made_again_later_and_later(bench: Bench) -> None:
    store, faulty = bench.store(put_object=[SLOW, fails("RequestTimeout"), fails("InternalError", 500)])
    await store.put(KEY, b"x")
    assert faulty.calls["put_object"] == 4
    assert len(bench.sleeps.seconds) == 3
    assert await store.get(KEY) == b"x"


@pytest.mark.fault(108)
async def test_a_service_that_stays_busy_is_told_as_such_and_nothing_is_stored(bench: Bench) -> None:
    store, _ = bench.store(put_object=[SLOW] * 5)
    with pytest.raises(UnavailableError, match="SlowDown"):
        await store.put(KEY, b"x")
    assert bench.objects() == []


@pytest.mark.fault(108)
async def test_a_put_that_races_with_another_is_made_again(bench: Bench) -> None:
    store, faulty = bench.store(put_object=[fails("ConditionalRequestConflict", 409)])
    await store.put(KEY, b"x")
    assert faulty.calls["put_object"] == 2
    assert await store.get(KEY) == b"x"


@pytest.mark.fault(108)
async def test_a_put_whose_answer_was_lost_finds_its_own_bytes(bench: Bench) -> None:
    store, faulty = bench.store(put_object=[cut])
    await store.put(KEY, b"x")
    assert faulty.calls == Counter(put_object=2)
    assert await store.get(KEY) == b"x"


@pytest.mark.fault(108)
async def test_a_repeated_put_writes_nothing(bench: Bench) -> None:
    store, _ = bench.store()
    await store.put(KEY, b"x")
    written = bench.client.head_object(Bucket=bench.bucket, Key=f"below/{KEY}")
    await store.put(KEY, b"x")
    again = bench.client.head_object(Bucket=bench.bucket, Key=f"below/{KEY}")
    assert (again["LastModified"], again["ETag"]) == (written["LastModified"], written["ETag"])
    await store.put(KEY, b"another")
    assert await store.get(KEY) == b"x", "the first stays"


@pytest.mark.fault(108)
async def test_of_racing_puts_one_writes_and_all_succeed(bench: Bench) -> None:
    stores = [bench.store() for _ in range(8)]
    for content in (b"x" * 1000, LARGE):
        key = BlobKey(f"{KEY}/{len(content)}")
        await asyncio.gather(*(store.put(key, content) for store, _ in stores))
        assert await stores[0][0].get(key) == content
    assert len(bench.objects()) == 2
    assert bench.unfinished() == []


@pytest.mark.fault(108)
async def test_a_blob_that_arrives_cut_short_is_read_again(bench: Bench) -> None:
    store, faulty = bench.store(get_object=[TRUNCATED, cut_before, SLOW])
    await store.put(KEY, b"content")
    assert await store.get(KEY) == b"content"
    assert faulty.calls["get_object"] == 4


@pytest.mark.fault(108)
async def test_a_blob_that_arrives_changed_is_read_again(bench: Bench) -> None:
    store, faulty = bench.store(get_object=[CHANGED])
    await store.put(KEY, b"content")
    assert await store.get(KEY) == b"content"
    assert faulty.calls["get_object"] == 2


@pytest.mark.fault(108)
async def test_a_blob_that_is_not_what_was_put_is_never_taken_for_it(bench: Bench) -> None:
    store, _ = bench.store()
    await store.put(KEY, b"content")
    name = f"below/{KEY}"
    metadata = bench.client.head_object(Bucket=bench.bucket, Key=name)["Metadata"]
    bench.client.put_object(Bucket=bench.bucket, Key=name, Body=b"Content", Metadata=metadata)
    with pytest.raises(BlobCorruptError, match="7 bytes"):
        await store.get(KEY)
    bench.client.put_object(Bucket=bench.bucket, Key=name, Body=b"content")
    with pytest.raises(BlobCorruptError):
        await store.get(KEY)


@pytest.mark.fault(108)
async def test_bytes_that_change_on_their_way_are_not_stored(bench: Bench) -> None:
    store, faulty = bench.store(put_object=[fails("BadDigest")])
    await store.put(KEY, b"x")
    (_, first), (_, second) = faulty.asked
    assert first["ChecksumSHA256"] == second["ChecksumSHA256"]
    assert await store.get(KEY) == b"x"


async def test_keys_come_page_by_page_in_their_order_and_nothing_else(bench: Bench) -> None:
    class Pages(Faulty):
        def list_objects_v2(self, **parameters: Any) -> Any:
            self.calls["pages"] += 1
            return self.client.list_objects_v2(MaxKeys=2, **parameters)

    pages = Pages(bench.client, {})
    store = S3BlobStore(bench.server.url("s3", f"{bench.bucket}/below"), client=pages)
    bench.opened.append(store)
    keys = [BlobKey(name) for name in ("b", "a/b/c", "a-b", "a0", "%41", "_")]
    for key in keys:
        await store.put(key, b"x")
    for foreign in ("below", "below/", "below/a b", "below/a//b", "below/,doctor", "belowa", "other/a"):
        bench.client.put_object(Bucket=bench.bucket, Key=foreign, Body=b"x")
    assert [key async for key in store.list()] == sorted(keys)
    assert pages.calls["pages"] > 3
    assert [key async for key in store.list("a b")] == []
    assert [key async for key in store.list("\ud800")] == []


async def test_a_store_sees_nothing_beside_its_prefix(bench: Bench) -> None:
    store, _ = bench.store()
    other = S3BlobStore(bench.server.url("s3", f"{bench.bucket}/belo"))
    bench.opened.append(other)
    await store.put(KEY, b"x")
    assert [key async for key in other.list()] == []
    assert not await other.exists(KEY)
    assert bench.objects() == [f"below/{KEY}"]


async def test_a_bucket_that_is_not_there_is_no_missing_blob(bench: Bench) -> None:
    store = S3BlobStore(bench.server.url("s3", "no-such-bucket"))
    bench.opened.append(store)
    for call in (store.put(KEY, b"x"), store.get(KEY), store.delete(KEY)):
        with pytest.raises(UnavailableError, match="NoSuchBucket"):
            await call


async def test_a_refused_write_is_told_apart_from_an_outage(bench: Bench) -> None:
    denied = fails("AccessDenied", 403)
    store, faulty = bench.store(put_object=[denied], delete_object=[denied], get_object=[denied], head_object=[denied])
    with pytest.raises(ReadOnlyError, match="AccessDenied"):
        await store.put(KEY, b"x")
    with pytest.raises(ReadOnlyError, match="AccessDenied"):
        await store.delete(KEY)
    with pytest.raises(UnavailableError, match="AccessDenied"):
        await store.get(KEY)
    with pytest.raises(UnavailableError, match="AccessDenied"):
        await store.exists(KEY)
    assert faulty.calls.total() == 4


async def test_a_service_that_cannot_be_reached_is_unavailable(aws_environment: None) -> None:
    url = "s3://bucket?region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1%3A9"
    sleeps = Sleeps()
    store = S3BlobStore(url, sleep=sleeps)
    with pytest.raises(UnavailableError, match="s3 'bucket' cannot be reached"):
        await store.get(KEY)
    assert len(sleeps.seconds) == 4
    await store.close()


async def test_encryption_of_the_url_goes_with_every_upload(bench: Bench) -> None:
    store, faulty = bench.store("&sse=aws%3Akms&kms_key=alias%2Fblobs")
    await store.put(KEY, b"x")
    await store.put(BlobKey("large"), LARGE)
    uploads = [asked for operation, asked in faulty.asked if operation in {"put_object", "create_multipart_upload"}]
    assert [(asked["ServerSideEncryption"], asked["SSEKMSKeyId"]) for asked in uploads] == [
        ("aws:kms", "alias/blobs")
    ] * 2
    assert await store.get(BlobKey("large")) == LARGE


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://UPPER",
        "s3://bucket--x-s3",
        "s3://bucket/../other",
        "s3://bucket/a//b",
        "s3://user:secret@bucket",
        "s3://bucket?sse=rot13",
        "s3://bucket?kms_key=alias%2Fx",
        "s3://bucket?sse=AES256&kms_key=alias%2Fx",
        "s3://bucket?password=secret",
        "sqs://bucket",
    ],
)
def test_a_url_of_another_form_is_refused_without_repeating_secrets(url: str, aws_environment: None) -> None:
    with pytest.raises(SettingsError) as caught:
        S3BlobStore(url)
    assert "secret" not in str(caught.value)


async def test_a_key_that_is_too_long_with_the_prefix_is_refused(bench: Bench) -> None:
    store, faulty = bench.store()
    longest = "/".join(["a" * 200] * 5)
    await store.put(BlobKey(f"{longest}/{'b' * 13}"), b"x")
    for key in (f"{longest}/{'b' * 14}", "a" * 201):
        with pytest.raises(InvalidValueError, match="blob key"):
            await store.put(BlobKey(key), b"x")
    assert faulty.calls == Counter(put_object=1)


async def test_a_closed_store_says_so(bench: Bench) -> None:
    store, _ = bench.store()
    await store.close()
    await store.close()
    with pytest.raises(UnavailableError, match="closed"):
        await store.get(KEY)
    with pytest.raises(BlobNotFoundError):
        await bench.store()[0].get(KEY)
