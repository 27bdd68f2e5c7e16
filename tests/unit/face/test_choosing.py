"""Which adapter a URL means, and what is said of one that means none."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mainspring.adapters.aws.eventbridge_scheduler import EventBridgeScheduler
from mainspring.adapters.aws.s3_blob_store import S3BlobStore
from mainspring.adapters.aws.sqs_job_transport import SqsJobTransport
from mainspring.adapters.filesystem import FilesystemBlobStore
from mainspring.adapters.memory.clock import ManualClock
from mainspring.adapters.rabbitmq.job_transport import RabbitJobTransport
from mainspring.choosing import open_blobs, open_scheduler, open_sink, open_transport
from mainspring.engine import open_parts
from mainspring.ports.errors import SettingsError
from mainspring.ports.scheduler import Scheduler

REGION = "?region=eu-central-1"
TARGET = "target=arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Atick"
ROLE = "role=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Ftick"
CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.usefixtures("aws_environment")
async def test_each_scheme_means_its_adapter(tmp_path: Path) -> None:
    assert isinstance(open_transport(f"sqs://jobs{REGION}"), SqsJobTransport)
    assert isinstance(open_transport("amqp://guest:guest@127.0.0.1/?queue=jobs"), RabbitJobTransport)
    assert isinstance(open_blobs(f"s3://bucket/prefix{REGION}"), S3BlobStore)
    assert isinstance(open_blobs(str(tmp_path)), FilesystemBlobStore)
    assert isinstance(open_scheduler(f"scheduler://tick{REGION}&{TARGET}&{ROLE}", CLOCK), EventBridgeScheduler)


def _scheduler(url: str) -> Scheduler:
    return open_scheduler(url, CLOCK)


@pytest.mark.parametrize(
    ("opened", "url", "told"),
    [
        (open_transport, "kafka://jobs", "known: amqp://, amqps://, sqs://"),
        (open_transport, "jobs", "has no scheme"),
        (open_blobs, "gs://bucket", "known: file://, s3://"),
        (_scheduler, "cron://tick", "known: scheduler://"),
        (open_sink, "kafka://events", "known: amqp://, amqps://, eventbridge://, jsonl://, sqs://"),
    ],
)
def test_an_unknown_scheme_is_told_with_the_known_ones(opened: Callable[[str], object], url: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        opened(url)


def test_a_url_s_password_is_in_no_error() -> None:
    with pytest.raises(SettingsError) as caught:
        open_transport("kafka://user:canary@host/jobs")
    assert "canary" not in str(caught.value)


@pytest.mark.usefixtures("aws_environment")
async def test_parts_are_opened_together_and_all_of_them_are_closed(tmp_path: Path) -> None:
    parts = open_parts(
        f"sqlite:///{tmp_path / 'store.db'}",
        blobs=f"s3://bucket{REGION}",
        transport=f"sqs://jobs{REGION}",
        scheduler=f"scheduler://tick{REGION}&{TARGET}&{ROLE}",
    )
    assert parts.transport.carries_pointers
    others: list[object] = list(parts.others)
    assert parts.feed in others, "the store goes on telling of ended runs, and is let go of"
    assert parts.blobs in others
    assert parts.scheduler in others
    await parts.close()
