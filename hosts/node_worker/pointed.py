"""The claim loop over a transport that carries pointers: claims the very rows that messages point at.

A message is settled as soon as its claim is durable or found pointless (the job is done, leased, not due yet): the
lease carries the work from there, and upkeep announces again what is due and was not taken. A message that points at
a job of other routes goes back, for a worker that serves them, until upkeep has announced the job anew.
"""

import asyncio
from asyncio import CancelledError, Task
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from mainspring.hosts.node_worker.claiming import Claiming
from mainspring.hosts.node_worker.waiting import BackOff, either, unless, within
from mainspring.hosts.upkeep import announcer
from mainspring.ports.errors import PortError
from mainspring.ports.names import Route
from mainspring.ports.records import Hint, JobKey

logger = structlog.get_logger("mainspring.worker")

GIVEN_BACK = timedelta(seconds=5)
"""After so long a message comes again that this worker can do nothing with, but another one can.

Rule: one message of a job goes from hand to hand, not each that was ever sent of it. Once a job has been due for
``announcer.AGAIN`` there are newer messages, and older ones are settled.
"""

LONGEST_WAIT = timedelta(seconds=20)
"""For messages, at a time."""


EARLY = timedelta(seconds=1)
"""A job that is due so soon is waited for: clocks differ by a round trip, and a queue may be faster than that."""

BLINK = 0.001
"""Seconds after the moment."""


class PointedClaiming(Claiming):
    """Claims for one worker what messages point at. ``replan`` has nothing to say here: messages come by themselves."""

    _early: dict[Task[None], int]  #: claims that wait for their moment, and how many jobs each may bring

    async def loop(self) -> None:
        """Claim until stopping.

        Raises:
            StuckBodiesError: more bodies would not end than the settings allow.
        """
        self._early = {}
        try:
            await self._receive_and_take()
        except CancelledError:
            for task in self._early:
                task.cancel()
            raise
        finally:
            await asyncio.gather(*self._early, return_exceptions=True)

    @property
    def _free(self) -> int:
        return super()._free - sum(self._early.values())

    def has_room(self, route: Route) -> bool:  # noqa: ARG002
        """Never: every free slot is promised to the messages that are being asked for."""
        return False

    async def _receive_and_take(self) -> None:
        pause = BackOff(self._parts.ids.random())
        self.answered = True
        while not self._stopping.is_set():
            self.slot_free.clear()
            free = self._free
            if free <= 0 or self.fenced:
                await either(self.slot_free, self._stopping)
                continue
            self._check_stuck()
            hints: list[Hint] = []
            try:
                hints = await unless(self._stopping, self._parts.transport.receive(free, LONGEST_WAIT), hints)
                hints = await self._with_room(hints)
                if hints:
                    await self._take(hints)
            except PortError as error:
                self.answered = False
                pause.failed("claim_failed", error)
                await self._settle(hints, again_after=GIVEN_BACK)
                await self._until_answered(hints, pause)
                continue
            pause.went_well()
            self.answered = True

    async def _until_answered(self, hints: Sequence[Hint], pause: BackOff) -> None:
        """Claim what the messages point at, which are given back already, until the store answers.

        Nothing is received meanwhile: each receipt counts, and too many take a message to the dead letter queue.
        """
        keys = sorted({hint.pointer.key for hint in hints if hint.pointer is not None})
        while True:
            await within(self._stopping, pause.seconds)
            if not keys or self._stopping.is_set() or self.fenced:  # when it is not fenced any more, the store answers
                return
            try:
                await self._claim(min(self._free, len(keys)), keys)
            except PortError as error:
                pause.failed("claim_failed", error)
                continue
            pause.went_well()
            self.answered = True
            return

    async def _with_room(self, hints: Sequence[Hint]) -> list[Hint]:
        """Those for which there are free slots, after a wait that may have been long; the others go back at once."""
        room = 0 if self._stopping.is_set() or self.fenced else max(0, self._free)
        await self._settle(hints[room:], again_after=timedelta(0))
        return list(hints[:room])

    async def _take(self, hints: Sequence[Hint]) -> None:
        """Claim the jobs, begin to work on them, and settle every message.

        Raises:
            PortError: the store did not answer; no message is settled.
        """
        keys = {hint.pointer.key for hint in hints if hint.pointer is not None}
        claimed = {lease.job.key for lease in await self._claim(len(keys), sorted(keys))}
        missed = sorted(keys - claimed)
        theirs, early = await self._told(missed) if missed else (set[JobKey](), dict[JobKey, timedelta]())
        back = [hint for hint in hints if hint.pointer is not None and hint.pointer.key in theirs]
        done = [hint for hint in hints if hint not in back]
        await asyncio.gather(self._settle(done), self._settle(back, again_after=GIVEN_BACK))
        if early:
            task = asyncio.get_running_loop().create_task(self._take_later(early), name="early jobs")
            self._early[task] = len(early)
            task.add_done_callback(self._not_early)
        if claimed and len(self._executor.live):
            self.heard.set()

    async def _told(self, missed: Sequence[JobKey]) -> tuple[set[JobKey], dict[JobKey, timedelta]]:
        """Of jobs that were not claimed: those that others may claim, and those that are due in a moment, with it."""
        routes = set(self._registry.routes())
        ready = await self._parts.store.ready_among(missed)
        theirs = {one.key for one in ready if one.route not in routes and -announcer.AGAIN < one.due_in <= EARLY}
        early = {one.key: one.due_in for one in ready if one.route in routes and one.due_in <= EARLY}
        return theirs, early

    async def _take_later(self, early: Mapping[JobKey, timedelta]) -> None:
        """Claim jobs whose messages came a moment too early; one that is not claimed is announced again."""
        await within(self._stopping, max(timedelta(0), *early.values()).total_seconds() + BLINK)
        if self.fenced or self._stopping.is_set():
            return
        try:
            await self._claim(len(early), sorted(early))
        except PortError as error:
            logger.warning("claim_failed", error=str(error))

    def _not_early(self, task: Task[None]) -> None:
        del self._early[task]
        self.slot_free.set()

    async def _settle(self, hints: Sequence[Hint], again_after: timedelta | None = None) -> None:
        """Settle each; one that is not comes again by itself, and is found pointless."""
        settling = (self._parts.transport.settle(hint, again_after) for hint in hints)
        for answer in await asyncio.gather(*settling, return_exceptions=True):
            if isinstance(answer, PortError):
                logger.warning("hint_not_settled", error=str(answer))
            elif isinstance(answer, BaseException):
                raise answer
