"""Queues are made as they should be, and the doctor finds what is wrong with those that others made."""

import json
from datetime import timedelta

import pytest

from mainspring.adapters.aws.sqs_doctor import RECEIPTS, create_queue, dead_letter_name, examine_sqs
from mainspring.ports.diagnosis import Check, Verdict
from mainspring.ports.errors import SettingsError, UnavailableError
from tests.aws.queues import Queue
from tests.aws.servers import AwsServer
from tests.aws.sqs_faults import FaultySqs, denied, down

OK, WARNING, FAILURE = Verdict.OK, Verdict.WARNING, Verdict.FAILURE
ALL = ["reachable", "dead letters", "visibility", "retention", "delay"]


def examined(queue: Queue) -> dict[str, Check]:
    return {check.name: check for check in examine_sqs(queue.url)}


def found(queue: Queue, name: str) -> tuple[Verdict, str, str]:
    check = examined(queue)[name]
    return check.verdict, check.found, check.remedy


@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_a_queue_that_mainspring_made_is_sound(server: AwsServer, suffix: str) -> None:
    checks = examined(Queue.fresh(server, suffix))
    assert [check.verdict for check in checks.values()] == [OK] * len(checks)
    assert list(checks) == (ALL if not suffix else [*ALL, "deduplication"])


def test_a_queue_and_its_dead_letter_queue_are_made_once(server: AwsServer) -> None:
    queue = Queue(server, server.name("jobs") + ".fifo")
    assert create_queue(queue.url) == (queue.dead.name, queue.name)
    assert create_queue(queue.url) == ()
    assert dead_letter_name("jobs.fifo") == "jobs-dead.fifo"
    assert dead_letter_name("jobs") == "jobs-dead"


def test_a_queue_that_is_there_is_left_as_it_is(server: AwsServer) -> None:
    queue = Queue.fresh(server, VisibilityTimeout="7")
    assert create_queue(queue.url) == ()
    assert found(queue, "visibility")[0] is WARNING


def test_a_queue_that_is_not_there_is_all_that_is_told_of(server: AwsServer) -> None:
    (check,) = examine_sqs(server.url("sqs", "nowhere"))
    assert (check.name, check.verdict) == ("reachable", FAILURE)
    assert check.found == "sqs 'nowhere' does not exist in this region and account; create it, or mend the URL"
    assert "create the queue" in check.remedy


def test_a_service_that_does_not_answer_is_told_of(ministack: AwsServer) -> None:
    queue = Queue.fresh(ministack)
    client = FaultySqs(queue.client)
    client.next("get_queue_url", down)
    (check,) = examine_sqs(queue.url, client=client)
    assert (check.name, check.verdict) == ("reachable", FAILURE)
    client.next("get_queue_url", denied)
    with pytest.raises(UnavailableError, match="AccessDenied"):
        create_queue(queue.url, client=client)


@pytest.mark.fault(42)
def test_a_queue_without_a_dead_letter_queue_is_warned_of(server: AwsServer) -> None:
    queue = Queue.fresh(server, RedrivePolicy="")
    verdict, told, remedy = found(queue, "dead letters")
    assert (verdict, told) == (WARNING, "no redrive policy")
    assert f"maxReceiveCount = {RECEIPTS}" in remedy


@pytest.mark.fault(42)
@pytest.mark.parametrize(("receipts", "verdict"), [(4, WARNING), (5, OK)])
def test_a_delivery_limit_that_sound_jobs_may_reach_is_warned_of(
    server: AwsServer, receipts: int, verdict: Verdict
) -> None:
    queue = Queue.fresh(server)
    arn = queue.dead.arn()
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receipts})
    queue.set(RedrivePolicy=policy)
    assert found(queue, "dead letters")[:2] == (verdict, f"to {queue.dead.name} after {receipts} receipts")


@pytest.mark.fault(42)
def test_a_dead_letter_queue_that_is_gone_is_warned_of(server: AwsServer) -> None:
    queue = Queue.fresh(server)
    queue.client.delete_queue(QueueUrl=queue.dead.address())
    verdict, told, _ = found(queue, "dead letters")
    assert verdict is WARNING
    assert "cannot be looked at: AWS.SimpleQueueService.NonExistentQueue" in told


def test_a_dead_letter_queue_that_keeps_no_longer_than_the_queue_is_warned_of(server: AwsServer) -> None:
    queue = Queue.fresh(server)
    queue.dead.set(MessageRetentionPeriod=str(4 * 86_400))
    assert found(queue, "dead letters")[:2] == (
        WARNING,
        f"to {queue.dead.name} after 10 receipts, kept for 4 days, 0:00:00 in all",
    )


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0, FAILURE), (9, WARNING), (10, OK), (60, OK), (900, OK), (901, WARNING)]
)
def test_a_visibility_that_does_not_fit_a_claim_is_told_of(server: AwsServer, seconds: int, verdict: Verdict) -> None:
    queue = Queue.fresh(server, VisibilityTimeout=str(seconds))
    found_so, told, _ = found(queue, "visibility")
    assert found_so is verdict
    assert str(timedelta(seconds=seconds)) in told


def test_a_short_retention_is_warned_of(server: AwsServer) -> None:
    queue = Queue.fresh(server, MessageRetentionPeriod="3600")
    assert found(queue, "retention")[:2] == (WARNING, "messages are kept for 1:00:00")


def test_a_delay_of_the_whole_queue_is_warned_of(server: AwsServer) -> None:
    queue = Queue.fresh(server, DelaySeconds="5")
    assert found(queue, "delay")[:2] == (WARNING, "every message is kept back for 0:00:05")


def test_deduplication_by_content_is_warned_of(server: AwsServer) -> None:
    queue = Queue.fresh(server, ".fifo", ContentBasedDeduplication="true")
    assert found(queue, "deduplication")[:2] == (WARNING, "by content")


def test_a_name_that_no_queue_can_have_is_refused() -> None:
    for work in (examine_sqs, create_queue):
        with pytest.raises(SettingsError, match="a queue's name"):
            work("sqs://jobs.fifo.fifo?region=eu-central-1")
