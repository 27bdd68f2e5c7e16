"""A sandbox of AWS Lambda: what it opens and when, what a tick does, and that nothing runs on after an answer."""

import asyncio
import threading
from datetime import timedelta

import attrs
import pytest

from mainspring import Context, workflow
from mainspring.adapters.memory.clock import ManualClock
from mainspring.hosts.execution.parts import Parts
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.serverless import serverless
from mainspring.subscribers import Event, subscriber
from tests.hosts.serverless.sandboxes import (
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


@workflow(version="1")
async def leaves_a_task(ctx: Context) -> None:
    ctx_free = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    ctx_free.add_done_callback(lambda _: None)


@pytest.mark.fault(53)
def test_a_clock_whose_connection_did_not_outlive_the_pause_is_asked_again() -> None:
    breaks: list[bool] = []

    def over(parts: Parts) -> Parts:
        async def refresh() -> None:
            if breaks and breaks.pop():
                raise UnavailableError("the connection broke")

        return attrs.evolve(parts, refresh_clock=refresh)

    with sandbox(hello, change=over) as box:
        run = box.start("hello", "Ada")
        breaks.append(True)
        assert returned(box.app.sqs(event([pointing(run, "hello")]), Remaining(60))) == []
        breaks.append(True)
        assert box.app.tick({}, Remaining(60))["reaped"] == 0
        breaks.append(True)
        assert box.app.direct({"action": "status", "run": run}, Remaining(60))["ok"]
        assert breaks == []
        assert box.status(run) == "completed"


def test_nothing_runs_on_after_the_answer() -> None:
    with sandbox(hello, leaves_a_task) as box:
        box.start("hello", "Ada")
        box.start("leaves_a_task")
        assert deliver(box) == []
        assert box.tasks() == 0
        box.app.tick()
        assert box.tasks() == 0


@pytest.mark.fault(22, 23)
def test_each_invocation_asks_for_the_time_first() -> None:
    asked: list[str] = []

    def counted(parts: Parts) -> Parts:
        async def refresh() -> None:
            asked.append("asked")

        return attrs.evolve(parts, refresh_clock=refresh)

    with sandbox(hello, change=counted) as box:
        run = box.start("hello", "Ada")
        asked.clear()
        box.app.sqs(event([pointing(run, "hello")]), Remaining(60))
        box.app.tick(None, Remaining(60))
        box.app.direct({"action": "status", "run": run}, Remaining(60))
        assert len(asked) == 3


def test_a_sandbox_opens_its_parts_once_and_tries_again_when_it_cannot() -> None:
    tries: list[str] = []
    world: list[Parts] = []

    def opening() -> Parts:
        tries.append("tried")
        if len(tries) == 1:
            raise UnavailableError("not yet")
        return world[0]

    with sandbox(hello) as box:
        world.append(box.parts)
        app = serverless(workflows=[hello], parts=opening)
        assert tries == []
        answer = app.direct({"action": "start", "workflow": "hello", "input": "Ada"})
        assert (answer["ok"], answer["error"]["code"], answer["error"]["retry"]) == (False, "unavailable", True)
        app.open()
        for _ in range(3):
            assert app.direct({"action": "start", "workflow": "hello", "input": "Ada"})["ok"]
        assert len(tries) == 2
        app.close()
        app.close()


@pytest.mark.promise(7)
def test_a_tick_reaps_and_tells_of_what_it_did() -> None:
    clock = ManualClock()
    with sandbox(hello, clock=clock) as box:
        run = box.start("hello", "Ada")
        assert len(box.ask(claimed_elsewhere(box, hello))) == 1
        box.queue.taken()
        clock.advance(timedelta(minutes=5))
        assert box.app.tick({"source": "aws.scheduler"}, Remaining(60))["reaped"] == 1
        clock.advance(timedelta(minutes=5))
        assert box.app.tick({"source": "aws.scheduler"}, Remaining(60))["announced"] == 1
        assert deliver(box) == []
        assert box.status(run) == "completed"


def test_a_tick_calls_subscribers() -> None:
    heard: list[str] = []

    async def on_end(event: Event) -> None:
        heard.append(event.type)

    with sandbox(hello, subscribers=[subscriber(on_end, ["run.completed"])]) as box:
        box.start("hello", "Ada")
        assert deliver(box) == []
        box.app.tick({}, Remaining(60))
        assert heard == ["run.completed"]


def test_without_a_queue_the_tick_works_off_what_is_due() -> None:
    world: list[Parts] = []
    with sandbox(hello) as box:
        world.append(box.parts)
    app = serverless("memory://", workflows=[hello])
    run = app.direct({"action": "start", "workflow": "hello", "input": "Ada"})["run"]["id"]
    assert app.tick()["worked"] == {"claimed": 1, "outcomes": {"completed": 1}}
    assert app.direct({"action": "status", "run": run})["run"]["status"] == "completed"
    app.close()


def test_an_invocation_that_the_store_keeps_waiting_ends_by_itself() -> None:
    async def hangs(name: str) -> None:
        if name == "claim:before":
            await asyncio.Event().wait()

    with sandbox(hello, point=hangs, margin=timedelta(milliseconds=50)) as box:
        run = box.start("hello", "Ada")
        left = Remaining(0.5)
        with pytest.raises(UnavailableError, match="time was over"):
            box.app.sqs(event([pointing(run, "hello")]), left)
        assert left.get_remaining_time_in_millis() > 0
        assert box.tasks() == 0


@pytest.mark.fault(45)
def test_an_outcome_that_the_store_does_not_take_in_time_is_left_to_its_lease() -> None:
    full: list[str] = []

    async def hangs(name: str) -> None:
        if name == "commit:before" and full:
            await asyncio.Event().wait()

    with sandbox(hello, point=hangs, margin=timedelta(seconds=1.6)) as box:
        run = box.start("hello", "Ada")
        full.append("from now on")
        left = Remaining(2.6)
        assert returned(box.app.sqs(event([pointing(run, "hello")]), left)) == []
        assert left.get_remaining_time_in_millis() > 0
        assert box.tasks() == 0
        (job,) = box.ask(box.parts.store.jobs(run))
        assert job.lease_id is not None


def test_no_store_named_is_told_when_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINSPRING_DATABASE", raising=False)
    app = serverless(workflows=[hello])
    with pytest.raises(SettingsError, match="MAINSPRING_DATABASE"):
        app.open()
    app.close()


def test_parts_and_what_they_bring_are_not_given_together() -> None:
    with sandbox(hello) as box, pytest.raises(SettingsError, match="leave the others out"):
        serverless("memory://", workflows=[hello], parts=lambda: box.parts)


def test_a_loop_of_its_own_is_left_when_it_closes() -> None:
    before = threading.active_count()
    with sandbox(hello) as box:
        box.start("hello", "Ada")
    assert threading.active_count() == before
