"""What AWS Lambda calls: which messages of a batch come again, and what becomes of the jobs they point at."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainspring import NO_RETRY, Context, Workflow, stage, workflow
from mainspring.ports.clock import Clock
from mainspring.ports.errors import UnavailableError
from mainspring.ports.messages import InvalidMessageError
from mainspring.ports.names import RunId
from tests.hosts.serverless.sandboxes import (
    QUEUE,
    Carried,
    FailsFor,
    Remaining,
    claimed_elsewhere,
    deliver,
    event,
    pointing,
    returned,
    sandbox,
)


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


class Ahead:
    """A clock that is ahead of the store's."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._by = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._clock.now() + self._by


@workflow(version="1", retry=NO_RETRY)
async def fails(ctx: Context) -> None:
    raise ValueError("as it is meant to")


@stage
async def one(ctx: Context, number: int) -> int:
    return number + 1


@stage
async def left(ctx: Context, number: int) -> int:
    return number * 2


@stage
async def right(ctx: Context, number: int) -> int:
    return number * 3


forked = Workflow("forked", version="1").pipe(one).parallel(left, right)


@workflow(version="1")
async def endless(ctx: Context) -> None:
    await asyncio.Event().wait()


NOBODY = RunId("00000000-0000-7000-8000-000000000000")


def test_a_run_goes_from_message_to_message_to_its_end() -> None:
    with sandbox(forked) as box:
        run = box.start("forked", 3)
        assert deliver(box) == []
        answer = box.app.direct({"action": "status", "run": run, "output": True})
        assert answer["run"]["output"] == {"left": 8, "right": 12}


@pytest.mark.fault(6, 33, 40)
def test_messages_of_what_is_done_or_does_not_exist_are_done_with() -> None:
    with sandbox(hello) as box:
        run = box.start("hello", "Ada")
        bodies = [pointing(run, "hello"), pointing(run, "hello"), pointing(NOBODY, "hello"), pointing(run, "other")]
        assert returned(box.app.sqs(event(bodies), Remaining(60))) == []
        assert returned(box.app.sqs(event(bodies), Remaining(60))) == []
        assert box.status(run) == "completed"


@pytest.mark.fault(40)
def test_a_message_whose_job_another_worker_holds_is_done_with() -> None:
    with sandbox(hello) as box:
        run = box.start("hello", "Ada")
        assert len(box.ask(claimed_elsewhere(box, hello))) == 1
        assert returned(box.app.sqs(event([pointing(run, "hello")]), Remaining(60))) == []
        assert box.status(run) == "pending"


def test_a_message_that_comes_a_moment_too_early_is_waited_for() -> None:
    """The clock of who committed the job was ahead of the store's, and the queue was fast."""
    with sandbox(hello, fails, change=lambda parts: attrs.evolve(parts, clock=Ahead(parts.clock, 0.3))) as box:
        run, other = box.start("hello", "Ada"), box.start("fails")
        bodies = [pointing(run, "hello"), pointing(other, "fails"), pointing(NOBODY, "hello")]
        assert returned(box.app.sqs(event(bodies), Remaining(60))) == []
        assert [box.status(run), box.status(other)] == ["completed", "failed"]


def test_a_message_of_what_is_due_later_is_done_with() -> None:
    with sandbox(hello) as box:
        run = box.start("hello", "Ada", start_at="2999-01-01T00:00:00+00:00")
        assert returned(box.app.sqs(event([pointing(run, "hello")]), Remaining(60))) == []
        assert box.status(run) == "pending"


def test_a_failing_body_is_no_failure_of_its_message() -> None:
    with sandbox(fails) as box:
        run = box.start("fails")
        assert deliver(box) == []
        assert box.status(run) == "failed"


def test_a_job_of_a_route_that_is_not_served_here_goes_back() -> None:
    queue = Carried()
    with sandbox(hello, fails, queue=queue) as every, sandbox(hello, change=lambda _: every.parts) as some:
        run, theirs = every.start("hello", "Ada"), every.start("fails")
        bodies = [pointing(run, "hello"), pointing(theirs, "fails")]
        assert returned(some.app.sqs(event(bodies), Remaining(60))) == ["m1"]
        assert returned(every.app.sqs(event(bodies), Remaining(60))) == []


