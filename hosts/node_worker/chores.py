"""The loops a worker runs for the whole store: upkeep, collector, relay. What raises is tried again with back-off."""

import asyncio

from mainspring.hosts.execution.executor import Executor
from mainspring.hosts.execution.live import Stop
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.node_worker.claiming import Claiming
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.waiting import BackOff
from mainspring.hosts.upkeep.collector import Collector
from mainspring.hosts.upkeep.relay import Relay
from mainspring.hosts.upkeep.sweeper import Sweeper
from mainspring.hosts.upkeep.ticks import Upkeep
from mainspring.ports.event_sink import EventSink


class Chores:
    """One worker's share of the upkeep, jittered so that a fleet does not march in step."""

    def __init__(self, parts: Parts, executor: Executor, claiming: Claiming, settings: WorkerSettings) -> None:
        self._parts = parts
        self._executor = executor
        self._claiming = claiming
        self._settings = settings
        self._upkeep = Upkeep(parts.store, executor.dispatch)
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

    async def relay_loop(self, sink: EventSink) -> None:
        """Publish for ever."""
        parts = self._parts
        batch = self._settings.relay_batch
        lease_id, dispatcher = parts.ids.new_lease_id(), self._executor.dispatcher
        relay = Relay(parts.store, dispatcher, sink, lease_id, batch=batch, observer=parts.observer)
        every = self._settings.relay_poll.total_seconds()
        pause = BackOff(parts.ids.random())
        try:
            while True:
                published = 0
                try:
                    settled = await relay.tick()
                    published = 0 if settled is None else settled.published
                    pause.went_well()
                except Exception as error:  # noqa: BLE001  likewise
                    pause.failed("relay_failed", error)
                if not published:
                    await asyncio.sleep(max(pause.seconds, every * (0.75 + 0.5 * parts.ids.random())))
        finally:
            await relay.close()
