"""SQS really calling a function: the queue, the event source mapping and the redrive of a server that runs them."""

import io
import os
import sys
import time
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.aws.servers import AwsServer

APP = """
from mainspring import Context, Workflow, stage
from mainspring.serverless import serverless

@stage
async def split(ctx: Context, text: str) -> list[str]:
    return text.split()

@stage
async def shout(ctx: Context, word: str) -> str:
    return word.upper()

@stage
async def join(ctx: Context, words: list[str]) -> str:
    return " ".join(words)

loud = Workflow("loud", version="1").pipe(split).map(shout).pipe(join)
app = serverless(workflows=[loud])
sqs_handler, tick_handler, direct_handler = app.sqs, app.tick, app.direct
"""
ROOT = Path(__file__).parents[2]
ROLE = "arn:aws:iam::000000000000:role/any"
PATIENCE = 60.0  # seconds
RECEIVES = 2


class Deployed:
    """What the template describes, made call by call."""

    def __init__(self, server: AwsServer, url: str) -> None:
        self._lambda: Any = server.client("lambda")
        self._sqs: Any = server.client("sqs")
        self._made: list[str] = []
        self._name = server.name("function")
        self._mapping: str | None = None
        self.dead = self._queue(f"{self._name}-dead")
        redrive = f'{{"deadLetterTargetArn": "{self._arn(self.dead)}", "maxReceiveCount": "{RECEIVES}"}}'
        jobs = f"{self._name}-jobs"
        self.jobs = self._queue(jobs, VisibilityTimeout="2", RedrivePolicy=redrive)
        self._variables = {
            "MAINSPRING_DATABASE": url,
            "MAINSPRING_TRANSPORT": server.url("sqs", jobs),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *(path for path in sys.path if "site-packages" in path)]),
            **{name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")},
        }
        self._code = io.BytesIO()
        with zipfile.ZipFile(self._code, "w") as archive:
            archive.writestr("app.py", APP)
        for name in ("sqs", "tick", "direct"):
            self._function(name)
        self._mapping = self._lambda.create_event_source_mapping(
            EventSourceArn=self._arn(self.jobs),
            FunctionName=f"{self._name}-sqs",
            BatchSize=10,
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )["UUID"]

    def call(self, function: str, request: Any) -> Any:
        import json

        answer = self._lambda.invoke(FunctionName=f"{self._name}-{function}", Payload=json.dumps(request).encode())
        said = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, said
        return said

    def send(self, body: str) -> None:
        self._sqs.send_message(QueueUrl=self.jobs, MessageBody=body)

    def output(self, run: str) -> Any:
        """The run's output, once it has completed: by messages alone, nobody ticks."""
        until = time.monotonic() + PATIENCE
        while True:
            found = self.call("direct", {"action": "status", "run": run, "output": True})["run"]
            if found["status"] == "completed":
                return found["output"]
            assert time.monotonic() < until, found
            time.sleep(0.1)

    def dead_letter(self) -> str:
        """The next message that was given up on."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for message in self._sqs.receive_message(QueueUrl=self.dead, WaitTimeSeconds=5).get("Messages", []):
                return str(message["Body"])
        raise AssertionError("no message was given up on")

    def close(self) -> None:
        if self._mapping is not None:
            self._lambda.delete_event_source_mapping(UUID=self._mapping)
        for name in self._made:
            self._lambda.delete_function(FunctionName=name)
        for url in (self.jobs, self.dead):
            self._sqs.delete_queue(QueueUrl=url)

    def _queue(self, name: str, **attributes: str) -> str:
        return str(self._sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])

    def _arn(self, url: str) -> str:
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    def _function(self, name: str) -> None:
        full = f"{self._name}-{name}"
        self._lambda.create_function(
            FunctionName=full,
            Runtime="python3.11",
            Role=ROLE,
            Handler=f"app.{name}_handler",
            Code={"ZipFile": self._code.getvalue()},
            Timeout=20,
            MemorySize=256,
            Environment={"Variables": self._variables},
        )
        self._made.append(full)


@pytest.fixture
def deployed(ministack: AwsServer, database: str) -> Generator[Deployed]:
    made = Deployed(ministack, database)
    yield made
    made.close()


@pytest.mark.fault(43, 51)
def test_a_queue_calls_the_function_from_stage_to_stage_and_garbage_ends_among_the_dead(deployed: Deployed) -> None:
    deployed.send("garbage")
    started = deployed.call("direct", {"action": "start", "workflow": "loud", "input": "a list of words"})
    assert started["ok"], started
    assert deployed.output(started["run"]["id"]) == "A LIST OF WORDS"
    assert deployed.dead_letter() == "garbage"
    assert deployed.call("tick", {"source": "aws.scheduler"})["reaped"] == 0
