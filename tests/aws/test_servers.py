"""The servers themselves: what other tests stand on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mainspring.adapters.aws.calls import AwsCalls
from mainspring.adapters.aws.location import locate
from tests.aws.servers import AwsServer

ROOT = Path(__file__).parents[2]

STARTING = """
import time
from tests.aws.servers import moto, ministack
with {name}() as server:
    print(server.endpoint, flush=True)
    time.sleep(600)
"""


def listening(port: int) -> list[str]:
    """Addresses at which somebody listens on the port, as the system writes them."""
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    sockets = [(line[1].split(":"), line[3]) for line in lines if line[1] != "local_address"]
    return [address for (address, place), state in sockets if int(place, 16) == port and state == "0A"]


@pytest.mark.parametrize("name", ["moto", "ministack"])
async def test_a_url_of_a_server_leads_there(name: str, request: pytest.FixtureRequest) -> None:
    server: AwsServer = request.getfixturevalue(name)
    queue = server.name("queue")
    server.client("sqs").create_queue(QueueName=queue)
    calls = AwsCalls("sqs", locate(server.url("sqs", queue), "sqs"))
    assert (await calls.call("get_queue_url", QueueName=queue))["QueueUrl"].endswith(f"/{queue}")
    calls.close()


@pytest.mark.parametrize("name", ["moto", "ministack"])
def test_a_server_listens_here_alone_and_does_not_outlive_a_process_that_is_killed(
    name: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(name)  # its environment is made
    with subprocess.Popen(
        [sys.executable, "-c", STARTING.format(name=name)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            assert listening(port) == ["0100007F"]
        finally:
            process.send_signal(signal.SIGKILL)
    limit = time.monotonic() + 30
    while listening(port) and time.monotonic() < limit:
        time.sleep(0.02)
    assert listening(port) == []
