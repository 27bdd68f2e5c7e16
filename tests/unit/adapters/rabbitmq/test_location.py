import pytest

from mainspring.adapters.rabbitmq.location import locate, named, switched
from mainspring.ports.errors import SettingsError


def test_a_url_is_read_and_shown_without_its_password() -> None:
    found = locate("amqp://me:p%40ss%2F@broker:5673/orders?queue=jobs&heartbeat=5", known={"queue"})
    assert found.address == "amqp://me:p%40ss%2F@broker:5673/orders?heartbeat=5"
    assert found.shown == "amqp://me@broker:5673/orders"
    assert (found.options, found.heartbeat) == ({"queue": "jobs"}, 5)
    assert "p%40ss" not in repr(found)


@pytest.mark.parametrize("path", ["", "/", "/%2F"])
def test_the_virtual_host_is_the_slash_unless_named(path: str) -> None:
    assert locate(f"amqp://broker{path}", known=()).address == "amqp://guest:guest@broker:5672/%2F?heartbeat=10"


def test_tls_has_its_own_port_and_files() -> None:
    found = locate("amqps://me@broker/?cafile=%2Fetc%2Fca.pem", known=())
    assert found.address.startswith("amqps://me:guest@broker:5671/")
    assert "cafile=%2Fetc%2Fca.pem" in found.address


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://broker/", "begins with amqp://"),
        ("amqp:///vhost", "names a host"),
        ("amqp://me:secret/x@broker/", "RabbitMQ's URL"),
        ("amqp://me:sec@ret@broker:x/", "cannot be read"),
        ("amqp://me:secret@broker/a/b", "virtual host"),
        ("amqp://broker/?queue=jobs", "knows no option 'queue'"),
        ("amqp://broker/?cafile=x", "knows no option 'cafile'"),
        ("amqp://broker/?heartbeat=0", "heartbeat='0' may be"),
        ("amqp://broker/?heartbeat=x", "heartbeat='x' may be"),
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as refused:
        locate(url, known=())
    assert "secret" not in str(refused.value)
    assert "sec@" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "amq.topic", "a b", "a*", "x" * 201, "a\n"])
def test_a_name_that_operators_would_stumble_over_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="queue="):
        named({"queue": name}, "queue", "mainspring")


def test_a_switch_is_true_or_false() -> None:
    assert [switched(given, "on", default=True) for given in ({}, {"on": "false"}, {"on": "true"})] == [
        True,
        False,
        True,
    ]
    with pytest.raises(SettingsError, match="on='yes'"):
        switched({"on": "yes"}, "on", default=True)
