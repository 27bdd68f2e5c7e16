"""The live list: which attempts this process works on, for the heartbeat, and how each is told to end.

An attempt joins by a ``with`` around its work and leaves at its end, so that dead work never stays leased.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from enum import StrEnum

import attrs

from mainspring.ports.names import LeaseId, RunId
from mainspring.ports.records import ExtendAnswer, Job, JobKey


class Stop(StrEnum):
    """Why an attempt is told to end before its body returned."""

    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LEASE_LOST = "lease_lost"
    SHUTDOWN = "shutdown"
    OUT_OF_TIME = "out_of_time"  #: it had a whole invocation, and would need more: coming again would not help


@attrs.define(eq=False)
class Seat:
    """One attempt on the live list."""

    job: Job
    lease_id: LeaseId
    until: float  #: when the lease runs out, on the loop's monotonic clock; a safe bound
    wakes: int
    #: its end is being recorded: the row may have moved already, and the guard of that Change tells of a lost lease
    recording: bool = False
    stop: Stop | None = None
    began: float = 0.0  #: when this attempt did, on the loop's clock
    _on_stop: Callable[[Stop], None] | None = None

    def turn_to(self, job: Job, began: float = 0.0) -> None:
        """Go on with this job under the same lease. A time-out that came as the last body ended is not this one's."""
        self.job, self.recording, self.began = job, False, began
        if self.stop is Stop.TIMED_OUT:
            self.stop = None

    def tell(self, reason: Stop) -> None:
        """Tell the attempt to end. The first reason stays, but a lost lease outweighs all."""
        if self.stop is None or reason is Stop.LEASE_LOST:
            self.stop = reason
            if self._on_stop is not None:
                self._on_stop(reason)

    def listen(self, on_stop: Callable[[Stop], None] | None) -> None:
        """Call this when the attempt is told to end; at once if it was told already."""
        self._on_stop = on_stop
        if on_stop is not None and self.stop is not None:
            on_stop(self.stop)


class LiveList:
    """The attempts under way in this process."""

    def __init__(self) -> None:
        self._seats: dict[LeaseId, Seat] = {}
        self.missed = (
            0  #: of the last heartbeat: leases that were not found where they stood, and may be held all the same
        )

    def __len__(self) -> int:
        return len(self._seats)

    def __iter__(self) -> Iterator[Seat]:
        return iter(list(self._seats.values()))

    @contextmanager
    def join(self, job: Job, lease_id: LeaseId, until: float) -> Generator[Seat]:
        """Stand on the list while the ``with`` lasts."""
        seat = Seat(job, lease_id, until, job.wakes)
        self._seats[lease_id] = seat
        try:
            yield seat
        finally:
            self._seats.pop(lease_id, None)

    def leases(self) -> list[tuple[JobKey, LeaseId]]:
        """What the heartbeat extends, sorted by key so that two processes lock in one order."""
        return sorted((seat.job.key, seat.lease_id) for seat in self._seats.values())

    def heard(self, answers: list[ExtendAnswer], until: float) -> list[RunId]:
        """Take in a heartbeat's answers: tell attempts whose lease is lost; the runs that were woken meanwhile."""
        woken: dict[RunId, None] = {}
        self.missed = 0
        for answer in answers:
            seat = self._seats.get(answer.lease_id)
            if seat is None:
                continue
            if answer.lost:
                # a hand-over may have moved the row while the heartbeat was under way
                if seat.job.key == answer.key and not seat.recording:
                    seat.tell(Stop.LEASE_LOST)
                else:
                    self.missed += 1
                continue
            seat.until = until
            if answer.wakes != seat.wakes:
                seat.wakes = answer.wakes
                woken[seat.job.run_id] = None
        return list(woken)

    def of_run(self, run_id: RunId) -> list[Seat]:
        """The seats of one run."""
        return [seat for seat in self._seats.values() if seat.job.run_id == run_id]

    def overdue(self, moment: float) -> list[Seat]:
        """Seats whose lease runs out before that moment of the loop's clock."""
        return [seat for seat in self._seats.values() if seat.until <= moment]
