"""Examining the bucket of large payloads: whether this process may work there, and whether something else deletes them.

Rule: what the examination puts there, under a name that no blob has, it takes away again; each check stands alone.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from mainspring.adapters.aws.calls import code_of, make_client, translated
from mainspring.adapters.aws.s3_place import S3Place, s3_place
from mainspring.ports.diagnosis import Check, Verdict, failed, passed, warned

_NAME: Final = "blobs"
_COLD: Final = ("GLACIER", "DEEP_ARCHIVE")
_NO_RULES: Final = "NoSuchLifecycleConfiguration"


def examine_bucket(url: str, *, client: Any = None) -> list[Check]:
    """Look at a bucket. Blocks for some tenths of a second.

    Args:
        url: as for :class:`mainspring.adapters.aws.s3_blob_store.S3BlobStore`.
        client: another than boto3's own, with the same methods.

    Raises:
        SettingsError: the URL names no bucket, or no region is known.
    """
    place = s3_place(url)
    own = client or make_client("s3", place.location)
    try:
        reached = _reached(own, place)
        if reached.verdict is Verdict.FAILURE:
            return [reached]
        return [reached, *(_looked(own, place, look) for look in _LOOKS)]
    finally:
        if client is None:
            own.close()


def _reached(client: Any, place: S3Place) -> Check:
    try:
        client.head_bucket(Bucket=place.bucket)
    except ClientError as error:
        code = code_of(error)
        if code == "404":
            return failed(_NAME, f"there is no bucket {place.bucket}", "create it, or set MAINSPRING_BLOBS to another")
        if code == "301":
            return failed(_NAME, f"{place.bucket} is in another region", "set region= in the URL to the bucket's")
        return failed(
            _NAME, f"{place.bucket} may not be looked at: {code}", "allow s3:ListBucket on it, and check whose it is"
        )
    except (BotoCoreError, OSError) as error:
        told = str(translated(error, f"s3 {place.bucket!r}"))
        return failed(_NAME, told, "check endpoint=, region= and the way there")
    return passed(_NAME, f"{place.shown} can be reached")


def _looked(client: Any, place: S3Place, look: "_Look") -> Check:
    try:
        return look.look(client, place)
    except (ClientError, BotoCoreError, OSError) as error:
        told = str(translated(error, f"s3 {place.bucket!r}"))
        return warned(_NAME, f"it cannot be told whether {look.whether}: {told}", look.remedy)


def _worked(client: Any, place: S3Place) -> Check:
    name = f"{place.prefix},mainspring-doctor-{uuid.uuid4().hex}"
    target = {"Bucket": place.bucket, "Key": name}
    done = "written"
    try:
        client.put_object(Body=b"mainspring", IfNoneMatch="*", **target, **place.encryption)
        done = "read"
        with client.get_object(**target)["Body"] as body:
            same = body.read() == b"mainspring"
        done = "deleted"
        client.delete_object(**target)
    except ClientError as error:
        told = f"{place.shown}: an object cannot be {done}: {code_of(error)}"
        rights = "allow s3:PutObject, s3:GetObject and s3:DeleteObject below the prefix (and the use of the KMS key)"
        return failed(_NAME, told, rights)
    if not same:
        return failed(_NAME, f"{place.shown} answers other bytes than were put", "find out what stands in between")
    return passed(_NAME, f"{place.shown} can be written, read and deleted from")


def _rules(client: Any, place: S3Place) -> Check:
    for rule in _meeting(client, place):
        name = rule.get("ID") or "without a name"
        if {"Days", "Date"} & set(rule.get("Expiration", {})):
            remedy = "end the rule, or keep it from this prefix: Mainspring deletes what it needs no longer"
            return warned(_NAME, f"lifecycle rule {name} deletes payloads, of runs that go on too", remedy)
        if any(step.get("StorageClass") in _COLD for step in rule.get("Transitions", ())):
            remedy = "keep it from this prefix: a run cannot read what must first be restored"
            return warned(_NAME, f"lifecycle rule {name} moves payloads to where they cannot be read at once", remedy)
    return passed(_NAME, "no lifecycle rule deletes payloads")


def _versions(client: Any, place: S3Place) -> Check:
    if client.get_bucket_versioning(Bucket=place.bucket).get("Status") != "Enabled":
        return passed(_NAME, "no versions are kept of deleted payloads")
    if any("NoncurrentVersionExpiration" in rule for rule in _meeting(client, place)):
        return passed(_NAME, "versions of deleted payloads are kept, and expire by a lifecycle rule")
    remedy = "add a lifecycle rule with NoncurrentVersionExpiration, or use a bucket without versions"
    return warned(_NAME, "versioning keeps every deleted payload, for ever", remedy)


def _meeting(client: Any, place: S3Place) -> Iterator[dict[str, Any]]:
    """The lifecycle rules in force that may meet objects below the prefix; ours have no tags."""
    try:
        rules: list[dict[str, Any]] = client.get_bucket_lifecycle_configuration(Bucket=place.bucket)["Rules"]
    except ClientError as error:
        if code_of(error) != _NO_RULES:
            raise
        return
    for rule in rules:
        limits = rule.get("Filter", {})
        both = limits.get("And", {})
        theirs = str(rule.get("Prefix") or limits.get("Prefix") or both.get("Prefix") or "")
        tagged = "Tag" in limits or both.get("Tags")
        overlap = theirs.startswith(place.prefix) or place.prefix.startswith(theirs)
        if rule.get("Status") == "Enabled" and overlap and not tagged:
            yield rule


@attrs.frozen
class _Look:
    look: Callable[[Any, S3Place], Check]
    whether: str  #: what it tells
    remedy: str  #: what to do when it cannot look


_LOOKS: Final = (
    _Look(_worked, "payloads can be kept", "check endpoint=, region= and the way there"),
    _Look(
        _rules,
        "a lifecycle rule deletes payloads",
        "allow s3:GetLifecycleConfiguration, or make sure that no rule deletes or archives below the prefix",
    ),
    _Look(
        _versions,
        "deleted payloads stay as old versions",
        "allow s3:GetBucketVersioning and s3:GetLifecycleConfiguration",
    ),
)
