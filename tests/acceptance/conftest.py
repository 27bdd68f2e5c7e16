"""Every acceptance test runs on every deployment."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from mainspring import Mainspring, Workflow
from tests.acceptance.deployments import DEPLOYMENTS

Engines = Callable[..., AbstractAsyncContextManager[Mainspring]]


@pytest.fixture(params=list(DEPLOYMENTS))
def engine_with(request: pytest.FixtureRequest, tmp_path: Path) -> Engines:
    """``async with engine_with(workflow, …) as engine:`` on one deployment."""
    deployment = DEPLOYMENTS[request.param]

    def enter(*workflows: Workflow[Any, Any]) -> AbstractAsyncContextManager[Mainspring]:
        return deployment(tmp_path, list(workflows))

    return enter
