"""Where blobs stand in a bucket, and how they are encrypted there: ``s3://bucket/prefix?sse=aws:kms&kms_key=…``.

A key's object is named by the prefix and the key. What stands below the prefix under any other name is not ours: it is
neither listed nor touched.
"""

import re
from typing import Final

import attrs

from mainspring.adapters.aws.location import AwsLocation, locate
from mainspring.ports.errors import InvalidValueError, Problem, SettingsError
from mainspring.ports.names import BlobKey

MOST_NAME: Final = 1024
"""Bytes of an object's name, prefix included: the service's limit."""

MOST_SEGMENT: Final = 200
"""Characters between two slashes, as in every other blob store."""

ENCRYPTIONS: Final = ("AES256", "aws:kms", "aws:kms:dsse")

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SEGMENT: Final = re.compile(rf"(?!\.{{1,2}}\Z)[A-Za-z0-9._~%-]{{1,{MOST_SEGMENT}}}")
_LEADING: Final = re.compile(r"[A-Za-z0-9._~%/-]*")
_UNORDERED: Final = "--x-s3"


@attrs.frozen
class S3Place:
    """A prefix in a bucket."""

    location: AwsLocation
    prefix: str  #: of every object; empty, or with a slash at its end
    encryption: dict[str, str]  #: parameters of each upload

    @property
    def bucket(self) -> str:
        return self.location.name

    @property
    def shown(self) -> str:
        """For messages."""
        return f"s3://{self.bucket}/{self.prefix}"

    def name_of(self, key: BlobKey) -> str:
        """The object's name.

        Raises:
            InvalidValueError: the key is not of the form ``names.BlobKey`` tells, or too long.
        """
        if not _is_key(key):
            found = f"segments are 1 to {MOST_SEGMENT} characters of A-Z a-z 0-9 . _ ~ % - and neither '.' nor '..'"
            raise InvalidValueError("blob key", (Problem("$", found),))
        name = self.prefix + key
        if len(name) > MOST_NAME:
            found = f"{len(name)} characters with the store's prefix, at most {MOST_NAME} are allowed"
            raise InvalidValueError("blob key", (Problem("$", found),))
        return name

    def key_of(self, name: str) -> BlobKey | None:
        """The key whose object has that name; None if it is not ours."""
        key = name.removeprefix(self.prefix)
        return BlobKey(key) if name.startswith(self.prefix) and _is_key(key) else None

    def leading(self, prefix: str) -> str | None:
        """How the names of the objects begin whose keys begin so; None if no key does."""
        return self.prefix + prefix if _LEADING.fullmatch(prefix) else None


def s3_place(url: str) -> S3Place:
    """Read ``s3://bucket/prefix?region=…&endpoint=…&sse=…&kms_key=…``.

    ``sse``: how the service encrypts, one of ``ENCRYPTIONS`` (without it: as the bucket says). ``kms_key``: the id,
    ARN or alias of the key for ``aws:kms``.

    Raises:
        SettingsError: another form; the message names the part that is wrong.
    """
    location = locate(url, "s3", known=("sse", "kms_key"), path=True)
    if _BUCKET.fullmatch(location.name) is None:
        msg = f"expected s3:// and a bucket's name (3 to 63 of a-z 0-9 . -); found {location.name!r}"
        raise SettingsError(msg)
    if location.name.endswith(_UNORDERED):
        msg = f"{location.name!r} is a directory bucket, which lists in no order; a general purpose bucket is needed"
        raise SettingsError(msg)
    prefix = location.path + "/" if location.path else ""
    if prefix and not _is_key(location.path):
        msg = f"a prefix is made of segments of A-Z a-z 0-9 . _ ~ % - as a blob key is; found {location.path!r}"
        raise SettingsError(msg)
    return S3Place(location, prefix, _encryption(location.options))


def _encryption(options: dict[str, str]) -> dict[str, str]:
    sse, key = options.get("sse"), options.get("kms_key")
    if sse is not None and sse not in ENCRYPTIONS:
        msg = f"sse= is one of {', '.join(ENCRYPTIONS)}; found {sse!r}"
        raise SettingsError(msg)
    if key is not None and (sse is None or not sse.startswith("aws:kms")):
        raise SettingsError("kms_key= goes with sse=aws:kms or sse=aws:kms:dsse")
    found = {"ServerSideEncryption": sse, "SSEKMSKeyId": key}
    return {name: value for name, value in found.items() if value is not None}


def _is_key(text: str) -> bool:
    return len(text) <= MOST_NAME and all(_SEGMENT.fullmatch(segment) for segment in text.split("/"))