@pytest.mark.fault(44, 51)
def test_a_message_that_is_no_pointer_goes_back_alone() -> None:
    with sandbox(hello) as box:
        run = box.start("hello", "Ada")
        bodies = ["", "{}", "\ud800", "[" * 900, 7, None, pointing(run, "hello"), '{"run": 1}', "x" * 100_000]
        assert returned(box.app.sqs(event(bodies), Remaining(60))) == ["m0", "m1", "m2", "m3", "m4", "m5", "m7", "m8"]
        assert box.status(run) == "completed"


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {"Records": None},
        {"Records": [7]},
        {"Records": [{"body": "x"}]},
        {"Records": [{"messageId": ""}]},
        {"Records": [{"messageId": "1", "eventSource": "aws:sns"}]},
        {"detail-type": "Scheduled Event"},
    ],
)
@pytest.mark.fault(44)
def test_an_event_of_another_service_is_refused_in_words(wrong: Any) -> None:
    with sandbox(hello) as box, pytest.raises(InvalidMessageError, match="expected"):
        box.app.sqs(wrong, Remaining(60))


@given(st.lists(st.sampled_from(["fine", "fine", "store", "garbage"]), max_size=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.fault(43)
def test_any_subset_of_messages_that_cannot_be_decided_is_exactly_what_comes_again(kinds: list[str]) -> None:
    store = FailsFor()
    with sandbox(hello, change=store.over) as box:
        runs = [box.start("hello", str(place)) for place in range(len(kinds))]
        store.runs = {run for run, kind in zip(runs, kinds, strict=True) if kind == "store"}
        bodies = [
            "garbage" if kind == "garbage" else pointing(run, "hello") for run, kind in zip(runs, kinds, strict=True)
        ]
        answer = box.app.sqs(event(bodies), Remaining(60))
        assert returned(answer) == [f"m{place}" for place, kind in enumerate(kinds) if kind != "fine"]
        done = {"fine": "completed", "store": "pending", "garbage": "pending"}
        assert [box.status(run) for run in runs] == [done[kind] for kind in kinds]


def test_a_store_that_is_down_makes_the_whole_batch_come_again_at_once() -> None:
    store = FailsFor()
    with sandbox(hello, change=store.over) as box:
        bodies = [pointing(box.start("hello", str(place)), "hello") for place in range(10)]
        store.down = True
        with pytest.raises(UnavailableError):
            box.app.sqs(event(bodies), Remaining(60))


@pytest.mark.fault(53)
def test_a_claim_whose_connection_broke_is_asked_again_whole() -> None:
    store = FailsFor()
    with sandbox(hello, change=store.over) as box:
        bodies = [pointing(box.start("hello", str(place)), "hello") for place in range(10)]
        store.stumbles = 1
        assert returned(box.app.sqs(event(bodies), Remaining(60))) == []
        assert store.claims == 2


@pytest.mark.fault(43, 49)
def test_from_the_first_of_a_group_on_a_fifo_queue_s_messages_come_again() -> None:
    with sandbox(hello) as box:
        runs = [box.start("hello", str(place)) for place in range(5)]
        bodies = [pointing(runs[0], "hello"), "garbage", *(pointing(run, "hello") for run in runs[1:])]
        groups = ["a", "a", "a", "b", "b", "a"]
        answer = box.app.sqs(event(bodies, queue=f"{QUEUE}.fifo", groups=groups), Remaining(60))
        assert returned(answer) == ["m1", "m2", "m5"]
        assert returned(box.app.sqs(event(bodies, groups=groups), Remaining(60))) == ["m1"]


@pytest.mark.fault(45, 46)
def test_with_too_little_time_nothing_is_begun_and_all_come_again() -> None:
    with sandbox(hello) as box:
        run = box.start("hello", "Ada")
        body = pointing(run, "hello")
        assert returned(box.app.sqs(event([body, body]), Remaining(2.5))) == ["m0", "m1"]
        assert box.status(run) == "pending"
        (job,) = box.ask(box.parts.store.jobs(run))
        assert (job.attempt, job.lease_id) == (0, None)


@pytest.mark.fault(45)
def test_what_was_not_begun_in_time_comes_again_and_what_was_is_given_back() -> None:
    with sandbox(endless, margin=timedelta(seconds=0.2), concurrency=2) as box:
        box.app.sqs(event([pointing(NOBODY, "endless")]), Remaining(10))  # whole invocations are longer
        runs = [box.start("endless") for _ in range(4)]
        answer = box.app.sqs(event([pointing(run, "endless") for run in runs]), Remaining(0.8))
        assert len(returned(answer)) == 2
        box.queue.taken()
        for run in runs:
            (job,) = box.ask(box.parts.store.jobs(run))
            assert (job.attempt, job.lease_id) == (0, None)


def test_a_batch_is_claimed_in_one_write() -> None:
    met: list[str] = []

    async def point(name: str) -> None:
        met.append(name)

    with sandbox(hello, point=point) as box:
        bodies = [pointing(box.start("hello", str(place)), "hello") for place in range(10)]
        met.clear()
        assert returned(box.app.sqs(event(bodies), Remaining(60))) == []
        assert met.count("claim:before") == 1
        others = {name for name in met if name.endswith(":before")} - {"claim:before", "commit:before", "now:before"}
        assert others == set()
