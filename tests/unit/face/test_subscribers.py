"""Subscribers: each called for what it wants, at least once, in each run's order, whatever its neighbours do."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainspring import Context, Event, Mainspring, NonRetryable, Retry, Subscriber, subscribe, workflow
from mainspring.ports import records
from mainspring.ports.errors import SettingsError
from mainspring.ports.event_sink import UNTRIED, Hopeless, Untried
from mainspring.ports.names import LeaseId, RunId
from mainspring.ports.sinks import Sink
from mainspring.subscribers import Handler, SubscriberSink, subscriber

ONE, TWO = RunId("run-1"), RunId("run-2")
PATIENCE = 10.0


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


def event(run_id: RunId, seq: int) -> records.Event:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return records.Event(run_id=run_id, seq=seq, type="stage.progress", at=at, data='{"stage":"a"}', tries=3)


def sink(
    handler: Handler, *, patience: float = PATIENCE, at_once: int = 10, retry: Retry | None = None
) -> SubscriberSink:
    one = subscriber(handler, name="one", retry=retry or Retry())
    return SubscriberSink(one, patience=timedelta(seconds=patience), at_once=at_once)


async def test_a_subscriber_gets_the_events_it_wants_with_their_data() -> None:
    seen: list[Event] = []
    over = asyncio.Event()

    @subscribe("run.created", "run.completed")
    async def tell(event: Event) -> None:
        seen.append(event)
        if event.type == "run.completed":
            over.set()

    async with Mainspring("memory://", workflows=[hello], subscribers=[tell]) as engine:
        run = await engine.start(hello, "you")
        async with asyncio.timeout(PATIENCE):
            await over.wait()
        assert await engine.parts.store.sinks() == [Sink(name=tell.name, types=("run.created", "run.completed"))]
    assert [(one.run_id, one.type, one.tries) for one in seen] == [
        (run.id, "run.created", 0),
        (run.id, "run.completed", 0),
    ]
    assert seen[0].data["workflow"] == "hello"
    assert seen[0].id == f"{run.id}/1"


async def test_one_that_fails_is_called_again_and_its_neighbour_is_not() -> None:
    calls: list[str] = []
    over = asyncio.Event()

    def flaky(event: Event) -> None:
        calls.append(f"flaky {event.seq}")
        if calls.count("flaky 1") < 3:
            raise ValueError("not yet")

    async def steady(event: Event) -> None:
        calls.append(f"steady {event.seq}")

    async def last(event: Event) -> None:
        if calls.count("flaky 1") < 3:
            raise ValueError("the flaky one is not done")
        over.set()

    engine = Mainspring("memory://", workflows=[hello])
    soon = Retry(max_attempts=1_000, initial=timedelta(milliseconds=1), maximum=timedelta(milliseconds=1))
    for handler in (flaky, steady, last):
        engine.subscribe(handler, ["run.created"], retry=soon)
    async with engine:
        await engine.run(hello, "you")
        async with asyncio.timeout(30):
            await over.wait()
    assert (calls.count("flaky 1"), calls.count("steady 1")) == (3, 1)


async def test_events_of_a_run_come_one_after_the_other_and_runs_side_by_side() -> None:
    running: list[str] = []
    widest = 0
    gate = asyncio.Event()

    async def handle(event: Event) -> None:
        nonlocal widest
        assert not [one for one in running if one.startswith(event.run_id)], "two of one run"
        running.append(event.id)
        widest = max(widest, len(running))
        if widest == 2:
            gate.set()
        await gate.wait()
        running.remove(event.id)

    answers = await sink(handle).publish([event(ONE, 1), event(ONE, 2), event(TWO, 1)])
    assert answers == [None, None, None]
    assert widest == 2


async def test_after_a_failure_later_events_of_the_run_are_not_tried_and_other_runs_go_on() -> None:
    async def handle(event: Event) -> None:
        if event.id == f"{ONE}/2":
            raise ValueError("no")

    answers = await sink(handle).publish([event(ONE, 1), event(ONE, 2), event(TWO, 1), event(ONE, 3)])
    assert answers == [None, "ValueError: no", None, UNTRIED]


async def test_what_takes_too_long_fails_alone_and_what_was_not_begun_was_not_tried() -> None:
    async def handle(event: Event) -> None:
        if event.run_id == TWO:
            await asyncio.Event().wait()

    answers = await sink(handle, patience=0.05, at_once=1).publish(
        [event(ONE, 1), event(TWO, 1), event(TWO, 2), event(RunId("run-3"), 1)]
    )
    assert answers[0] is None
    assert answers[1] is not None
    assert "took longer than what was left of 0.05 s" in answers[1]
    assert answers[2:] == [UNTRIED, UNTRIED]


@pytest.mark.parametrize("error", [NonRetryable("never"), KeyError("never")])
async def test_what_will_never_get_better_is_not_tried_again(error: Exception) -> None:
    def handle(event: Event) -> None:
        raise error

    (answer,) = await sink(handle, retry=Retry(non_retryable=(KeyError,))).publish([event(ONE, 1)])
    assert isinstance(answer, Hopeless)
    assert "never" in answer


async def test_a_subscriber_that_cancels_itself_fails_and_ends_nothing_else() -> None:
    async def handle(event: Event) -> None:
        raise asyncio.CancelledError

    assert await sink(handle).publish([event(ONE, 1)]) == ["the subscriber was cancelled"]


async def test_a_relay_that_is_cancelled_takes_its_subscribers_along() -> None:
    begun = asyncio.Event()

    async def handle(event: Event) -> None:
        begun.set()
        await asyncio.Event().wait()

    publishing = asyncio.create_task(sink(handle).publish([event(ONE, 1)]))
    await begun.wait()
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing


async def test_a_plain_function_does_not_block_the_loop() -> None:
    threads: list[str] = []

    def handle(event: Event) -> None:
        threads.append(threading.current_thread().name)

    assert await sink(handle).publish([event(ONE, 1)]) == [None]
    assert threads != [threading.current_thread().name]


async def test_no_call_begins_in_the_second_half_of_a_batch_so_that_each_has_its_half() -> None:
    loop = asyncio.get_running_loop()
    calls: list[str] = []

    async def handle(event: Event) -> None:
        calls.append(event.id)
        until = loop.time() + 0.2
        while loop.time() < until:  # half of the batch is over, and the other half not
            await asyncio.sleep(0)

    answers = await sink(handle, patience=0.4, at_once=1).publish([event(ONE, 1), event(ONE, 2), event(TWO, 1)])
    assert answers == [None, UNTRIED, UNTRIED]
    assert calls == [f"{ONE}/1"]


async def test_plain_functions_that_hang_take_no_thread_of_others_and_no_more_than_their_own() -> None:
    gate = threading.Event()
    calls: list[str] = []

    def hang(event: Event) -> None:
        calls.append(event.id)
        gate.wait()

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    hanging = sink(hang, patience=0.05, at_once=2)
    three = RunId("run-3")
    (answer,) = await hanging.publish([event(ONE, 1)])
    assert answer is not None
    assert not isinstance(answer, Untried)
    answer, other = await hanging.publish([event(TWO, 1), event(three, 1)])
    assert (isinstance(answer, Untried), other) == (False, UNTRIED)
    assert await asyncio.to_thread(lambda: "here") == "here"
    (answer,) = await hanging.publish([event(three, 1)])
    assert isinstance(answer, Untried)
    assert "2 calls of the subscriber do not return" in answer
    assert len(calls) == 2
    gate.set()
    async with asyncio.timeout(PATIENCE):
        while isinstance((await hanging.publish([event(three, 1)]))[0], Untried):
            await asyncio.sleep(0)
    assert calls[2:] == [f"{three}/1"]


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration("over"), asyncio.CancelledError()])
async def test_what_a_plain_function_raises_ends_nothing_but_its_call(error: BaseException) -> None:
    def handle(event: Event) -> None:
        raise error

    (answer,) = await sink(handle).publish([event(ONE, 1)])
    assert answer is not None
    assert type(error).__name__ in answer


HANGING = """
import asyncio, threading
from mainspring.ports.contracts.event_sink import ONE, event
from mainspring.subscribers import SubscriberSink, subscriber
from datetime import timedelta

