"""The outside world: a provider that bodies call, which counts what was done to it.

Asked to, it honours idempotency keys (a repeated key changes nothing and gets the first answer) and refuses fencing
tokens older than one it has seen — the two ways in which at-least-once execution becomes an effect exactly once.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from mainspring.hosts.simulation.lives import Life, current_life


class StaleTokenError(Exception):
    """A caller with a newer fencing token was here before: this one has lost its lease."""


@attrs.frozen
class Effect:
    """One call that changed something outside."""

    name: str
    key: str
    token: int
    at: float  #: seconds since the world began
    life: str
    value: Any


class Outside:
    """A provider of the world.

    Args:
        point: passed before and after every effect.
        clock: seconds since the world began.
        counts: where what happens is counted.
        saw: told of every effect.
    """

    honours_keys = False  #: whether a repeated idempotency key changes nothing
    fences = False  #: whether a token older than one it saw is refused

    def __init__(
        self,
        point: Callable[[str], Awaitable[None]],
        clock: Callable[[], float],
        counts: Counter[str],
        saw: Callable[[str, Life | None], None],
    ) -> None:
        self.effects: list[Effect] = []
        self.calls: Counter[tuple[str, str]] = Counter()  #: by name and key, refused ones left out
        self._point = point
        self._clock = clock
        self._counts = counts
        self._saw = saw
        self._answers: dict[tuple[str, str], Any] = {}
        self._newest: dict[str, int] = {}

    async def call(self, name: str, *, key: str, token: int = 0, value: Any = None) -> Any:
        """Do something outside; the value, or the first call's under the same key where keys are honoured.

        Raises:
            StaleTokenError: tokens are honoured, and a newer one was seen for the key.
            PortError: the call failed; it was done, or not.
        """
        await self._point(f"effect {name}:before")
        answer = self._do(name, key, token, value)
        await self._point(f"effect {name}:after")
        return answer

    def _do(self, name: str, key: str, token: int, value: Any) -> Any:
        if self.fences:
            newest = self._newest.get(key, 0)
            if token < newest:
                self._counts["stale token refused outside"] += 1
                raise StaleTokenError(f"{name} {key}: token {token}, yet {newest} was seen")
            self._newest[key] = token
        again = self.calls[name, key] > 0
        self.calls[name, key] += 1
        if again:
            self._counts["effect repeated"] += 1
            if self.honours_keys:
                return self._answers[name, key]
        life = current_life()
        effect = Effect(name, key, token, self._clock(), "" if life is None else life.name, value)
        self.effects.append(effect)
        self._answers[name, key] = value
        self._counts["effect"] += 1
        self._saw(f"outside: {name}, key {key}" + (", AGAIN" if again else ""), life)
        return value

    def done(self, name: str, key: str | None = None) -> int:
        """How often something was really done."""
        return sum(1 for effect in self.effects if effect.name == name and key in {None, effect.key})
