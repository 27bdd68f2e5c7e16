"""Direct calls: exactly the requests of the documentation, and every error as data with a code that stays."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring import Context, workflow
from mainspring.hosts.serverless import direct
from mainspring.ports import errors
from mainspring.ports.errors import InvalidValueError
from tests.hosts.serverless.sandboxes import Remaining, Sandbox, event, sandbox


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


@workflow(version="1")
async def large(ctx: Context) -> str:
    return "x" * (direct.MOST_OUTPUT + 1)


@workflow(version="1")
async def fails(ctx: Context) -> None:
    raise ValueError("as it is meant to")


def ask(box: Sandbox, **request: Any) -> dict[str, Any]:
    return box.app.direct(request, Remaining(30))


def refused(answer: dict[str, Any]) -> str:
    assert not answer["ok"]
    return str(answer["error"]["code"])


def test_a_start_with_a_key_is_one_run_however_often_it_is_asked_for() -> None:
    with sandbox(hello) as box:
        first = ask(box, action="start", workflow="hello", input="Ada", key="k", tags=["a"], metadata={"by": "me"})
        again = ask(box, action="start", workflow="hello", input="Ada", key="k", tags=["a"], metadata={"by": "me"})
        assert (first["run"]["created"], again["run"]["created"]) == (True, False)
        assert first["run"]["id"] == again["run"]["id"]
        assert len(box.queue.taken()) == 1
        assert refused(ask(box, action="start", workflow="hello", input="Grace", key="k")) == "conflict"


def test_a_start_may_be_delayed_and_bounded() -> None:
    with sandbox(hello) as box:
        asked = {"action": "start", "workflow": "hello", "input": "Ada"}
        run = ask(box, **asked, start_at="2999-01-01T00:00:00+00:00", timeout_seconds=1e9)["run"]["id"]
        found = box.ask(box.parts.store.run(run))
        assert found is not None
        assert found.start_at is not None
        assert found.deadline is not None
        assert box.queue.taken() == []
        assert refused(ask(box, **asked, start_at="tomorrow")) == "invalid"
        assert refused(ask(box, **asked, start_at="2030-01-01T00:00:00")) == "invalid"
        assert refused(ask(box, **asked, timeout_seconds=float("nan"))) == "invalid"
        assert refused(ask(box, **asked, timeout_seconds=1e300)) == "invalid"


def test_a_status_tells_how_a_run_ended() -> None:
    with sandbox(hello, fails) as box:
        good, bad = box.start("hello", "Ada"), box.start("fails")
        for _ in range(4):
            box.app.sqs(event(box.queue.taken()))
        found = ask(box, action="status", run=good, output=True)["run"]
        assert (found["status"], found["output"], found["failure"]) == ("completed", "hello Ada", None)
        assert "output" not in ask(box, action="status", run=good)["run"]
        assert set(found) >= {"id", "workflow", "version", "created_at", "started_at", "finished_at", "key", "tags"}
        assert ask(box, action="status", run=bad)["run"]["status"] in {"running", "failed"}


def test_an_output_that_no_answer_could_hold_is_told() -> None:
    with sandbox(large) as box:
        run = box.start("large")
        box.app.sqs(event(box.queue.taken()))
        assert ask(box, action="status", run=run)["run"]["status"] == "completed"
        assert refused(ask(box, action="status", run=run, output=True)) == "invalid"


def test_a_signal_is_sent_once_and_a_cancel_ends_the_run() -> None:
    with sandbox(hello) as box:
        run = box.start("hello", "Ada")
        signal = {"action": "signal", "run": run, "name": "go", "payload": {"a": 1}, "id": "s"}
        assert [ask(box, **signal)["run"]["new"] for _ in range(2)] == [True, False]
        cancel = {"action": "cancel", "run": run, "reason": "enough", "key": "c"}
        assert [ask(box, **cancel)["run"]["status"] for _ in range(2)] == ["cancelled", "cancelled"]
        assert refused(ask(box, **(cancel | {"reason": "another"}))) == "conflict"
        assert ask(box, action="status", run=run)["run"]["cancel_reason"] == "enough"
        assert refused(ask(box, **(signal | {"id": "t"}))) == "finished"


@pytest.mark.parametrize("action", ["signal", "cancel", "status"])
def test_a_run_that_does_not_exist_is_told(action: str) -> None:
    with sandbox(hello) as box:
        more = {"name": "go"} if action == "signal" else {}
        for run in ("00000000-0000-7000-8000-000000000000", "no id at all", ""):
            assert refused(ask(box, action=action, run=run, **more)) == "not_found"


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (None, "$"),
        (["start"], "$"),
        ({}, "$.action"),
        ({"action": "delete"}, "$.action"),
        ({"action": ["start"]}, "$.action"),
        ({"action": "start"}, "$.workflow"),
        ({"action": "start", "workflow": None}, "$.workflow"),
        ({"action": "start", "workflow": 7}, "$.workflow"),
        ({"action": "start", "workflow": "hello", "inputs": 1}, "$.inputs"),
        ({"action": "start", "workflow": "hello", "timeout_seconds": True}, "$.timeout_seconds"),
        ({"action": "start", "workflow": "hello", "tags": "a"}, "$.tags"),
        ({"action": "signal", "run": "x"}, "$.name"),
        ({"action": "status", "run": "x", "output": 1}, "$.output"),
    ],
)
def test_a_request_of_another_form_is_refused_with_the_place(wrong: Any, path: str) -> None:
    with sandbox(hello) as box:
        answer = box.app.direct(wrong)
        assert refused(answer) == "invalid"
        assert [problem["path"] for problem in answer["error"]["problems"]] == [path]


PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
NAMES = st.sampled_from(["action", "run", "workflow", "name"]) | st.text(max_size=5)
ANYTHING = st.recursive(
    PLAIN | st.sampled_from(sorted(direct.FIELDS)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
)


@given(ANYTHING)
def test_whatever_is_asked_is_read_or_refused(request: Any) -> None:
    with suppress(InvalidValueError):
        action, fields = direct.read(request)
        assert set(direct.NEEDED[action]) <= set(fields) <= set(direct.FIELDS[action])


def test_every_kind_of_error_has_a_code_and_the_world_s_may_be_asked_again() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    for kind in kinds:
        if kind is InvalidValueError:
            continue
        told = direct.refusal(kind("text"))["error"]
        assert told["retry"] == issubclass(kind, errors.PortError)
        assert told["code"] == ("internal" if kind is errors.MainspringError else told["code"])
        assert (told["code"] == "internal") == (kind is errors.MainspringError)
    secret = direct.refusal(ValueError("secret"))["error"]
    assert (secret["code"], "secret" in secret["message"]) == ("internal", False)


def test_a_store_that_keeps_a_direct_call_waiting_is_told_in_time() -> None:
    async def hangs(name: str) -> None:
        if name == "commit:before":
            await asyncio.Event().wait()

    # the client of a sandbox stands on the same store as its host
    with sandbox(hello, point=hangs, margin=timedelta(milliseconds=50)) as box:
        answer = box.app.direct({"action": "start", "workflow": "hello", "input": "Ada"}, Remaining(0.4))
        assert (answer["error"]["code"], answer["error"]["retry"]) == ("unavailable", True)
