"""The loops a worker runs for the whole store: upkeep, collector, relay. What raises is tried again with back-off."""

import asyncio

from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.node_worker.claiming import Claiming
from mainspring.hosts.node_worker.relaying import relay_for_ever
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.waiting import BackOff
from mainspring.hosts.upkeep.announcer import Announcer
from mainspring.hosts.upkeep.collector import Collector
from mainspring.hosts.upkeep.sweeper import Sweeper
from mainspring.hosts.upkeep.ticks import Upkeep
from mainspring.kernel.outlets import Outlet
from mainspring.ports.names import SinkName


class Chores:
    """One worker's share of the upkeep, jittered so that a fleet does not march in step."""

    def __init__(self, parts: Parts, executor: Executor, claiming: Claiming, settings: WorkerSettings) -> None:
        self._parts = parts
        self._executor = executor
        self._claiming = claiming
        self._settings = settings
        tell = executor.send_later if parts.transport.carries_pointers else None
        self._upkeep = Upkeep(parts.store, executor.dispatch, tell)
        self._collector = Collector(parts.store, parts.blobs)
        timing = settings.timing
        self.sweeper = Sweeper(parts.store, parts.blobs, runs=timing.retention, answers=timing.answer_retention)

    async def upkeep_loop(self) -> None:
        """Reap and expire for ever."""
        pause = BackOff(self._parts.ids.random())
        wait = self._reap_interval()
        while True:
            await asyncio.sleep(max(pause.seconds, wait))
            try:
                wait = await self._reap_and_expire()
            except Exception as error:  # noqa: BLE001  a part that raises is tried again
                pause.failed("upkeep_failed", error)
            else:
                pause.went_well()

    async def _reap_and_expire(self) -> float:
        """Do it if it is due; seconds until the next look.

        A lease that is given out meanwhile lasts longer than the longest wait; one that is there wakes us in time.
        """
        due = await self._upkeep.next_due()
        left = None if due is None else (due - self._parts.clock.now()).total_seconds()
        if left is None or left > 0:
            timing = self._settings.timing
            longest = min(3 * timing.reap, timing.lease / 2).total_seconds()
            return min(longest if left is None else left, longest) + self._reap_interval() / 2
        if await self._upkeep.reap():
            self._claiming.replan.set()
        for run_id in await self._upkeep.expire():
            for seat in self._executor.live.of_run(run_id):
                seat.tell(Stop.LEASE_LOST)
        return self._reap_interval()

    def _reap_interval(self) -> float:
        """The interval in seconds, jittered, so that a fleet does not march in step."""
        return self._settings.timing.reap.total_seconds() * (0.5 + self._parts.ids.random())

    async def announce_loop(self) -> None:
        """Tell again of jobs that are due and that nobody took, for ever."""
        announcer = Announcer(self._parts.store, self._parts.transport)
        pause = BackOff(self._parts.ids.random())
        while True:
            await asyncio.sleep(max(pause.seconds, self._reap_interval()))
            try:
                await announcer.tick()
            except Exception as error:  # noqa: BLE001  likewise
                pause.failed("announce_failed", error)
            else:
                pause.went_well()

    async def collect_loop(self) -> None:
        """Delete orphaned blobs for ever."""
        every = self._settings.timing.collect.total_seconds()
        pause = BackOff(self._parts.ids.random())
        while True:
            await asyncio.sleep(max(pause.seconds, every * (0.5 + self._parts.ids.random())))
            try:
                await self._collector.round()
            except Exception as error:  # noqa: BLE001  likewise
                pause.failed("collect_failed", error)
            else:
                pause.went_well()

    async def sweep_loop(self) -> None:
        """Delete what is older than it is to be kept, for ever."""
        every = self._settings.timing.sweep.total_seconds()
        pause = BackOff(self._parts.ids.random())
        while True:
            await asyncio.sleep(max(pause.seconds, every * (0.5 + self._parts.ids.random())))
            try:
                await self.sweeper.round()
            except Exception as error:  # noqa: BLE001  likewise
                pause.failed("sweep_failed", error)
            else:
                pause.went_well()

    async def relay_loop(self, name: SinkName, outlet: Outlet) -> None:
        """Publish to one sink for ever."""
        await relay_for_ever(self._parts, self._executor.dispatcher, self._settings, name, outlet)
