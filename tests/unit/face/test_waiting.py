"""Waiting for a run: nobody waits for ever for one that is not there, was swept meanwhile, or ended unheard."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from mainspring import Context, client, workflow
from mainspring.client import Client
from mainspring.errors import NotFoundError, UnavailableError
from mainspring.handles import RunHandle
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.names import Payload, RunId
from mainspring.ports.records import Run, RunStatus
from mainspring.requests import StartOptions
from tests.hosts.parts import bench

SOON = timedelta(milliseconds=1)


@workflow(version="1")
async def echo(ctx: Context, name: str) -> str:
    return name


class Store:
    """Says of a run, one look after the other, what the test has it say; then what is so."""

    def __init__(self, store: Any, *says: Any) -> None:
        self._store = store
        self._says = list(says)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def run(self, run_id: RunId) -> Run | None:
        run: Run | None = await self._store.run(run_id)
        says = self._says.pop(0) if self._says else "so"
        if isinstance(says, Exception):
            raise says
        if says == "gone":
            return None
        return attrs.evolve(run, status=RunStatus.COMPLETED, output=Payload('"x"')) if says == "over" and run else run


async def waited(monkeypatch: pytest.MonkeyPatch, *says: Any) -> tuple[Client, RunHandle[str]]:
    monkeypatch.setattr(client, "FIRST_LOOK", SOON)
    monkeypatch.setattr(client, "SELDOM", 2)
    world = bench(echo)
    store: Any = Store(world.store, *says)
    parts = attrs.evolve(world.parts, store=store)
    one = Client(parts, world.registry, Dispatcher(store, parts.clock, parts.ids))
    return one, await one.start(echo, "x", StartOptions())


async def test_a_run_that_is_swept_while_it_is_waited_for_is_not_waited_for_any_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, handle = await waited(monkeypatch, "so", "so", "gone")
    with pytest.raises(NotFoundError, match="no run"):
        await handle.result(timeout=10)
    await one.results.close()


async def test_a_run_that_ended_unheard_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    one, handle = await waited(monkeypatch, "so", "over")
    assert await handle.result(timeout=10) == "x"
    await one.results.close()


async def test_a_store_that_is_away_is_told_at_first_and_borne_later(monkeypatch: pytest.MonkeyPatch) -> None:
    one, handle = await waited(monkeypatch, UnavailableError("away"))
    with pytest.raises(UnavailableError):
        await handle.result(timeout=10)
    two, handle = await waited(monkeypatch, "so", UnavailableError("away"), UnavailableError("away"), "over")
    assert await handle.result(timeout=10) == "x"
    await one.results.close()
    await two.results.close()
