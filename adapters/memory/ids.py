"""Ids that a seed decides: the same ids in every run of a test or a simulation. Never for production: they repeat."""

from random import Random

from mainspring.ports.clock import Clock
from mainspring.ports.names import LeaseId, RunId


class SeededIds:
    """Ids in the form of the real ones (RFC 9562), from a seed and a clock.

    Two processes of one test take one instance, or different seeds: ids of the same seed repeat.
    """

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self._clock = clock
        self._random = Random(seed)  # noqa: S311  foreseeable on purpose
        self._newest = 0

    def new_run_id(self) -> RunId:
        milliseconds = int(self._clock.now().timestamp() * 1000)
        self._newest = max(self._newest + 1, milliseconds << 12)  # 12 bits count within a millisecond, and carry
        head = self._newest >> 12 << 16 | 0x7000 | self._newest & 0xFFF
        return RunId(_text(head, self._random.getrandbits(62) | 1 << 63))

    def new_lease_id(self) -> LeaseId:
        head = self._random.getrandbits(64) & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
        return LeaseId(_text(head, self._random.getrandbits(62) | 1 << 63))

    def random(self) -> float:
        return self._random.random()


def _text(head: int, tail: int) -> str:
    digits = f"{head:016x}{tail:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
