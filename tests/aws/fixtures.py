"""What tests ask for by name when they need AWS. Rule: each server is started when the first test asks for it.

``MAINSPRING_TEST_AWS_ENDPOINT`` names a server to use instead of both.
"""

import os
from collections.abc import Generator

import pytest

from tests.aws.servers import REGION, AwsServer, ministack, moto, using

_OTHERS = (
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE",
)  # fmt: skip


@pytest.fixture(scope="session")
def aws_environment() -> Generator[None]:
    """Credentials that open nothing, and none of whoever runs the tests; for processes that tests start, too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _OTHERS:
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield


@pytest.fixture(scope="session", name="moto")
def _moto(aws_environment: None) -> Generator[AwsServer]:
    """The one that is strict."""
    address = os.environ.get("MAINSPRING_TEST_AWS_ENDPOINT")
    with using(address) if address else moto() as server:
        yield server


@pytest.fixture(scope="session", name="ministack")
def _ministack(aws_environment: None) -> Generator[AwsServer]:
    """The one that acts: fires schedules, runs functions."""
    address = os.environ.get("MAINSPRING_TEST_AWS_ENDPOINT")
    with using(address) if address else ministack() as server:
        yield server
