"""Blob keys and the file names they stand for. For this package only.

A key's segments are directories, its last one a file with an ending that no segment can have: the keys ``a`` and
``a/b`` live side by side, and what a writer has not finished is no key.
"""

import re
from typing import Final

from mainspring.ports.errors import InvalidValueError, Problem
from mainspring.ports.names import BlobKey

ENDING: Final = ",blob"
UNFINISHED: Final = ",unfinished-"  # how the names of files begin that are being written
MOST_SEGMENT: Final = 200  # bytes; file systems take 255, the ending needs some
MOST_KEY: Final = 1024  # bytes, as in S3

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~%-]+")


def segments(key: BlobKey) -> list[str]:
    """The segments of a valid key, at least one.

    Raises:
        InvalidValueError: the key is not of the form ``names.BlobKey`` tells, or could name a place elsewhere.
    """
    found = key.split("/")
    if len(key) > MOST_KEY:
        _refuse(f"{len(key)} characters, at most {MOST_KEY} are allowed")
    if not all(map(is_segment, found)):
        _refuse(f"segments are 1 to {MOST_SEGMENT} characters of A-Z a-z 0-9 . _ ~ % - and neither '.' nor '..'")
    return found


def is_segment(name: str) -> bool:
    """Whether this may stand between the slashes of a key."""
    return name not in (".", "..") and len(name) <= MOST_SEGMENT and _SEGMENT.fullmatch(name) is not None


def _refuse(message: str) -> None:
    raise InvalidValueError("blob key", (Problem("$", message),))
