"""Scheduling points: where a test may step between a caller and the memory adapters.

Every effect passes ``<method>:before`` and ``<method>:after``. What a hook raises at ``before`` means that nothing was
done; at ``after``, that it was done, yet the caller does not know.
"""

from collections.abc import Awaitable, Callable

Point = Callable[[str], Awaitable[None]]
"""Awaited with the name of the point; may suspend, or raise whatever the caller is to meet."""


async def straight_on(name: str) -> None:
    """The default hook: never suspends, so that a driver without an event loop can run the adapters."""
