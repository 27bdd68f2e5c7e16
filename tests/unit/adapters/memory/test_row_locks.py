"""The table of row locks by itself: time-outs and cancelled waits."""

import asyncio
from datetime import timedelta

from mainspring.adapters.memory.row_locks import Holder, LockKey, RowLocks
from tests.unit.adapters.memory.servers import begun, turns

A: LockKey = (0, "a")
B: LockKey = (0, "b")
HOUR = timedelta(hours=1)


async def test_the_time_out_of_a_wait_that_is_over_ends_no_later_wait() -> None:
    locks, one, two, waiter = RowLocks(), Holder(), Holder(), Holder()
    await locks.lock(one, [A], HOUR)
    await locks.lock(two, [B], HOUR)
    first = asyncio.create_task(locks.lock(waiter, [A], timedelta()))
    await asyncio.sleep(0)  # it waits, and its time is up at the next turn
    locks.release(one)
    second = asyncio.create_task(locks.lock(waiter, [B], HOUR))
    await turns()
    assert first.done()
    assert not second.done()
    locks.release(two)
    await asyncio.gather(first, second)
    assert list(waiter.held) == [A, B]


async def test_a_lock_is_not_handed_to_a_wait_that_was_cancelled() -> None:
    locks, holder, cancelled, waiter = RowLocks(), Holder(), Holder(), Holder()
    await locks.lock(holder, [A], HOUR)
    cancelling = await begun(locks.lock(cancelled, [A], HOUR))
    waiting = await begun(locks.lock(waiter, [A], HOUR))
    cancelling.cancel()
    locks.release(holder)  # before the cancelled task had its turn
    await waiting
    assert list(waiter.held) == [A]
    assert not cancelled.held
    locks.release(cancelled)
    locks.release(waiter)
    assert len(locks) == 0
