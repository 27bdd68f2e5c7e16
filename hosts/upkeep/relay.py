"""The relay: publishes committed events, under one lease for the whole store.

Reads what is there, publishes, waits for the sink's word, settles. A crash in between publishes again; nothing is lost,
and nothing that did not commit is ever seen.
"""

import asyncio
from datetime import timedelta

import structlog

from mainspring.kernel.commands.outbox_settle import OutboxSettled, SettleOutbox
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.retry import Retry
from mainspring.ports.errors import LeaseLostError
from mainspring.ports.event_sink import EventSink
from mainspring.ports.names import LeaseId
from mainspring.ports.observer import Observer
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Event

PATIENCE = 0.75
"""Share of the relay's lease that a sink may take: another relay must not publish the same meanwhile."""

logger = structlog.get_logger("mainspring.relay")

PUBLISHING = Retry(max_attempts=10, initial=timedelta(seconds=1), maximum=timedelta(minutes=5))
"""Ten tries over about fifteen minutes, then the event becomes a dead letter."""


class Relay:
    """Publishes for one host; many hosts may have one, a single one holds the lease."""

    def __init__(
        self,
        store: Persistence,
        dispatcher: Dispatcher,
        sink: EventSink,
        lease_id: LeaseId,
        *,
        length: timedelta = timedelta(seconds=30),
        batch: int = 500,
        observer: Observer | None = None,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._sink = sink
        self._lease_id = lease_id
        self._length = length
        self._batch = batch
        self._observer = observer

    async def tick(self) -> OutboxSettled | None:
        """Publish one batch; what became of it. None: nothing is there, or another relay holds the lease."""
        if not await self._store.lease_relay(self._lease_id, self._length):
            return None
        events = await self._store.unpublished(self._batch)
        if not events:
            return None
        answers = await self._publish(events)
        command = SettleOutbox(lease_id=self._lease_id, events=tuple(events), answers=tuple(answers), retry=PUBLISHING)
        try:
            settled = await self._dispatcher.dispatch(command)
        except LeaseLostError:
            return None
        if self._observer is not None:
            self._observer.relayed(settled.published, settled.postponed, settled.dead)
        if settled.postponed or settled.dead:
            refused = next((answer for answer in answers if answer is not None), None)
            logger.warning("events_refused", postponed=settled.postponed, dead=settled.dead, error=refused)
        return settled

    async def _publish(self, events: list[Event]) -> list[str | None]:
        """The sink's answers.

        A sink that raises, takes longer than the lease allows, or answers nonsense has confirmed nothing.
        """
        try:
            async with asyncio.timeout(self._length.total_seconds() * PATIENCE):
                answers = list(await self._sink.publish(events))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return ["the sink was cancelled"] * len(events)
        except Exception as error:  # noqa: BLE001  whatever a sink raises
            return [f"{type(error).__name__}: {error}"] * len(events)
        if len(answers) != len(events):
            return [f"the sink answered {len(answers)} times for {len(events)} events"] * len(events)
        return answers

    async def close(self) -> None:
        """Give the lease back."""
        await self._store.release_relay(self._lease_id)
