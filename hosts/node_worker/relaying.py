"""The relay loop: publishes to one sink for ever, beside a worker's other loops or in a program that only listens."""

import asyncio

from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.node_worker.settings import WorkerSettings
from mainspring.hosts.node_worker.waiting import BackOff
from mainspring.hosts.upkeep.relay import Relay
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.outlets import Outlet
from mainspring.ports.names import SinkName

LINGER = 0.02
"""Seconds for which events may gather after a batch that was not full."""


async def relay_for_ever(
    parts: Parts, dispatcher: Dispatcher, settings: WorkerSettings, name: SinkName, outlet: Outlet
) -> None:
    """Publish to one sink for ever. What raises is tried again with back-off."""
    relay = Relay(
        parts.store,
        dispatcher,
        outlet.sink,
        parts.ids.new_lease_id(),
        name=name,
        types=outlet.types,
        retry=outlet.retry,
        batch=settings.relay_batch,
        observer=parts.observer,
    )
    every = settings.relay_poll.total_seconds()
    pause = BackOff(parts.ids.random())
    try:
        while True:
            published, asked = 0, relay.size
            try:
                settled = await relay.tick()
                published = 0 if settled is None else settled.published
                pause.went_well()
            except Exception as error:  # noqa: BLE001  whatever the store or the sink raises
                pause.failed("relay_failed", error)
            if not published:
                await asyncio.sleep(max(pause.seconds, every * (0.75 + 0.5 * parts.ids.random())))
            elif published < asked:  # a larger batch costs the sink and the store no more
                await asyncio.sleep(LINGER)
    finally:
        await relay.close()
