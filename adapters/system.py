"""SystemClock and SystemIds: the machine's time and randomness behind the Clock and Ids ports.

The only place that reads the wall clock. Imported by the composition root and the programs.
"""

import os
import random
import threading
import time
import weakref
from datetime import UTC, datetime
from typing import Final

from mainspring.ports.names import LeaseId, RunId

_BLOCK: Final = 4096  # bytes of randomness asked of the system at a time
_VARIANT: Final = bytes(byte & 0x3F | 0x80 for byte in range(256))  # sets the two bits that RFC 9562 fixes


class SystemClock:
    """The wall clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SystemIds:
    """Ids from the system's randomness; one instance may be shared by threads and survives a fork.

    A UUIDv7 (RFC 9562, section 6.2, method 3) is 48 bits of milliseconds, 12 bits of the fraction of one, and 62 random
    bits. The first 60 are one number that never stands still: if the clock does, or steps back, the last one plus one
    is taken. So ids of one process always ascend.
    """

    def __init__(self) -> None:
        self._seed()
        # A child would repeat its parent's block, and might find the lock taken by a thread it does not have.
        reference = weakref.WeakMethod(self._seed)

        def seed_again() -> None:
            if (seed := reference()) is not None:
                seed()

        os.register_at_fork(after_in_child=seed_again)

    def _seed(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random()  # noqa: S311  for jitter: no secret, and no system call
        self._tails: list[str] = []
        self._stamp = 0  # 4,096ths of a millisecond since 1970, of the last id
        self._millisecond = ""  # the first half of an id up to its version, for the millisecond of the stamp

    def new_run_id(self) -> RunId:
        with self._lock:
            stamp = time.time_ns() * 128 // 31_250  # nanoseconds to 4,096ths of a millisecond
            if stamp <= self._stamp:
                stamp = self._stamp + 1
            if stamp >> 12 != self._stamp >> 12:
                self._millisecond = f"{stamp >> 28:08x}-{stamp >> 12 & 0xFFFF:04x}-7"
            self._stamp = stamp
            tail = (self._tails or self._more()).pop()
            return RunId(f"{self._millisecond}{stamp & 0xFFF:03x}-{tail}")

    def new_lease_id(self) -> LeaseId:
        with self._lock:
            head = (self._tails or self._more()).pop()
            tail = (self._tails or self._more()).pop()
        return LeaseId(f"{head[9:]}-{head[5:9]}-4{head[1:4]}-{tail}")

    def random(self) -> float:
        return self._random.random()

    def _more(self) -> list[str]:
        """Last halves of ids, made in blocks: a system call for each would cost more than all the rest."""
        block = bytearray(os.urandom(_BLOCK))
        block[::8] = block[::8].translate(_VARIANT)
        self._tails = [block[at : at + 8].hex("-", 6) for at in range(0, _BLOCK, 8)]
        return self._tails
