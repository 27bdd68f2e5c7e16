"""Several sinks of one process: none waits for another, neither in a worker nor in an invocation."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

import attrs
import pytest

from mainspring import Context, Mainspring, Outlet, Retry, workflow
from mainspring.adapters.memory import Fault
from mainspring.adapters.memory.event_sink import MemoryEventSink
from mainspring.hosts.serverless.host import ServerlessHost
from mainspring.hosts.upkeep.publishing import Publishing
from mainspring.hosts.upkeep.relay import Relay
from mainspring.hosts.upkeep.replayer import replay
from mainspring.kernel.decision import Command
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.outlets import register
from mainspring.ports.change import Change, OutboxSettlement
from mainspring.ports.errors import SettingsError, UnavailableError
from mainspring.ports.event_sink import UNTRIED
from mainspring.ports.names import LeaseId, SinkName
from mainspring.ports.records import Event
from mainspring.ports.sinks import DEFAULT_SINK, EventFilter, Sink
from tests.hosts.parts import Bench, ManualClock, bench

R = TypeVar("R")
AUDIT, SLOW = SinkName("audit"), SinkName("slow")
PATIENCE = 10.0


@workflow(version="1")
async def hello(ctx: Context, name: str) -> str:
    return f"hello {name}"


class Hanging:
    """A sink that answers never."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        self.asked.set()
        await asyncio.Event().wait()
        return []


class Ending:
    """A sink that tells when it heard of a run's end."""

    def __init__(self) -> None:
        self.types: list[str] = []
        self.over = asyncio.Event()

    async def publish(self, events: Sequence[Event]) -> list[str | None]:
        self.types += [event.type for event in events]
        if "run.completed" in self.types:
            self.over.set()
        return [None] * len(events)


def with_sinks(world: Bench, **outlets: Outlet) -> Bench:
    """The bench with these sinks beside its own."""
    sinks = {SinkName(name): outlet for name, outlet in outlets.items()}
    return attrs.evolve(world, parts=attrs.evolve(world.parts, sinks=sinks))


async def test_a_sink_that_hangs_holds_up_no_other() -> None:
    slow, quick = Hanging(), Ending()
    async with Mainspring("memory://", workflows=[hello], sink=slow, sinks={"quick": quick}) as engine:
        await engine.run(hello, "you")
        async with asyncio.timeout(PATIENCE):
            await slow.asked.wait()
            await quick.over.wait()
        assert quick.types == ["run.created", "run.started", "stage.started", "stage.completed", "run.completed"]
        waiting = await engine.parts.store.waiting_events(100)
        assert {one.sink for one in waiting} <= {DEFAULT_SINK, "quick"}
        assert sum(one.sink == DEFAULT_SINK for one in waiting) == 5


async def test_a_sink_in_an_outlet_gets_the_types_it_wants() -> None:
    ends = Ending()
    outlet = Outlet(ends, types=("run.completed",))
    async with Mainspring("memory://", workflows=[hello], sinks={"ends": outlet}) as engine:
        await engine.run(hello, "you")
        async with asyncio.timeout(PATIENCE):
            await ends.over.wait()
        assert await engine.parts.store.sinks() == [Sink(name=SinkName("ends"), types=("run.completed",))]
    assert ends.types == ["run.completed"]


@pytest.mark.parametrize("name", ["", "no blanks", "/", "a" * 101])
def test_a_name_that_is_none_is_refused_at_once(name: str) -> None:
    with pytest.raises(SettingsError, match="name"):
        Mainspring("memory://", sinks={name: MemoryEventSink()})


async def test_what_a_process_registers_joins_what_is_there() -> None:
    world = bench(hello)
    await world.store.add_sink(Sink(name=SLOW))
    await register(world.store, {AUDIT: Outlet(MemoryEventSink(), types=("run.*",)), DEFAULT_SINK: Outlet(Hanging())})
    assert await world.store.sinks() == [Sink(name=AUDIT, types=("run.*",)), Sink(), Sink(name=SLOW)]


@pytest.mark.parametrize(
    ("there", "here", "both"),
    [
        (("run.*", "stage.failed"), ("run.*",), ("run.*", "stage.failed")),
        (("run.created",), ("stage.*", "run.created"), ("run.created", "stage.*")),
        ((), ("run.*",), ()),
        (("run.*",), (), ()),
    ],
)
async def test_a_process_that_wants_less_takes_nothing_from_the_others(
    there: tuple[str, ...], here: tuple[str, ...], both: tuple[str, ...]
) -> None:
    world = bench(hello)
    await register(world.store, {AUDIT: Outlet(MemoryEventSink(), types=there)})
    await register(world.store, {AUDIT: Outlet(MemoryEventSink(), types=here)})
    assert await world.store.sinks() == [Sink(name=AUDIT, types=both)]


async def test_a_process_is_told_of_what_it_wants_though_the_store_writes_more() -> None:
    ends = Ending()
    async with Mainspring("memory://", workflows=[hello], sinks={"ends": Outlet(ends, types=("run.*",))}) as engine:
        await engine.parts.store.add_sink(Sink(name=SinkName("ends")))
        await engine.run(hello, "you")
        async with asyncio.timeout(PATIENCE):
            await ends.over.wait()
    assert ends.types == ["run.created", "run.started", "run.completed"]


