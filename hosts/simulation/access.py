"""What bodies and their fakes may ask of the world they run in. ``effect`` is harmless in the real one."""

import asyncio
from types import TracebackType

from mainspring.hosts.simulation.lives import current_life
from mainspring.hosts.simulation.loop import SimLoop, SimulationError
from mainspring.hosts.simulation.outside import Outside
from mainspring.hosts.simulation.world import World


def outside() -> Outside:
    """The world's provider of whatever bodies call: a fake that is ready made.

    ``await outside().call("charge", key=…, token=…, value=…)`` does something, and gives the value. What was done is
    ``run.effects`` for an invariant.

    Raises:
        SimulationError: this is no simulated world.
    """
    world = _world()
    if world is None:
        raise SimulationError("outside() belongs to a simulated world, and this is none: simulate(…) makes them")
    return world.outside


class _Effect:
    """One effect outside."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._world: World | None = None

    async def __aenter__(self) -> None:
        self._world = _world()
        if self._world is not None:
            await self._world.point(f"effect {self._name}:before")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._world is not None and error is None:
            self._world.counts["effect"] += 1
            self._world.saw(f"outside: {self._name}", current_life())
            await self._world.point(f"effect {self._name}:after")


def effect(name: str) -> _Effect:
    """Stands around what a fake does, and makes it a place where things go wrong.

    ``async with effect("charge"): self.charges.append(cents)``. A simulated world may refuse it, lose its answer, stop
    the process or end it, before what stands inside and after. Anywhere else it does nothing, so that the same fake
    serves in ordinary tests.

    Raises:
        PortError: in a simulated world: it was refused, or done and its answer was lost.
    """
    return _Effect(name)


def _world() -> World | None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop.world if isinstance(loop, SimLoop) and isinstance(loop.world, World) else None


__all__ = ["SimulationError", "effect", "outside"]
