"""start_many: two batches under way at most; what was begun is told of, and nothing is left alone when one fails."""

import asyncio
from typing import Any

import attrs
import pytest

from mainspring import Context, starting, workflow
from mainspring.client import Client
from mainspring.errors import UnavailableError
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.change import Change
from mainspring.ports.records import RunFilter
from mainspring.requests import StartOptions
from tests.hosts.parts import bench


@workflow(version="1")
async def echo(ctx: Context, name: str) -> str:
    return name


class Store:
    """Creates runs slowly; some not at all."""

    def __init__(self, store: Any, *refused: str) -> None:
        self._store = store
        self._refused = refused
        self.under_way = self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: Change) -> None:
        assert change.create is not None
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.005)
            if change.create.input in self._refused:
                raise UnavailableError("away")
            await self._store.commit(change)
        finally:
            self.under_way -= 1


def place(monkeypatch: pytest.MonkeyPatch, *refused: str) -> tuple[Client, Store]:
    monkeypatch.setattr(starting, "BATCH", 2)
    world = bench(echo)
    store: Any = Store(world.store, *refused)
    parts = attrs.evolve(world.parts, store=store)
    return Client(parts, world.registry, Dispatcher(store, parts.clock, parts.ids)), store


async def there(one: Client) -> list[str]:
    return sorted(run.input for run in (await one.runs(RunFilter())).runs)


async def test_two_batches_are_under_way_at_most_and_handles_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    one, store = place(monkeypatch)
    handles = await one.start_many(echo, [str(number) for number in range(9)], None, StartOptions())
    assert [(await one.run(handle.id)).input for handle in handles] == [f'"{number}"' for number in range(9)]
    assert store.most == 4


async def test_after_a_failure_nothing_new_is_begun_and_nothing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = place(monkeypatch, '"1"')
    with pytest.raises(UnavailableError):
        await one.start_many(echo, [str(number) for number in range(9)], None, StartOptions())
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert await there(one) == ['"0"', '"2"', '"3"']


async def test_a_failure_of_the_last_batch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = place(monkeypatch, '"2"')
    with pytest.raises(UnavailableError):
        await one.start_many(echo, ["0", "1", "2"], None, StartOptions())
    assert await there(one) == ['"0"', '"1"']


async def test_who_is_cancelled_leaves_no_batch_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = place(monkeypatch)
    waiting = asyncio.create_task(one.start_many(echo, [str(number) for number in range(9)], None, StartOptions()))
    await asyncio.sleep(0.002)
    waiting.cancel()
    await asyncio.wait([waiting])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert await there(one) == []
