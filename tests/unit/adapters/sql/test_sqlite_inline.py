"""What the shared database in memory adds to its contract: points to step in at, and ends that leave nothing open."""

# pyright: reportPrivateUsage=false

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest

from mainspring.adapters.memory import Fault, ManualClock, SeededIds
from mainspring.adapters.sql.sqlite import SQLitePersistence
from mainspring.adapters.sql.sqlite_inline import SharedDatabase, sqlite_template
from mainspring.adapters.sql.sqlite_transaction import Transaction
from mainspring.ports.errors import SchemaError, UnavailableError, UnknownOutcomeError
from mainspring.ports.names import LeaseId, Route, WorkerId
from mainspring.ports.sinks import DEFAULT_SINK, Sink

T = TypeVar("T")

LENGTH = timedelta(seconds=30)
WORKER = WorkerId("worker-1")
LEASE = LeaseId("00000000-0000-4000-8000-000000000001")


class ProcessDied(BaseException):
    """A crash: no ``except Exception`` sees it."""


class DeadlyClock(ManualClock):
    """Ends the process that asks it for the time, once armed."""

    armed = False

    def now(self) -> datetime:
        if self.armed:
            raise ProcessDied
        return super().now()


class Open:
    """A database and its clock; each client is a process of its own."""

    def __init__(self) -> None:
        self.clock = DeadlyClock()
        self.database = SharedDatabase(self.clock)
        self.made = 0

    def client(self, point: Callable[[str], Awaitable[None]] | None = None) -> SQLitePersistence:
        self.made += 1
        ids = SeededIds(ManualClock(), self.made)
        return self.database.client(ids) if point is None else self.database.client(ids, point)


@pytest.fixture
def opened() -> Iterator[Open]:
    found = Open()
    yield found
    found.database.close()


async def test_each_piece_of_work_can_be_met_before_and_after(opened: Open) -> None:
    met: list[str] = []

    async def note(name: str) -> None:
        met.append(name)

    store = opened.client(note)
    await store.workers()
    await store.claim((Route("r"),), limit=1, length=LENGTH, worker=WORKER)
    assert met == ["read:before", "read:after", "write:before", "write:after"]


async def test_what_fails_before_was_not_done_and_what_fails_after_was(opened: Open) -> None:
    early = opened.client(Fault("write:before", UnavailableError("planted")))
    late = opened.client(Fault("write:after", UnknownOutcomeError("planted")))
    with pytest.raises(UnavailableError, match="planted"):
        await early.add_sink(Sink())
    assert not await late.sinks()
    with pytest.raises(UnknownOutcomeError, match="planted"):
        await late.add_sink(Sink())
    assert await early.sinks()


async def test_what_sqlite_refuses_is_told_in_the_ports_words_after_its_point(opened: Open) -> None:
    met: list[str] = []

    async def note(name: str) -> None:
        met.append(name)

    store = opened.client(note)

    def spoil(tx: Transaction) -> None:
        tx.execute("drop table workers")

    await store._thread.write(spoil)
    with pytest.raises(SchemaError, match="workers"):
        await store.workers()
    with pytest.raises(SchemaError, match="workers"):
        await store.forget_worker(WORKER)
    assert met[2:] == ["read:before", "read:after", "write:before", "write:after"]


async def test_a_client_held_at_a_point_holds_up_no_other(opened: Open) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def hold(name: str) -> None:
        if name == "write:before":
            arrived.set()
            await go_on.wait()

    taking = asyncio.create_task(opened.client(hold).lease_relay(LEASE, LENGTH))
    await arrived.wait()
    assert await opened.client().lease_relay(LeaseId("another"), LENGTH)
    go_on.set()
    assert not await taking


async def test_a_client_closed_while_it_is_held_writes_nothing(opened: Open) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_: str) -> None:
        arrived.set()
        await go_on.wait()

    store = opened.client(hold)
    writing = asyncio.create_task(store.add_sink(Sink()))
    await arrived.wait()
    await store.close()
    go_on.set()
    with pytest.raises(UnavailableError, match="closed"):
        await writing
    assert not await opened.client().sinks()


async def test_a_process_that_dies_within_its_transaction_leaves_none_open(opened: Open) -> None:
    store = opened.client()
    opened.clock.armed = True
    with pytest.raises(ProcessDied):
        await store.lease_relay(LEASE, LENGTH)
    opened.clock.armed = False
    assert await opened.client().lease_relay(LeaseId("another"), LENGTH)


async def test_clients_of_a_closed_database_are_unavailable(opened: Open) -> None:
    store = opened.client()
    opened.database.close()
    opened.database.close()
    with pytest.raises(UnavailableError, match="closed"):
        await store.workers()


async def test_databases_of_one_template_share_nothing(opened: Open) -> None:
    await opened.client().add_sink(Sink())
    other = Open()
    assert not await other.client().sinks()
    other.database.close()


async def test_a_template_may_say_that_events_are_written(opened: Open) -> None:
    database = SharedDatabase(opened.clock, sqlite_template(sinks=(DEFAULT_SINK,)))
    assert await database.client(SeededIds(opened.clock)).sinks()
    assert not await opened.client().sinks()
    database.close()


async def test_whoever_polls_starves_nobody(opened: Open) -> None:
    store = opened.client()
    writing = asyncio.create_task(store.add_sink(Sink()))
    polls = 0
    while not await store.sinks():
        polls += 1
        assert polls < 10
    await writing


def driven(call: Coroutine[Any, Any, T]) -> T:
    """Run it without an event loop, which would ask the system for the time itself."""
    try:
        while True:
            call.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer


def test_neither_a_thread_nor_the_systems_time_is_used(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def escaped(*_: object) -> float:
        raise AssertionError("it left the simulated world")

    with monkeypatch.context() as patched:
        for name in ("time", "monotonic", "sleep"):
            patched.setattr(time, name, escaped)
        patched.setattr(threading.Thread, "start", escaped)
        driven(opened.client().add_sink(Sink()))
        written = driven(opened.client().sinks())
        leases = driven(opened.client().claim((Route("r"),), limit=1, length=LENGTH, worker=WORKER))
    assert written
    assert leases == []
