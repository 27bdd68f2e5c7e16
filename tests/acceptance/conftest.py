"""Every acceptance test runs on every deployment."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from mainspring import Mainspring, Workflow
from tests.acceptance.deployments import DEPLOYMENTS, Place, StoreName

Engines = Callable[..., AbstractAsyncContextManager[Mainspring]]


def new_place(store: StoreName, request: pytest.FixtureRequest, folder: Path) -> Place:
    """A store of the test's own."""
    if store == "postgres":
        return Place(request.getfixturevalue("database"), str(folder / "blobs"))
    return Place("memory://" if store == "memory" else f"sqlite:///{folder / 'store.db'}")


@pytest.fixture(params=list(DEPLOYMENTS))
def engine_with(request: pytest.FixtureRequest, tmp_path: Path) -> Engines:
    """``async with engine_with(workflow, …) as engine:`` on one deployment."""
    store, shape = DEPLOYMENTS[request.param]
    place = new_place(store, request, tmp_path)

    def enter(*workflows: Workflow[Any, Any]) -> AbstractAsyncContextManager[Mainspring]:
        return shape(place, list(workflows))

    return enter