async def test_in_an_invocation_a_sink_that_hangs_overruns_nothing_and_comes_last_the_next_time() -> None:
    hanging, taking = Hanging(), MemoryEventSink()
    world = with_sinks(bench(hello), hanging=Outlet(hanging), taking=Outlet(taking))
    world = attrs.evolve(world, parts=attrs.evolve(world.parts, sink=None))
    await register(world.store, world.parts.outlets)
    await world.start(hello, "you")
    host = ServerlessHost(world.parts, world.registry, margin=timedelta(seconds=1))
    loop = asyncio.get_running_loop()
    for published in (0, 1):
        until = loop.time() + 1.2
        async with asyncio.timeout(PATIENCE):
            report = await host.run_maintenance_tick(lambda until=until: timedelta(seconds=until - loop.time()))  # type: ignore[misc]
        assert (report.published, len(taking.published)) == (published, published)


async def test_an_invocation_gives_each_sink_a_batch_in_turn() -> None:
    order: list[str] = []

    class Noting:
        def __init__(self, name: str) -> None:
            self._name = name

        async def publish(self, events: Sequence[Event]) -> list[str | None]:
            order.append(self._name)
            return [None, *[UNTRIED] * (len(events) - 1)]

    world = with_sinks(bench(hello), first=Outlet(Noting("first")), second=Outlet(Noting("second")))
    await register(world.store, world.parts.outlets)
    for name in ("you", "me"):
        await world.start(hello, name)
    dispatcher = Dispatcher(world.store, world.parts.clock, world.parts.ids)
    publishing = Publishing(world.store, dispatcher, world.parts.sinks, world.parts.ids)
    assert await publishing.round(lambda: timedelta(seconds=9)) == (4, 0)
    assert order == ["first", "second"] * 2


async def test_each_sink_has_its_own_back_off_and_its_own_last_try() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    for name in (AUDIT, SLOW):
        await world.store.add_sink(Sink(name=name))
    await world.start(hello, "you")
    dispatcher = Dispatcher(world.parts.store, clock, world.parts.ids)
    refusing = MemoryEventSink(refuses=lambda event: "no")
    retry = Retry(max_attempts=2, initial=timedelta(seconds=5), jitter=0.0)
    for name in (AUDIT, SLOW):
        policy = retry if name == AUDIT else attrs.evolve(retry, max_attempts=3)
        relay = Relay(world.parts.store, dispatcher, refusing, LeaseId(name), name=name, retry=policy)
        for _ in range(2):
            await relay.tick()
            clock.advance(timedelta(seconds=5))
        await relay.close()
    assert [letter.sink for letter in await world.store.dead_letters(9)] == [AUDIT]
    assert [(one.sink, one.event.tries) for one in await world.store.waiting_events(9)] == [(SLOW, 2)]


async def test_an_invocation_publishes_to_one_sink_after_the_other_whatever_becomes_of_it() -> None:
    class Broken:
        async def publish(self, events: Sequence[Event]) -> list[str | None]:
            raise UnavailableError("the broker is gone")

    taking = MemoryEventSink()
    world = with_sinks(bench(hello), broken=Outlet(Broken()), taking=Outlet(taking))
    await register(world.store, world.parts.outlets)
    await world.start(hello, "you")
    report = await ServerlessHost(world.parts, world.registry).run_maintenance_tick()
    assert isinstance(world.parts.sink, MemoryEventSink)
    assert (report.published, len(taking.published), len(world.parts.sink.published)) == (2, 1, 1)
    assert [one.sink for one in await world.store.waiting_events(9)] == ["broken"]


async def test_a_store_that_fails_for_one_sink_leaves_the_others_their_turn() -> None:
    taking = MemoryEventSink()
    once = Fault("lease_relay:before", UnavailableError("away"))
    world = with_sinks(bench(hello, point=once), taking=Outlet(taking))
    await register(world.store, world.parts.outlets)
    await world.start(hello, "you")
    report = await ServerlessHost(world.parts, world.registry).run_maintenance_tick()
    assert once.met
    assert (report.published, len(taking.published)) == (1, 1)
    assert [one.sink for one in await world.store.waiting_events(9)] == [DEFAULT_SINK]


async def test_an_invocation_without_time_publishes_to_nobody() -> None:
    world = bench(hello)
    await world.store.add_sink(Sink())
    await world.start(hello, "you")
    report = await ServerlessHost(world.parts, world.registry).run_maintenance_tick(lambda: timedelta(seconds=1))
    assert report.published == 0
    assert len(await world.store.waiting_events(9)) == 1


@pytest.mark.fault(47)
async def test_what_dies_again_while_it_is_replayed_is_left_for_the_next_time() -> None:
    clock = ManualClock()
    world = bench(hello, clock=clock)
    await world.store.add_sink(Sink())
    run = await world.start(hello, "you")
    lease_id = LeaseId("relay")
    await world.store.lease_relay(lease_id, timedelta(hours=1))
    dead = Change(outbox=OutboxSettlement(lease_id=lease_id, dead=((run.id, 1, "no"),)))
    await world.store.commit(dead)

    class Relapsing(Dispatcher):
        """What it replays dies again, a moment later."""

        async def dispatch(self, command: Command[R]) -> R:
            answer = await super().dispatch(command)
            clock.advance(timedelta(seconds=1))
            await world.store.commit(dead)
            return answer

    relapsing = Relapsing(world.store, clock, world.parts.ids)
    moved = await replay(world.store, relapsing, EventFilter(sink=DEFAULT_SINK), limit=5, batch=1)
    assert moved == {DEFAULT_SINK: 1}
