"""Observers: what hosts tell them, that each of several is told, and that a trace survives in the config."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import attrs
import pytest

from mainspring import NO_RETRY, Context, Workflow, stage
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.observers import together
from mainspring.hosts.execution.parts import Timing
from mainspring.hosts.upkeep.relay import Relay
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.names import LeaseId, Payload, SinkName, WorkerId, WorkflowId
from mainspring.ports.records import Job, Lease, Run
from mainspring.ports.sinks import DEFAULT_SINK, Sink
from mainspring.ports.trace import trace_of, with_trace, without_trace
from tests.hosts.parts import Bench, bench

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LENGTH = timedelta(seconds=30)


@stage(retry=NO_RETRY)
async def obeys(ctx: Context, value: str) -> str:
    if value == "wait":
        await asyncio.Event().wait()
    if value == "fail":
        raise ValueError(value)
    return value


@stage(retry=NO_RETRY)
async def follows(ctx: Context, value: str) -> str:
    return value


pair = Workflow("pair", version="1").pipe(obeys).pipe(follows)


class Recorder:
    """Keeps what it is told, under a name of its own."""

    def __init__(self, name: str = "", trace: str | None = None, told: list[str] | None = None) -> None:
        self.told: list[str] = [] if told is None else told
        self._name = name
        self._trace = trace

    def _note(self, word: str) -> None:
        self.told.append(self._name + word)

    @contextmanager
    def starting(self, workflow: WorkflowId, count: int) -> Generator[str | None]:
        self._note(f"starting {count} {workflow}")
        yield self._trace
        self._note("started")

    def claimed(self, leases: Sequence[Lease], seconds: float) -> None:
        self._note(f"claimed {len(leases)}")

    def attempting(self, run: Run, job: Job) -> "Recorder":
        self._note(f"attempting {job.stage}")
        return self

    def committing(self) -> None:
        self._note("committing")

    def ended(self, outcome: str) -> None:
        self._note(f"ended {outcome}")

    def committed(self, finishes: int, seconds: float) -> None:
        assert seconds >= 0
        self._note(f"committed {finishes}")

    def relayed(self, sink: SinkName, published: int, postponed: int, dead: int) -> None:
        self._note(f"relayed {sink} {published} {postponed} {dead}")


async def executed(made: Bench, observer: Any, value: str, stop: Stop | None = None) -> str:
    """Work one run's lease off, told to stop once its body waits; the last outcome's word."""
    parts = attrs.evolve(made.parts, observer=observer)
    executor = Executor(parts, made.registry, Timing(cancel_grace=timedelta(seconds=0.1)))
    await made.start(pair, value)
    (lease,) = await made.store.claim(made.registry.routes(), limit=1, length=LENGTH, worker=WorkerId("w"))
    until = asyncio.get_running_loop().time() + LENGTH.total_seconds()
    working = asyncio.ensure_future(executor.execute(lease, until))
    while stop is not None and not working.done():
        await asyncio.sleep(0)
        for seat in executor.live:
            seat.tell(stop)
    return await working


@pytest.mark.parametrize(
    ("value", "stop", "told"),
    [
        (
            "go",
            None,
            [
                *("attempting obeys", "committing", "committed 1", "ended completed"),
                *("attempting follows", "committing", "committed 1", "ended completed"),
            ],
        ),
        ("fail", None, ["attempting obeys", "committing", "committed 1", "ended failed"]),
        ("wait", Stop.LEASE_LOST, ["attempting obeys", "ended lease_lost"]),
        ("wait", Stop.SHUTDOWN, ["attempting obeys", "ended shutdown"]),
    ],
)
async def test_each_attempt_is_told_from_its_beginning_to_its_outcome(
    value: str, stop: Stop | None, told: list[str]
) -> None:
    recorder = Recorder()
    await executed(bench(pair), recorder, value, stop)
    assert recorder.told == told


async def test_an_attempt_whose_host_is_torn_down_is_told_to_have_ended() -> None:
    made, recorder = bench(pair), Recorder()
    working = asyncio.ensure_future(executed(made, recorder, "wait"))
    while "attempting obeys" not in recorder.told:
        await asyncio.sleep(0)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert recorder.told[-1] == "ended crashed"


async def test_finishes_that_are_folded_are_told_as_one() -> None:
    @stage(retry=NO_RETRY)
    async def many(ctx: Context, count: int) -> list[int]:
        return list(range(count))

    @stage(retry=NO_RETRY)
    async def one(ctx: Context, number: int) -> int:
        return number

    fan = Workflow("fan", version="1").pipe(many).add(one, after=many, mapped=True)
    made, recorder = bench(fan, point=_slowly), Recorder()
    executor = Executor(attrs.evolve(made.parts, observer=recorder), made.registry, Timing())
    await made.start(fan, 10)
    until = asyncio.get_running_loop().time() + LENGTH.total_seconds()
    for _ in range(2):
        leases = await made.store.claim(made.registry.routes(), limit=10, length=LENGTH, worker=WorkerId("w"))
        await asyncio.gather(*(executor.execute(lease, until, lambda: False) for lease in leases))
    folds = [int(word.partition(" ")[2]) for word in recorder.told if word.startswith("committed")]
    assert sum(folds) == 11
    assert max(folds) > 1


async def _slowly(_: str) -> None:
    """A store that takes its time, so that others come meanwhile."""
    await asyncio.sleep(0)


async def test_the_relay_tells_what_it_settled() -> None:
    made, recorder = bench(pair), Recorder()
    await made.store.add_sink(Sink())
    await made.start(pair, "x")
    parts = made.parts
    dispatcher = Dispatcher(parts.store, parts.clock, parts.ids)
    await Relay(parts.store, dispatcher, MemoryEventSink(), LeaseId("relay"), observer=recorder).tick()
    assert recorder.told == ["relayed default 1 0 0"]


async def test_each_of_several_observers_is_told_and_left_in_the_opposite_order() -> None:
    told: list[str] = []
    both = together(Recorder("a ", told=told), None, Recorder("b ", TRACE, told=told))
    assert both is not None
    with both.starting(WorkflowId("w"), 1) as trace:
        assert trace == TRACE
    assert told == ["a starting 1 w", "b starting 1 w", "b started", "a started"]
    told.clear()
    await executed(bench(pair), both, "fail")
    both.claimed([], 0.0)
    both.relayed(DEFAULT_SINK, 1, 2, 3)
    assert told == [
        *("a attempting obeys", "b attempting obeys", "a committing", "b committing", "a committed 1", "b committed 1"),
        *(
            "b ended failed",
            "a ended failed",
            "a claimed 0",
            "b claimed 0",
            "a relayed default 1 2 3",
            "b relayed default 1 2 3",
        ),
    ]
    alone = Recorder()
    assert (together(None, alone), together(None)) == (alone, None)


async def test_hosts_work_alike_with_nobody_watching() -> None:
    made = bench(pair)
    assert made.parts.observer is None
    assert await executed(made, None, "go") == "completed"


@pytest.mark.parametrize("config", [None, "{}", '{"a":{"b":1}}', '{"a":"}"}'])
async def test_a_config_carries_a_trace_and_gives_it_back(config: str | None) -> None:
    made = bench(pair)
    run = await made.client.run((await made.start(pair, "x")).id)
    given = None if config is None else Payload(config)
    carried = with_trace(given, TRACE)
    assert trace_of(attrs.evolve(run, config=carried)) == TRACE
    assert without_trace(carried) == (None if config == "{}" else given)
    assert trace_of(attrs.evolve(run, config=given)) is None
    assert without_trace(given) == given


@pytest.mark.parametrize("wrong", ["", "00-1-2-01", f"{TRACE}\n", TRACE.upper(), f'{TRACE}","x":"'])
def test_what_is_no_traceparent_is_not_carried(wrong: str) -> None:
    assert with_trace(Payload('{"a":1}'), wrong) == '{"a":1}'


@pytest.mark.parametrize(
    "config",
    [f'{{"a":{{"~trace":"{TRACE}"}}}}', f'{{"a":"{{\\"~trace\\":\\"{TRACE}\\"}}"}}', f'{{"x~trace":"{TRACE}"}}'],
)
async def test_a_stages_config_cannot_pass_for_a_trace(config: str) -> None:
    made = bench(pair)
    run = await made.client.run((await made.start(pair, "x")).id)
    assert trace_of(attrs.evolve(run, config=Payload(config))) is None
    assert without_trace(Payload(config)) == config
