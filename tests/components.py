"""What a test does when the machine lacks its component. Rule: in CI it fails, elsewhere it is skipped, saying why."""

import os
from typing import NoReturn

import pytest


def lacking(reason: str) -> NoReturn:
    """End the test that asked for a component which cannot be had here."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; in CI every component is there", pytrace=False)
    pytest.skip(reason)
