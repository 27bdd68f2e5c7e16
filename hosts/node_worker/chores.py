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

    async def upkeep_loop(self) -> None:
        """Reap and expire for ever."""
        every = self._settings.timing.reap.total_seconds()
        pause = BackOff(self._parts.ids.random())
        while True:
            await asyncio.sleep(max(pause.seconds, every * (0.5 + self._parts.ids.random())))
            try:
                if await self._upkeep.reap():
                    self._claiming.replan.set()
                for run_id in await self._upkeep.expire():
                    for seat in self._executor.live.of_run(run_id):
                        seat.tell(Stop.LEASE_LOST)
            except Exception as error:  # noqa: BLE001  a part that raises is tried again
                pause.failed("upkeep_failed", error)
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

    async def relay_loop(self, sink: EventSink) -> None:
        """Publish for ever."""
        parts = self._parts
        batch = self._settings.relay_batch
        relay = Relay(parts.store, self._executor.dispatcher, sink, parts.ids.new_lease_id(), batch=batch)
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
