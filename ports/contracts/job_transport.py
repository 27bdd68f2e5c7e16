"""The suite of JobTransport: hints arrive soon, wake who waits, and are not lost between two calls."""

import asyncio
from datetime import timedelta

from mainspring.ports.job_transport import JobTransport
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Pointer

LONG = timedelta(seconds=60)
"""Longer than any test may take: only a hint ends the wait."""

_PATIENCE = 30.0
"""Seconds after which a suite says that a hint never came."""


def pointer(number: int) -> Pointer:
    """A pointer to some job."""
    return Pointer(run_id=RunId(f"019a0000-0000-7000-8000-{number:012x}"), stage=StageId("hello"), index=number)


class JobTransportContract:
    """What a worker may rely on."""

    #: Hints tell which job. A database transport's hint only says "look".
    carries_pointers = True
    #: A hint that was settled with ``again_after`` comes again by itself.
    redelivers = True
    #: How long a hint may be kept back, for the test of it; None: hints of jobs due later are not sent at all.
    delays: timedelta | None = timedelta(milliseconds=20)

    async def open(self) -> JobTransport:
        """A transport with nothing in it."""
        raise NotImplementedError

    async def _opened(self) -> JobTransport:
        self.transport = await self.open()
        return self.transport

    async def finish(self) -> None:
        """Close what the test opened; to be called after each."""
        await self.transport.close()

    async def test_a_hint_sent_before_is_received(self) -> None:
        transport = await self._opened()
        await transport.send([pointer(1)])
        async with asyncio.timeout(_PATIENCE):
            hints = await transport.receive(10, LONG)
        assert len(hints) == 1
        assert hints[0].pointer == (pointer(1) if self.carries_pointers else None)
        await transport.settle(hints[0])

    async def test_a_hint_wakes_a_waiting_receiver(self) -> None:
        transport = await self._opened()
        waiting = asyncio.create_task(transport.receive(10, LONG))
        await asyncio.sleep(0)
        await transport.send([pointer(1)])
        async with asyncio.timeout(_PATIENCE):
            hints = await waiting
        assert hints
        for hint in hints:
            await transport.settle(hint)

    async def test_a_hint_sent_between_two_calls_is_not_lost(self) -> None:
        transport = await self._opened()
        for number in range(5):
            await transport.send([pointer(number)])
            async with asyncio.timeout(_PATIENCE):
                hints = await transport.receive(10, LONG)
            assert hints
            for hint in hints:
                await transport.settle(hint)

    async def test_without_hints_the_wait_passes_and_the_answer_is_empty(self) -> None:
        transport = await self._opened()
        async with asyncio.timeout(_PATIENCE):
            assert await transport.receive(10, timedelta(0)) == []
            assert await transport.receive(10, timedelta(milliseconds=5)) == []

    async def test_no_more_hints_than_the_limit_come_at_once_and_none_is_lost(self) -> None:
        transport = await self._opened()
        sent = [pointer(number) for number in range(7)]
        await transport.send(sent)
        received: list[Pointer | None] = []
        async with asyncio.timeout(_PATIENCE):
            while len(received) < (7 if self.carries_pointers else 1):
                hints = await transport.receive(3, LONG)
                assert 0 < len(hints) <= 3
                received += [hint.pointer for hint in hints]
                for hint in hints:
                    await transport.settle(hint)
        if self.carries_pointers:
            assert set(received) == set(sent)

    async def test_a_hint_put_off_comes_again(self) -> None:
        transport = await self._opened()
        if not self.redelivers:
            return
        await transport.send([pointer(1)])
        async with asyncio.timeout(_PATIENCE):
            (hint,) = await transport.receive(10, LONG)
            await transport.settle(hint, again_after=timedelta(milliseconds=1))
            (again,) = await transport.receive(10, LONG)
        assert again.pointer == hint.pointer
        await transport.settle(again)

    async def test_a_hint_of_a_job_due_later_comes_then_or_not_at_all(self) -> None:
        transport = await self._opened()
        after = self.delays or timedelta(milliseconds=20)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await transport.send([pointer(1)], after=after)
        assert await transport.receive(10, timedelta(0)) == []
        if self.delays is None:
            assert await transport.receive(10, after * 2) == []
            return
        async with asyncio.timeout(_PATIENCE):
            (hint,) = await transport.receive(10, LONG)
        assert loop.time() - began >= after.total_seconds() * 0.9  # the service's clock is another one
        assert hint.pointer == (pointer(1) if self.carries_pointers else None)
        await transport.settle(hint)

    async def test_a_receiver_that_gives_up_takes_no_hint_along(self) -> None:
        transport = await self._opened()
        waiting = asyncio.create_task(transport.receive(10, LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await transport.send([pointer(1)])
        async with asyncio.timeout(_PATIENCE):
            assert await transport.receive(10, LONG)

    async def test_closing_lets_waiting_receivers_go(self) -> None:
        transport = await self._opened()
        waiting = asyncio.create_task(transport.receive(10, LONG))
        await asyncio.sleep(0)
        await transport.close()
        async with asyncio.timeout(_PATIENCE):
            assert await waiting == []

    async def test_sending_nothing_is_harmless(self) -> None:
        transport = await self._opened()
        await transport.send([])
