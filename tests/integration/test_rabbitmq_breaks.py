"""A broker that is stopped, killed, paused, emptied and cut off while jobs go through it: nothing confirmed is lost.

Rule: what counts is what the transport itself confirmed. A queue that is deleted takes its messages along: those are
excused (upkeep announces such jobs again), nothing else is.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest

from mainspring.adapters.rabbitmq.job_transport import RabbitJobTransport
from mainspring.adapters.rabbitmq.link import Timing
from mainspring.ports.contracts.job_transport import pointer
from mainspring.ports.errors import UnavailableError
from tests.rabbitmq.looking import channel
from tests.rabbitmq.server import PrivateRabbit, RabbitServer

BREAKS = int(os.environ.get("MAINSPRING_TEST_RABBIT_BREAKS", "5"))
CALLERS = 20
ON_THEIR_WAY = 200  # messages that are sent and not yet received
BACK = 30.0  # seconds: a generous bound on a busy machine; what it took is printed

_TIMING = Timing(look=1.0, answer=2.0, patience=3.0)


class Load:
    """Senders and a receiver, each as a process of its own has them."""

    def __init__(self, url: str) -> None:
        self.sender = RabbitJobTransport(url, timing=_TIMING)
        self.receiver = RabbitJobTransport(url, timing=_TIMING)
        self.sent = 0
        self.refused = 0
        self.confirmed: set[int] = set()
        self.received: Counter[int] = Counter()
        self.excused: set[int] = set()
        self.stopping = False
        self.room = asyncio.Semaphore(ON_THEIR_WAY)
        self._news = asyncio.Event()

    async def send(self) -> None:
        while not self.stopping:
            await self.room.acquire()
            self.sent += 1
            number = self.sent
            try:
                await self.sender.send([pointer(number)])
            except UnavailableError:
                self.refused += 1
                self.room.release()
            else:
                self.confirmed.add(number)

    async def receive(self) -> None:
        while True:
            try:
                hints = await self.receiver.receive(50, timedelta(seconds=5))
            except UnavailableError:  # it was away for all of the wait
                continue
            for hint in hints:
                assert hint.pointer is not None
                if not self.received[hint.pointer.index]:
                    self.room.release()
                self.received[hint.pointer.index] += 1
                await self.receiver.settle(hint)
            self._news.set()

    async def until(self, reached: Callable[[], bool]) -> float:
        """Seconds until it is so."""
        began = time.monotonic()
        async with asyncio.timeout(BACK):
            while not reached():
                self._news.clear()
                await self._news.wait()
        return time.monotonic() - began

    def newer_than(self, number: int) -> bool:
        """Whether something was received that was sent after that one."""
        return max(self.received, default=0) > number

    def lost(self) -> set[int]:
        return self.confirmed - set(self.received) - self.excused

    def excuse(self) -> None:
        """What is in the queue now goes with it."""
        gone = set(range(1, self.sent + 1)) - set(self.received) - self.excused
        self.excused |= gone
        for _ in gone & self.confirmed:
            self.room.release()


@asynccontextmanager
async def loaded(url: str) -> AsyncGenerator[Load]:
    load = Load(url)
    async with asyncio.TaskGroup() as tasks:
        senders = [tasks.create_task(load.send()) for _ in range(CALLERS)]
        receiver = tasks.create_task(load.receive())
        yield load
        load.stopping = True
        for _ in senders:
            load.room.release()
        await asyncio.wait(senders)
        await load.until(lambda: not load.lost())
        receiver.cancel()
    await load.sender.close()
    await load.receiver.close()


async def stopped(server: RabbitServer, load: Load) -> None:
    await asyncio.to_thread(server.stop, "term")
    await asyncio.to_thread(server.start)


async def killed(server: RabbitServer, load: Load) -> None:
    await asyncio.to_thread(server.stop, "kill")
    await asyncio.to_thread(server.start)


async def cut_off(server: RabbitServer, load: Load) -> None:
    await asyncio.to_thread(server.close_connections)


async def deleted(server: RabbitServer, load: Load) -> None:
    async with channel(server.address) as made:
        await made.queue_delete(load.receiver.queue)
    load.excuse()


async def paused(server: RabbitServer, load: Load) -> None:
    assert isinstance(server, PrivateRabbit)
    server.pause()
    try:
        while load.receiver.receiving.current is not None or load.sender.sending.current is not None:
            await asyncio.sleep(0.05)
    finally:
        server.go_on()


#: A queue is never made and the broker killed in the same moment: RabbitMQ 3.10 then has the queue, and cannot open it.
KINDS: list[Callable[[RabbitServer, Load], Awaitable[None]]] = [stopped, killed, cut_off, paused, deleted]


@pytest.mark.fault(36, 37, 38, 39)
@pytest.mark.timeout(120 + 40 * BREAKS)
async def test_no_confirmed_message_is_lost_whatever_happens_to_the_broker(
    rabbitmq: RabbitServer, rabbit_queue: str
) -> None:
    took: list[str] = []
    async with loaded(rabbit_queue) as load:
        await load.until(lambda: len(load.received) > 100)
        for number in range(BREAKS):
            breaking = KINDS[number % len(KINDS)]
            await breaking(rabbitmq, load)
            seconds = await load.until(partial(load.newer_than, load.sent))
            took.append(f"{breaking.__name__} {seconds:.2f} s")
    again = sum(load.received.values()) - len(load.received)
    counts = f"{len(load.confirmed)} confirmed, {load.refused} refused, {again} came again"
    print(f"{counts}; back after {', '.join(took)}")  # noqa: T201  with pytest -s
    assert not load.lost()
