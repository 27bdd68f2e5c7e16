"""The machine's clock and ids keep the contracts."""

from mainspring.adapters.system import SystemClock, SystemIds
from mainspring.ports.clock import Clock, Ids
from mainspring.ports.contracts.clock import ClockContract, IdsContract


class TestSystemClock(ClockContract):
    def open(self) -> Clock:
        return SystemClock()


class TestSystemIds(IdsContract):
    def open(self) -> Ids:
        return SystemIds()
