"""``mainspring create-queue`` makes what ``mainspring doctor`` then finds in order."""

import pytest

from tests.aws.servers import AwsServer
from tests.hosts.cli.conftest import CommandLine


@pytest.mark.fault(42)
def test_a_queue_is_made_once_with_its_dead_letter_queue(cli: CommandLine, moto: AwsServer) -> None:
    url = moto.url("sqs", moto.name("jobs"))
    made = cli.document("create-queue", url)["created"]
    assert len(made) == 2
    assert cli.document("create-queue", url) == {"created": []}
    said = cli("create-queue", MAINSPRING_TRANSPORT=url)
    assert "everything is there already" in said.stderr
    cli("migrate")
    told = cli("doctor", "--json", MAINSPRING_TRANSPORT=url)
    assert told.exit_code == 0, told.output
    assert "queue" in told.stdout


def test_without_a_name_it_says_what_to_give(cli: CommandLine) -> None:
    refused = cli("create-queue")
    assert refused.exit_code == 2
    assert "sqs://name" in refused.stderr


def test_what_is_no_queue_of_sqs_is_refused(cli: CommandLine) -> None:
    refused = cli("create-queue", "amqp://guest:canary@127.0.0.1/")
    assert refused.exit_code == 2
    assert "canary" not in refused.stderr
