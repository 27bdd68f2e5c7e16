"""BlobStore on S3, or on what speaks as it does: objects below a prefix of a bucket that many machines share.

Rules: an object is written only where none is yet, so a repeat costs no second copy and two writers need no lock. It
carries the hash of what was put, checked by the service when it arrives and by this store when it is read, so that
what a wire or a hand has changed is never taken for a value.
"""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from typing import Any, Final

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from mainspring.adapters.aws.calls import AwsCalls, Sleep, code_of, translated
from mainspring.adapters.aws.s3_place import s3_place
from mainspring.ports.errors import (
    BlobCorruptError,
    BlobNotFoundError,
    MainspringError,
    ReadOnlyError,
    UnavailableError,
)
from mainspring.ports.names import BlobKey

PART: Final = 8 * 1024 * 1024
"""Bytes. What is larger goes in parts of that size, each repeated on its own."""

_HASH: Final = "sha256"  # the object's metadata
_READS: Final = 2  # before bytes are called corrupt: the wire may have been at fault
_UPLOADS: Final = 5  # of one large blob, when others write the same

_THERE: Final = "PreconditionFailed"  # somebody has put it: what was wanted
_RACED: Final = "ConditionalRequestConflict"  # somebody puts or deletes it at this moment
_GONE: Final = "NoSuchUpload"  # ended: by an attempt whose answer was lost, or by a rule of the bucket
_MISSING: Final = ("NoSuchKey", "404")
_DENIED: Final = ("AccessDenied", "403", "AllAccessDisabled", "MethodNotAllowed")


class S3BlobStore:
    """Blobs of one prefix, for one event loop at a time. Blocking calls go to threads.

    Args:
        url: ``s3://bucket/prefix?region=…&endpoint=…&sse=…&kms_key=…``.
        sleep: between two attempts at a call.
        client: another than boto3's own, with the same methods.

    Raises:
        SettingsError: the URL names no bucket, or no region is known.
    """

    def __init__(self, url: str, *, sleep: Sleep = asyncio.sleep, client: Any = None) -> None:
        self._place = s3_place(url)
        self._calls = AwsCalls("s3", self._place.location, sleep=sleep, client=client)

    async def put(self, key: BlobKey, content: bytes) -> None:
        name = self._place.name_of(key)
        told = {**self._place.encryption, "Metadata": {_HASH: hashlib.sha256(content).hexdigest()}}
        try:
            if len(content) > PART:
                await self._put_in_parts(name, content, told)
            else:
                await self._calls.repeat(lambda client: _put(client, self._place.bucket, name, content, told))
        except (ClientError, MainspringError) as error:
            raise self._refusal(error, writing=True) from error

    async def get(self, key: BlobKey) -> bytes:
        content = b""
        for _ in range(_READS):
            content, wanted = await self._read(key)
            if hashlib.sha256(content).hexdigest() == wanted:
                return content
        raise BlobCorruptError(f"{key}: {len(content)} bytes under {self._place.shown} are not those that were put")

    async def exists(self, key: BlobKey) -> bool:
        return await self._exists(self._place.name_of(key))

    async def delete(self, key: BlobKey) -> None:
        name = self._place.name_of(key)
        try:
            await self._calls.call("delete_object", Bucket=self._place.bucket, Key=name)
        except (ClientError, MainspringError) as error:
            raise self._refusal(error, writing=True) from error

    async def list(self, prefix: str = "") -> AsyncIterator[BlobKey]:
        leading = self._place.leading(prefix)
        if leading is None:
            return
        more: dict[str, str] = {}
        while True:
            asked = {"Bucket": self._place.bucket, "Prefix": leading, **more}
            try:
                page = await self._calls.call("list_objects_v2", **asked)
            except (ClientError, MainspringError) as error:
                raise self._refusal(error) from error
            for entry in page.get("Contents", ()):
                key = self._place.key_of(entry["Key"])
                if key is not None:
                    yield key
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def close(self) -> None:
        """Let go of threads and connections. Closing twice does nothing."""
        self._calls.close()

    async def _read(self, key: BlobKey) -> tuple[bytes, str]:
        """What stands there, and the hash of what was put; that is empty if this store did not put it."""
        name = self._place.name_of(key)
        try:
            answer: tuple[bytes, str] = await self._calls.repeat(lambda client: _get(client, self._place.bucket, name))
        except (ClientError, MainspringError) as error:
            if code_of(error) in _MISSING:
                raise BlobNotFoundError(f"{key}: nothing is stored under {self._place.shown}") from error
            raise self._refusal(error) from error
        return answer

    async def _put_in_parts(self, name: str, content: bytes, told: dict[str, Any]) -> None:
        """Upload in parts, whole: what is not ended is abandoned, and leaves nothing behind."""
        place = {"Bucket": self._place.bucket, "Key": name}
        for _ in range(_UPLOADS):
            begun = await self._calls.call("create_multipart_upload", ChecksumAlgorithm="SHA256", **place, **told)
            upload = {**place, "UploadId": begun["UploadId"]}
            left = "unfinished"
            try:
                left = await self._upload(upload, content)
            finally:
                if left:
                    with suppress(ClientError, MainspringError):
                        await self._calls.call("abort_multipart_upload", **upload)
            if left in ("", _THERE) or (left == _GONE and await self._exists(name)):
                return
        raise UnavailableError(f"{self._place.shown}: others wrote or deleted {name} at the same time; ask again")

    async def _upload(self, upload: dict[str, Any], content: bytes) -> str:
        """Send the parts and put them together; empty, or the code that tells why this was not to be."""
        parts: list[dict[str, Any]] = []
        try:
            for start in range(0, len(content), PART):
                body = content[start : start + PART]  # one part at a time: never a second copy of the whole
                part = {"PartNumber": len(parts) + 1, "ChecksumSHA256": _digest(body)}
                answer = await self._calls.call("upload_part", Body=body, **upload, **part)
                parts.append({**part, "ETag": answer["ETag"]})
            ending = {"MultipartUpload": {"Parts": parts}, "IfNoneMatch": "*"}
            await self._calls.call("complete_multipart_upload", **upload, **ending)
        except ClientError as error:
            if code_of(error) in (_THERE, _RACED, _GONE):
                return code_of(error)
            raise
        return ""

    async def _exists(self, name: str) -> bool:
        try:
            await self._calls.call("head_object", Bucket=self._place.bucket, Key=name)
        except (ClientError, MainspringError) as error:
            if code_of(error) in _MISSING:
                return False
            raise self._refusal(error) from error
        return True

    def _refusal(self, error: Exception, *, writing: bool = False) -> MainspringError:
        told = translated(error, self._calls.shown)
        return ReadOnlyError(str(told)) if writing and code_of(error) in _DENIED else told


def _put(client: Any, bucket: str, name: str, content: bytes, told: dict[str, Any]) -> None:
    digest = _digest(content)
    try:
        client.put_object(Bucket=bucket, Key=name, Body=content, ChecksumSHA256=digest, IfNoneMatch="*", **told)
    except ClientError as error:
        if code_of(error) == _RACED:
            raise UnavailableError(f"others write or delete {name} at this moment") from error
        if code_of(error) != _THERE:
            raise


def _get(client: Any, bucket: str, name: str) -> tuple[bytes, str]:
    answer = client.get_object(Bucket=bucket, Key=name)
    with closing(answer["Body"]) as body:
        content: bytes = body.read()
    return content, str(answer.get("Metadata", {}).get(_HASH, ""))


def _digest(content: bytes) -> str:
    return b64encode(hashlib.sha256(content).digest()).decode()
