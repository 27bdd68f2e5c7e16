"""What the environment says of metrics and traces."""

import pytest

from mainspring.errors import SettingsError
from mainspring.settings import from_environment

TOKEN = "correct horse battery"


@pytest.mark.parametrize("said", [{}, {"MAINSPRING_METRICS_PORT": ""}])
def test_nothing_listens_unless_a_port_is_said(said: dict[str, str]) -> None:
    settings = from_environment(said)
    assert settings.status() is None
    assert not settings.tracing


def test_a_port_is_of_loopback_and_the_argument_wins() -> None:
    settings = from_environment({"MAINSPRING_METRICS_PORT": "9464"})
    given = settings.status(0)
    said = settings.status()
    assert said is not None
    assert given is not None
    assert (said.port, said.address, said.token, given.port) == (9464, "127.0.0.1", "", 0)


def test_another_address_needs_a_token_which_is_never_shown() -> None:
    said = {"MAINSPRING_METRICS_PORT": "9464", "MAINSPRING_METRICS_ADDRESS": "0.0.0.0"}
    with pytest.raises(SettingsError, match="MAINSPRING_METRICS_TOKEN"):
        from_environment(said).status()
    settings = from_environment(said | {"MAINSPRING_METRICS_TOKEN": TOKEN})
    status = settings.status()
    assert status is not None
    assert status.token == TOKEN
    assert TOKEN not in repr(settings) + repr(status)


@pytest.mark.parametrize(("name", "wrong"), [("METRICS_PORT", "http"), ("TRACING", "maybe")])
def test_a_value_that_is_no_number_is_named(name: str, wrong: str) -> None:
    with pytest.raises(SettingsError, match=f"MAINSPRING_{name}='{wrong}'"):
        from_environment({f"MAINSPRING_{name}": wrong})
