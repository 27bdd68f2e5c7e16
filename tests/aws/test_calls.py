"""Calls to AWS: what is repeated and what is not, what closing leaves, and how errors are told."""

import asyncio
import threading
from typing import Any

import pytest
from botocore.exceptions import (  # type: ignore[import-untyped]
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)

from mainspring.adapters.aws.calls import AwsCalls, ClosedError, code_of, is_passing, make_client, translated
from mainspring.adapters.aws.location import locate
from mainspring.ports.errors import PortError, SettingsError, UnavailableError
from tests.aws.sqs_faults import Pauses

PLACE = locate("sqs://jobs?region=eu-central-1", "sqs")


def refused(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "so it is"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "list_queues"
    )


class Failing:
    """A client whose calls raise these, one after the other, and then answer."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    def list_queues(self, **parameters: str) -> Any:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return parameters

    def close(self) -> None:
        pass


def calls(client: Any, pauses: Pauses | None = None) -> AwsCalls:
    return AwsCalls("sqs", PLACE, client=client, sleep=pauses or Pauses())


@pytest.mark.parametrize(
    "error",
    [refused("ThrottlingException"), refused("Odd", 503), EndpointConnectionError(endpoint_url="x"), OSError("cut")],
    ids=str,
)
async def test_what_fails_in_passing_is_asked_again_after_a_pause(error: Exception) -> None:
    client, pauses = Failing(error, error), Pauses()
    asking = calls(client, pauses)
    assert await asking.call("list_queues", QueueNamePrefix="a") == {"QueueNamePrefix": "a"}
    asking.close()
    assert (client.asked, len(pauses.taken)) == (3, 2)


async def test_a_call_is_given_up_after_five_attempts() -> None:
    client = Failing(*[refused("Throttling")] * 9)
    asking = calls(client)
    with pytest.raises(ClientError):
        await asking.call("list_queues")
    asking.close()
    assert client.asked == 5


@pytest.mark.parametrize(
    "error", [refused("AccessDenied"), NoCredentialsError(), ParamValidationError(report="QueueName")], ids=str
)
async def test_what_will_fail_again_is_asked_once(error: Exception) -> None:
    client = Failing(error)
    asking = calls(client)
    with pytest.raises((ClientError, SettingsError)):
        await asking.call("list_queues")
    asking.close()
    assert client.asked == 1


async def test_after_closing_nothing_is_asked_and_nobody_waits() -> None:
    pauses = Pauses()
    asking = calls(Failing(), pauses)
    asking.close()
    asking.close()
    with pytest.raises(ClosedError, match="was closed"):
        await asking.call("list_queues")
    assert not pauses.taken


async def test_a_call_under_way_and_one_in_line_end_though_the_calls_are_closed() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: Any) -> str:
        begun.set()
        go_on.wait(30)
        return "done"

    asking = AwsCalls("sqs", PLACE, client=Failing(), threads=1)
    waiting = [asyncio.create_task(asking.run(slow)) for _ in range(2)]
    assert await asyncio.to_thread(begun.wait, 30)
    asking.close()
    go_on.set()
    assert await asyncio.gather(*waiting) == ["done", "done"]


async def test_long_calls_take_no_other_calls_thread() -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(_: Any) -> bool:
        begun.release()
        return go_on.wait(30)

    asking = AwsCalls("sqs", PLACE, client=Failing(), threads=1)
    polls = [asyncio.create_task(asking.run(slow, detached=True)) for _ in range(3)]
    for _ in polls:
        assert await asyncio.to_thread(begun.acquire, timeout=10)
    assert await asking.call("list_queues") == {}
    go_on.set()
    assert await asyncio.gather(*polls) == [True] * 3
    asking.close()


async def test_who_gives_up_a_long_call_leaves_it_to_end_by_itself() -> None:
    go_on, over = threading.Event(), threading.Event()

    def slow(_: Any) -> None:
        go_on.wait(30)
        over.set()

    asking = AwsCalls("sqs", PLACE, client=Failing())
    poll = asyncio.create_task(asking.run(slow, detached=True))
    await asyncio.sleep(0)
    poll.cancel()
    await asyncio.wait([poll])
    assert poll.cancelled()
    go_on.set()
    assert await asyncio.to_thread(over.wait, 30)
    asking.close()


def test_errors_are_told_in_the_ports_words() -> None:
    told: list[tuple[Exception, type[Exception], str]] = [
        (refused("AccessDenied"), UnavailableError, "sqs 'jobs': AccessDenied: so it is"),
        (EndpointConnectionError(endpoint_url="https://user:secret@x"), UnavailableError, "EndpointConnectionError"),
        (NoCredentialsError(), SettingsError, "AWS_ACCESS_KEY_ID"),
        (ParamValidationError(report="secret"), SettingsError, "boto3 refused a parameter"),
    ]
    for error, kind, words in told:
        found = translated(error, "sqs 'jobs'")
        assert isinstance(found, kind)
        assert words in str(found)
        assert "secret" not in str(found)
    assert code_of(OSError()) == ""
    assert not is_passing(PortError())


@pytest.mark.parametrize(
    ("setting", "words"),
    [("AWS_DEFAULT_REGION", "set region="), ("AWS_PROFILE", "AWS_PROFILE")],
)
def test_a_client_that_cannot_be_made_says_what_to_set(
    setting: str, words: str, aws_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    if setting == "AWS_PROFILE":
        monkeypatch.setenv("AWS_PROFILE", "nobody's")
    with pytest.raises(SettingsError, match=words):
        make_client("sqs", locate("sqs://jobs", "sqs"))


def test_an_endpoint_that_is_no_url_is_refused(aws_environment: None) -> None:
    with pytest.raises(SettingsError, match="endpoint="):
        make_client("sqs", locate("sqs://jobs?region=eu-central-1&endpoint=nonsense", "sqs"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://jobs", "begins with 's3'"),
        ("sqs://", "expected a URL like sqs://name"),
        ("sqs://[jobs", "brackets"),
        ("sqs://key:secret@jobs", "holds no credentials"),
        ("sqs://jobs/more", "a path after the name"),
        ("sqs://jobs?regoin=x", "knows no option 'regoin'; known: endpoint, region"),
        ("sqs://jobs?region=", "no value for its option 'region'"),
    ],
)
def test_a_url_that_says_something_else_is_refused(url: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        locate(url, "sqs")
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_url_names_a_thing_its_region_its_endpoint_and_options() -> None:
    found = locate(
        "s3://bucket/a/b/?region=eu-central-1&endpoint=http%3A%2F%2Fhost%3A1&sse=on", "s3", known=["sse"], path=True
    )
    assert (found.name, found.path, found.region, found.endpoint, found.options) == (
        "bucket", "a/b", "eu-central-1", "http://host:1", {"sse": "on"},
    )  # fmt: skip
