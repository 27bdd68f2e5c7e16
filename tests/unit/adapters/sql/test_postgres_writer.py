"""The writer before a lane that fails as the test says: who is told what, what is asked again, and what never."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import psycopg
import pytest
from psycopg import errors

from mainspring.adapters.sql.postgres_connections import Connections, LostError
from mainspring.adapters.sql.postgres_location import locate
from mainspring.adapters.sql.postgres_writer import Writer
from mainspring.ports.change import Change, RunPatch
from mainspring.ports.errors import PortError, StaleChange, StoreFullError, UnavailableError, UnknownOutcomeError
from mainspring.ports.names import RunId

Answer = Callable[[Sequence[int]], list[tuple[int]]]


class Lane:
    """Answers each statement as the test says, told which Changes it would write."""

    location = locate("postgresql://user@host/orders")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[list[int]] = []
        self.slept: list[float] = []

    def lane(self, name: str) -> "Lane":
        assert name == "commit"
        return self

    async def ask(self, text: bytes, parameters: Sequence[Any]) -> list[tuple[int]]:
        ids = next(value for value in parameters if "-" in value)
        numbers = [int(each[-12:], 16) for each in ids.strip("{}").split(",")]
        self.asked.append(numbers)
        return self._answer(numbers)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def writer(self) -> Writer:
        return Writer(cast("Connections", self), self.sleep)


def changes(count: int) -> list[Change]:
    return [Change(run=RunPatch(run_id=RunId(f"019a0000-0000-7000-8000-{n:012x}"), revision=0)) for n in range(count)]


def raising(error: Exception, when: Callable[[Sequence[int]], bool] = lambda _: True) -> Answer:
    def answer(numbers: Sequence[int]) -> list[tuple[int]]:
        if when(numbers):
            raise error
        return []

    return answer


async def test_a_batch_is_one_statement() -> None:
    lane = Lane(lambda _: [])
    assert await lane.writer().write(changes(300)) == [None] * 300
    assert len(lane.asked) == 1


async def test_the_numbers_that_come_back_are_the_refused_ones() -> None:
    lane = Lane(lambda _: [(1,), (3,)])
    verdicts = await lane.writer().write(changes(5))
    assert [type(verdict) for verdict in verdicts] == [type(None), StaleChange, type(None), StaleChange, type(None)]


@pytest.mark.fault(5)
async def test_what_broke_off_is_of_unknown_outcome_for_all_and_is_never_sent_again() -> None:
    lane = Lane(raising(LostError("broke")))
    verdicts = await lane.writer().write(changes(7))
    assert [type(verdict) for verdict in verdicts] == [UnknownOutcomeError] * 7
    assert (len(lane.asked), lane.slept) == (1, [])


@pytest.mark.fault(75)
async def test_one_bad_row_is_found_by_halving() -> None:
    lane = Lane(raising(errors.NumericValueOutOfRange(), lambda numbers: 137 in numbers))
    verdicts = await lane.writer().write(changes(500))
    assert [n for n, verdict in enumerate(verdicts) if verdict is not None] == [137]
    assert len(lane.asked) <= 20


@pytest.mark.parametrize("kind", [errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable])
@pytest.mark.fault(57)
async def test_a_race_is_asked_again_whole_some_times_with_pauses(kind: type[psycopg.Error]) -> None:
    lane = Lane(raising(kind()))
    verdicts = await lane.writer().write(changes(4))
    assert [type(verdict) for verdict in verdicts] == [UnavailableError] * 4
    assert lane.asked == [[0, 1, 2, 3]] * len(lane.asked)
    assert 3 <= len(lane.asked) <= 12
    assert len(lane.slept) >= len(lane.asked) - 2
    assert all(pause <= 1 for pause in lane.slept)


async def test_a_race_that_ends_leaves_no_trace() -> None:
    left = [errors.DeadlockDetected(), errors.LockNotAvailable()]

    def answer(_: Sequence[int]) -> list[tuple[int]]:
        if left:
            raise left.pop()
        return []

    lane = Lane(answer)
    assert await lane.writer().write(changes(4)) == [None] * 4
    assert len(lane.asked) == 3


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.DiskFull(), StoreFullError),
        (errors.QueryCanceled(), UnavailableError),
        (errors.InsufficientPrivilege(), PortError),
        (errors.OutOfMemory(), UnavailableError),
    ],
    ids=repr,
)
@pytest.mark.fault(58, 68)
async def test_what_fails_for_all_is_told_to_all_at_once_and_not_halved(
    error: psycopg.Error, kind: type[PortError]
) -> None:
    lane = Lane(raising(error))
    verdicts = await lane.writer().write(changes(6))
    assert all(isinstance(verdict, kind) for verdict in verdicts)
    assert len(lane.asked) == 1


async def test_a_server_that_cannot_be_reached_leaves_no_outcome_unknown() -> None:
    with pytest.raises(UnavailableError, match="no route"):
        await Lane(raising(UnavailableError("no route"))).writer().write(changes(3))
