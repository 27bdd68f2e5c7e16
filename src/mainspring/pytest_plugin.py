"""The pytest plugin: the fixture ``simulated``. Rule: what it stands on is imported when a test asks for it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from mainspring import Workflow
    from mainspring.testing import SimulatedEngine

T = TypeVar("T")


class Simulated(Protocol):
    """What the fixture is; see ``mainspring.testing.in_virtual_time``."""

    def __call__(self, scenario: "Callable[[SimulatedEngine], Awaitable[T]]", /, *workflows: "Workflow[Any, Any]") -> T:
        """Run the scenario; its value."""
        ...


@pytest.fixture
def simulated() -> Simulated:
    """Runs a scenario against an engine with a real worker, on virtual time: ``simulated(scenario, workflow, …)``."""
    from mainspring.testing import in_virtual_time

    return in_virtual_time
