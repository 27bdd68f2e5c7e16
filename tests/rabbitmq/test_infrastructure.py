"""The broker that tests stand on: it keeps what it confirmed, listens to nobody else, and outlives nobody."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.components import lacking
from tests.rabbitmq.looking import channel, take
from tests.rabbitmq.server import PROGRAMS, PrivateRabbit, RabbitServer

#: Starts a broker, says where its files are, and does nothing until it is killed.
OWNER = """
import sys
from tests.rabbitmq.server import private_rabbit
with private_rabbit() as server:
    print(server.directory, flush=True)
    sys.stdin.read()
"""


def belonging_to(directory: str) -> list[psutil.Process]:
    """Processes that were started for a broker."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HOME") == directory:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


async def test_a_broker_keeps_its_address_and_what_it_confirmed_over_a_crash(
    rabbitmq: RabbitServer, rabbit_name: str
) -> None:
    async with channel(rabbitmq.address) as made:
        await made.queue_declare(rabbit_name, durable=True, arguments={"x-queue-type": "quorum"})
    rabbitmq.stop()  # the first half second of a queue does not outlive a crash: its name is written later
    rabbitmq.start()
    async with channel(rabbitmq.address) as made:
        await made.basic_publish(b"kept", routing_key=rabbit_name, mandatory=True)
    rabbitmq.stop("kill")
    rabbitmq.start()
    (message,) = await take(rabbitmq.address, rabbit_name, 1)
    assert message.body == b"kept"


def test_a_broker_and_its_name_server_are_reached_from_this_machine_only(rabbitmq: RabbitServer) -> None:
    if not isinstance(rabbitmq, PrivateRabbit):
        lacking("the broker is somebody else's")
    listening = {
        connection.laddr.ip
        for process in belonging_to(str(rabbitmq.directory))
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::1"}
    assert listening


@pytest.mark.skipif(not (PROGRAMS / "rabbitmq-server").exists(), reason="RabbitMQ is not here")
def test_a_broker_is_gone_when_the_process_that_started_it_was_killed() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    directory = owner.stdout.readline().decode().strip()
    processes = belonging_to(directory)
    assert {"beam.smp", "epmd"} <= {process.name() for process in processes}
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    _, alive = psutil.wait_procs([one for one in processes if one.name() in {"beam.smp", "epmd"}], timeout=30)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
