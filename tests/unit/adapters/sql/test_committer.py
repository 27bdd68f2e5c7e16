"""The committer against a writer that the test holds back."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar, copy_context

import pytest

from mainspring.adapters.sql.committer import Committer, Verdict
from mainspring.ports.change import Change, Wake
from mainspring.ports.errors import StaleChange, UnavailableError
from mainspring.ports.names import RunId
from tests.unit.adapters.sql.moments import NOW


def change(number: int) -> Change:
    return Change(wakes=(Wake(run_id=RunId(str(number)), at=NOW),))


class HeldWriter:
    """Keeps each batch until the test lets it go."""

    def __init__(self) -> None:
        self.batches: list[list[Change]] = []
        self.verdicts: dict[Change, Exception] = {}
        self.fails: Exception | None = None
        self.arrived = asyncio.Event()
        self.go = asyncio.Semaphore(0)

    async def write(self, changes: Sequence[Change]) -> list[Verdict]:
        self.batches.append(list(changes))
        self.arrived.set()
        await self.go.acquire()
        if self.fails is not None:
            raise self.fails
        return [self.verdicts.get(change) for change in changes]

    async def next_batch(self) -> list[Change]:
        await self.arrived.wait()
        self.arrived.clear()
        return self.batches[-1]


async def test_whoever_is_ready_joins_one_batch() -> None:
    writer = HeldWriter()
    committer = Committer(writer.write)
    waiting = [asyncio.create_task(committer.commit(change(number))) for number in range(10)]
    assert await writer.next_batch() == [change(number) for number in range(10)]
    writer.go.release()
    await asyncio.gather(*waiting)
    assert len(writer.batches) == 1


async def test_while_one_batch_is_written_the_next_fills() -> None:
    writer = HeldWriter()
    committer = Committer(writer.write)
    first = asyncio.create_task(committer.commit(change(0)))
    await writer.next_batch()
    rest = [asyncio.create_task(committer.commit(change(number))) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    assert len(writer.batches) == 1
    writer.go.release()
    assert await writer.next_batch() == [change(1), change(2), change(3)]
    assert first.done()
    assert not any(task.done() for task in rest)
    writer.go.release()
    await asyncio.gather(first, *rest)


async def test_a_commit_returns_only_when_its_batch_is_written() -> None:
    writer = HeldWriter()
    committer = Committer(writer.write)
    waiting = asyncio.create_task(committer.commit(change(0)))
    await writer.next_batch()
    await asyncio.sleep(0)
    assert not waiting.done()
    writer.go.release()
    await waiting


async def test_a_refused_change_takes_no_neighbour_along() -> None:
    writer = HeldWriter()
    writer.verdicts[change(1)] = StaleChange("stale")
    writer.go.release()
    committer = Committer(writer.write)
    verdicts = await asyncio.gather(*(committer.commit(change(n)) for n in range(3)), return_exceptions=True)
    assert verdicts[0] is None
    assert isinstance(verdicts[1], StaleChange)
    assert verdicts[2] is None


async def test_a_writer_that_fails_fails_its_batch_and_no_later_one() -> None:
    writer = HeldWriter()
    writer.fails = UnavailableError("gone")
    writer.go.release()
    committer = Committer(writer.write)
    verdicts = await asyncio.gather(*(committer.commit(change(n)) for n in range(3)), return_exceptions=True)
    assert [type(verdict) for verdict in verdicts] == [UnavailableError] * 3
    writer.fails = None
    writer.go.release()
    await committer.commit(change(4))


async def test_a_cancelled_waiter_hurts_neither_its_change_nor_its_neighbours() -> None:
    writer = HeldWriter()
    committer = Committer(writer.write)
    waiting = [asyncio.create_task(committer.commit(change(number))) for number in range(3)]
    await writer.next_batch()
    waiting[0].cancel()
    writer.go.release()
    verdicts = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(verdicts[0], asyncio.CancelledError)
    assert verdicts[1:] == [None, None]
    assert writer.batches == [[change(0), change(1), change(2)]]


async def test_the_first_waiters_cancellation_before_the_write_leaves_the_others_in_the_batch() -> None:
    writer = HeldWriter()
    committer = Committer(writer.write)
    waiting = [asyncio.create_task(committer.commit(change(number))) for number in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    writer.go.release()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert waiting[1].exception() is None


async def test_a_batch_has_a_largest_size() -> None:
    writer = HeldWriter()
    committer = Committer(writer.write, max_batch=4)
    for _ in range(3):
        writer.go.release()
    await asyncio.gather(*(committer.commit(change(number)) for number in range(10)))
    assert [len(batch) for batch in writer.batches] == [4, 4, 2]
    assert [written for batch in writer.batches for written in batch] == [change(number) for number in range(10)]


async def test_the_writing_task_carries_nothing_of_the_first_waiters_context() -> None:
    seen: list[str] = []
    current = ContextVar("current", default="nobody")

    async def write(changes: Sequence[Change]) -> list[Verdict]:
        seen.append(current.get())
        return [None for _ in changes]

    committer = Committer(write)
    current.set("a body")
    await committer.commit(change(0))
    assert seen == ["nobody"]


async def test_the_writing_task_stands_in_the_context_it_is_given() -> None:
    seen: list[str] = []
    process = ContextVar("process", default="nobody")

    async def write(changes: Sequence[Change]) -> list[Verdict]:
        seen.append(process.get())
        return [None for _ in changes]

    process.set("worker-1")
    committer = Committer(write, context=copy_context())
    process.set("worker-2")
    await committer.commit(change(0))
    assert seen == ["worker-1"]


async def test_drained_waits_for_everything_handed_in() -> None:
    writer = HeldWriter()
    committer = Committer(writer.write, max_batch=1)
    waiting = [asyncio.create_task(committer.commit(change(number))) for number in range(3)]
    await writer.next_batch()
    draining = asyncio.create_task(committer.drained())
    for _ in range(3):
        assert not draining.done()
        writer.go.release()
        await asyncio.sleep(0)
    await draining
    assert len(writer.batches) == 3
    await asyncio.gather(*waiting)


def test_one_committer_serves_several_loops_in_turn_even_after_one_was_torn_down_in_the_middle() -> None:
    written: list[Change] = []
    hold = True

    async def write(changes: Sequence[Change]) -> list[Verdict]:
        if hold:
            await asyncio.get_running_loop().create_future()
        written.extend(changes)
        return [None for _ in changes]

    committer = Committer(write)

    async def torn_down() -> None:
        left = asyncio.create_task(committer.commit(change(0)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not left.done()

    asyncio.run(torn_down())
    hold = False
    for number in (1, 2):
        asyncio.run(committer.commit(change(number)))
    assert written == [change(1), change(2)]


async def test_an_error_of_the_writer_keeps_its_type_for_every_waiter() -> None:
    async def write(_: Sequence[Change]) -> list[Verdict]:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await Committer(write).commit(change(0))
