"""Functions under AWS's own runtime client, on PostgreSQL: whole workflows, time-outs, deaths, frozen sandboxes."""

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.hosts.serverless.sandboxes import event, returned
from tests.lambda_.runtime_api import Function, FunctionError, SandboxDied, TimedOut

MODULE = "tests.lambda_.functions"
PATIENCE = 60.0  # seconds
BETWEEN_TICKS = 0.05  # seconds


class Deployed:
    """The three functions on one store, and the queue between them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        told = {"MAINSPRING_DATABASE": url, "TROUBLES": str(folder)}
        self.sqs, self.tick, self.direct = (Function(f"{MODULE}.{name}", **told) for name in ("sqs", "tick", "direct"))
        self._read = 0

    def start(self, workflow: str, value: Any = None) -> str:
        answer = self.direct.invoke({"action": "start", "workflow": workflow, "input": value})
        assert answer["ok"], answer
        return str(answer["run"]["id"])

    def status(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.direct.invoke({"action": "status", "run": run, "output": True})["run"]
        return found

    def sent(self) -> list[str]:
        """What was sent since the last time."""
        path = self.folder / "sent"
        lines = path.read_text().splitlines() if path.exists() else []
        new, self._read = lines[self._read :], len(lines)
        return new

    def deliver(self, seconds: float = 60.0) -> None:
        """Hand the function what was sent, in batches of ten, until there is no more."""
        while bodies := self.sent():
            for begin in range(0, len(bodies), 10):
                assert returned(self.sqs.invoke(event(bodies[begin : begin + 10]), seconds)) == []

    def tick_until(self, what: str) -> None:
        """Scheduled ticks, until one of them did it: only the store's time brings it about."""
        until = time.monotonic() + PATIENCE
        while not self.tick.invoke({"source": "aws.scheduler"})[what]:
            assert time.monotonic() < until, f"nothing was {what}"
            time.sleep(BETWEEN_TICKS)

    def tick_until_ended(self, *runs: str) -> list[Any]:
        """Scheduled ticks and what they sent, until these runs have completed; their outputs."""
        until = time.monotonic() + PATIENCE
        while any((found := self.status(run))["status"] != "completed" for run in runs):
            assert time.monotonic() < until, found
            self.tick.invoke({"source": "aws.scheduler"})
            self.deliver()
            time.sleep(BETWEEN_TICKS)
        return [self.status(run)["output"] for run in runs]

    def close(self) -> None:
        for function in (self.sqs, self.tick, self.direct):
            function.close()


@pytest.fixture
def deployed(database: str, tmp_path: Path) -> Generator[Deployed]:
    made = Deployed(database, tmp_path)
    yield made
    made.close()


def test_whole_workflows_run_from_message_to_message(deployed: Deployed) -> None:
    runs = [deployed.start("loud", f"a list of words {number}") for number in range(3)]
    greeting = deployed.start("hello", "Ada")
    deployed.deliver()
    assert [deployed.status(run).get("output") for run in runs] == [f"A LIST OF WORDS {number}" for number in range(3)]
    assert deployed.status(greeting)["output"] == "hello Ada"


@pytest.mark.fault(2, 3, 45)
def test_a_function_that_is_killed_at_its_deadline_is_reaped_and_its_run_goes_on(deployed: Deployed) -> None:
    run, other = deployed.start("blocks_once"), deployed.start("hello", "Ada")
    with pytest.raises(TimedOut):
        deployed.sqs.invoke(event(deployed.sent()), 3.0)
    assert (deployed.folder / "began").exists()
    killed = deployed.sqs.process_id
    deployed.tick_until("reaped")
    assert deployed.tick_until_ended(run, other) == [2, "hello Ada"]
    assert deployed.sqs.process_id != killed


@pytest.mark.fault(3)
def test_a_body_that_ends_the_process_costs_its_sandbox_and_no_run(deployed: Deployed) -> None:
    run = deployed.start("dies_once")
    with pytest.raises(SandboxDied, match="41"):
        deployed.sqs.invoke(event(deployed.sent()), 3.0)
    deployed.tick_until("reaped")
    assert deployed.tick_until_ended(run) == [2]


@pytest.mark.fault(45, 104)
def test_what_an_invocation_has_no_time_for_is_given_back_and_told_again(deployed: Deployed) -> None:
    run = deployed.start("slow")
    deployed.sqs.invoke(event(["garbage"]), 60.0)  # whole invocations are longer
    (body,) = deployed.sent()
    pointer_to_nothing = body.replace(run[:8], "0" * 8)
    assert returned(deployed.sqs.invoke(event([pointer_to_nothing]), 60.0)) == []
    assert returned(deployed.sqs.invoke(event([body]), 2.0)) == []
    assert deployed.status(run)["status"] in {"pending", "running"}
    assert deployed.sent() == [body]
    (deployed.folder / "go").touch()
    assert returned(deployed.sqs.invoke(event([body]), 60.0)) == []
    assert deployed.status(run)["output"] == 1


@pytest.mark.fault(17, 53)
def test_a_sandbox_that_thaws_without_its_connections_opens_others(deployed: Deployed) -> None:
    first, second = deployed.start("hello", "Ada"), deployed.start("hello", "Grace")
    one, two = deployed.sent()
    assert returned(deployed.sqs.invoke(event([one]))) == []
    warm = deployed.sqs.process_id
    deployed.sqs.freeze()
    with psycopg.connect(deployed.url.partition("?")[0], autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'mainspring'"
        )
    deployed.sqs.thaw()
    assert returned(deployed.sqs.invoke(event([two]))) == []
    assert deployed.sqs.process_id == warm
    assert [deployed.status(run)["output"] for run in (first, second)] == ["hello Ada", "hello Grace"]


@pytest.mark.fault(44)
def test_an_event_of_another_service_is_told_as_the_function_s_error(deployed: Deployed) -> None:
    with pytest.raises(FunctionError, match="expected an event of SQS"):
        deployed.sqs.invoke({"detail-type": "Scheduled Event"})


def test_a_module_that_cannot_be_imported_is_told_before_any_invocation() -> None:
    broken = Function("tests.lambda_.no_such_module.sqs")
    try:
        with pytest.raises(FunctionError, match="no_such_module"):
            broken.invoke({})
    finally:
        broken.close()
