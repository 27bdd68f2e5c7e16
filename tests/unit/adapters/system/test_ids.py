"""Ids of this machine: of the right form, ascending, never twice, whatever clocks, threads and forks do."""

import gc
import os
import threading
import time
import weakref
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest

from mainspring.adapters.system import SystemClock, SystemIds
from mainspring.ports.clock import Clock, Ids


def test_the_clock_tells_aware_utc_time() -> None:
    clock: Clock = SystemClock()
    before = datetime.now(UTC)  # noqa: TID251  what it is compared with
    now = clock.now()
    assert now.tzinfo is UTC
    assert timedelta() <= now - before < timedelta(seconds=10)


def test_a_run_id_is_a_uuid_of_version_7_that_holds_the_time() -> None:
    ids: Ids = SystemIds()
    before = time.time_ns() // 1_000_000
    text = ids.new_run_id()
    after = time.time_ns() // 1_000_000
    found = UUID(text)
    assert (str(found), found.version, found.variant, len(text)) == (text, 7, RFC_4122, 36)
    assert before <= found.int >> 80 <= after


def test_a_lease_id_is_a_uuid_of_version_4() -> None:
    ids = SystemIds()
    for _ in range(2000):
        text = ids.new_lease_id()
        found = UUID(text)
        assert (str(found), found.version, found.variant) == (text, 4, RFC_4122)


def test_run_ids_ascend_and_none_comes_twice() -> None:
    ids = SystemIds()
    made = [ids.new_run_id() for _ in range(50_000)]
    assert made == sorted(made)
    assert len(set(made)) == 50_000


def test_lease_ids_and_random_numbers_are_all_different() -> None:
    ids = SystemIds()
    assert len({ids.new_lease_id() for _ in range(20_000)}) == 20_000
    numbers = {ids.random() for _ in range(1000)}
    assert len(numbers) == 1000
    assert all(0 <= number < 1 for number in numbers)


def test_every_random_bit_of_a_lease_id_is_used() -> None:
    ids = SystemIds()
    made = [UUID(ids.new_lease_id()).int for _ in range(500)]
    fixed = [bit for bit in range(128) if len({one >> bit & 1 for one in made}) == 1]
    assert fixed == [62, 63, 76, 77, 78, 79]


@pytest.mark.parametrize("step", [0, -1, -3_600_000_000_000], ids=["stands still", "steps back", "an hour back"])
def test_run_ids_ascend_although_the_clock_does_not(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    now = 1_800_000_000_000_000_000
    readings = iter(range(10**9))
    monkeypatch.setattr(time, "time_ns", lambda: now + step * next(readings))
    ids = SystemIds()
    made = [ids.new_run_id() for _ in range(10_000)]  # more than fit into a millisecond
    assert made == sorted(made)
    assert len(set(made)) == 10_000
    assert {UUID(one).version for one in made} == {7}
    assert (UUID(made[-1]).int >> 80) - now // 1_000_000 == 2


def test_threads_share_ids_without_repeating_one() -> None:
    ids = SystemIds()
    made: list[list[str]] = [[] for _ in range(4)]

    def work(mine: list[str]) -> None:
        for _ in range(5000):
            mine += (ids.new_run_id(), ids.new_lease_id())

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for mine in made for one in mine}) == 40_000


@pytest.mark.parametrize("held", [False, True], ids=["free", "while another thread holds the lock"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_ids_of_its_own(*, held: bool) -> None:
    ids = SystemIds()
    ids.new_lease_id()  # a block of randomness is there to be inherited
    reader, writer = os.pipe()
    if held:
        ids._lock.acquire()  # pyright: ignore[reportPrivateUsage]
    child = os.fork()
    if child == 0:
        made = [ids.new_lease_id() if number % 2 else ids.new_run_id() for number in range(100)]
        os.write(writer, "\n".join(made).encode())
        os._exit(0)
    if held:
        ids._lock.release()  # pyright: ignore[reportPrivateUsage]
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        theirs = stream.read().decode().split("\n")
    _, status = os.waitpid(child, 0)
    mine = [ids.new_lease_id() if number % 2 else ids.new_run_id() for number in range(100)]
    assert status == 0
    assert len({*theirs, *mine}) == 200
    assert not {one[19:] for one in theirs} & {one[19:] for one in mine}


def test_forgotten_ids_are_not_kept_alive_by_the_fork_handler() -> None:
    ids = SystemIds()
    gone = weakref.ref(ids)
    del ids
    gc.collect()
    assert gone() is None