def hang(event):
    threading.Event().wait()

sink = SubscriberSink(subscriber(hang), patience=timedelta(seconds=0.05))
print(asyncio.run(sink.publish([event(ONE, 1)])))
"""


def test_a_plain_function_that_hangs_does_not_keep_the_process_from_ending() -> None:
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=30, check=True)
    assert "took longer" in done.stdout


async def test_a_program_that_only_listens_is_called_for_what_others_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    over = asyncio.Event()

    @subscribe("run.created")
    async def tell(event: Event) -> None:
        over.set()

    async with Mainspring(url, subscribers=[tell]) as listening:
        assert listening.worker is None
        async with Mainspring(url, workflows=[hello], worker=False) as other:
            await other.start(hello, "you")
        async with asyncio.timeout(PATIENCE):
            await over.wait()
    async with Mainspring(url, worker=False) as left:
        assert await left.parts.store.lease_relay(
            LeaseId("0" * 8 + "-0000-4000-8000-" + "0" * 12), timedelta(seconds=1), tell.name
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mainspring("memory://", worker=False, subscribers=[subscribe()(nothing)]),
        lambda: Mainspring("memory://", worker=False, sink=SubscriberSink(subscriber(nothing))),
        lambda: Mainspring("memory://", worker=False, sinks={"a": SubscriberSink(subscriber(nothing))}),
        lambda: Mainspring("memory://", worker=False).subscribe(nothing),
    ],
)
def test_a_process_that_works_not_takes_no_sinks_that_nobody_would_serve(make: Callable[[], object]) -> None:
    with pytest.raises(SettingsError, match="worker=False"):
        make()


def nothing(event: Event) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: subscribe("anything")(nothing),
        lambda: subscribe(name="no blanks")(nothing),
        lambda: subscribe(name="default")(nothing),
        lambda: subscribe(nothing),  # type: ignore[arg-type]
        lambda: subscriber(lambda event: None),
        lambda: Mainspring("memory://", subscribers=[subscribe()(nothing), subscribe("run.*")(nothing)]),
        lambda: Mainspring("memory://", sinks={"nothing": SubscriberSink(subscriber(nothing))}).subscribe(nothing),
    ],
)
def test_what_cannot_be_a_subscriber_is_refused_at_once(make: Callable[[], object]) -> None:
    with pytest.raises(SettingsError):
        make()


async def test_an_open_engine_takes_no_more_subscribers() -> None:
    async with Mainspring("memory://", workflows=[hello]) as engine:
        with pytest.raises(SettingsError, match="before"):
            engine.subscribe(nothing)


def test_a_decorated_function_can_still_be_called() -> None:
    called: list[str] = []

    @subscribe("run.*")
    def note(event: Event) -> None:
        called.append(event.id)

    assert isinstance(note, Subscriber)
    note(Event(id="x", run_id=ONE, seq=1, type="run.created", at=datetime(2026, 1, 1, tzinfo=UTC), data={}, tries=0))
    assert called == ["x"]
