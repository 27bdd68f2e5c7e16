"""What an examination of a store found: for people, and for whoever starts workers only on a sound store."""

from enum import StrEnum

import attrs


class Verdict(StrEnum):
    """How much it matters."""

    OK = "ok"
    WARNING = "warning"  #: it works, but slower, later or less safely than it should
    FAILURE = "failure"  #: workers cannot work on it, or what it confirmed may be lost


@attrs.frozen
class Check:
    """One thing that was looked at. Neither text holds a password or a payload."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""  #: what to do; empty if it is ok


def passed(name: str, found: str) -> Check:
    """It is as it should be."""
    return Check(name, Verdict.OK, found)


def warned(name: str, found: str, remedy: str) -> Check:
    """Somebody should look at it."""
    return Check(name, Verdict.WARNING, found, remedy)


def failed(name: str, found: str, remedy: str) -> Check:
    """It must be mended first."""
    return Check(name, Verdict.FAILURE, found, remedy)
