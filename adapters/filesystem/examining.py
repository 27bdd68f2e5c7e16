"""Examining the directory of large payloads: whether this process may write there."""

import tempfile
from pathlib import Path

from mainspring.ports.diagnosis import Check, failed, passed, warned

_NAME = "blobs"


def examine_directory(place: Path, *, shared: bool) -> Check:
    """Write a file there and take it away again; where nothing is yet, in what will hold it.

    Args:
        place: the directory.
        shared: whether other machines should see the same one.
    """
    there = place
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".mainspring-doctor-") as file:
            file.write(b"mainspring")
            file.flush()
    except OSError as error:
        return failed(
            _NAME, f"{place} cannot be written: {error.strerror}", "let this user write there, or set MAINSPRING_BLOBS"
        )
    if there == place:
        return passed(_NAME, f"{place} can be written")
    if shared:
        remedy = "mount it, if it should be; the first large payload makes it otherwise, seen by this machine alone"
        return warned(_NAME, f"{place} does not exist", remedy)
    return passed(_NAME, f"{place} is made with the first large payload")


def examine_absence() -> Check:
    """No directory is named."""
    remedy = "set MAINSPRING_BLOBS to a directory that all processes share"
    return warned(_NAME, "there is no directory for large payloads: they are refused", remedy)
