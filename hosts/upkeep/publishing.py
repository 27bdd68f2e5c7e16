"""One bounded round of publishing, to one sink after the other: what an invocation does where a worker has loops."""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from mainspring.hosts.upkeep.relay import Relay
from mainspring.kernel.commands.outbox_settle import OutboxSettled
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.outlets import Outlet
from mainspring.ports.clock import Ids
from mainspring.ports.names import SinkName
from mainspring.ports.observer import Observer
from mainspring.ports.persistence import Persistence

logger = structlog.get_logger("mainspring.relay")


class Publishing:
    """Publishes to every sink of a process.

    Args:
        store: whose events.
        dispatcher: of the host.
        outlets: the sinks.
        ids: where lease ids come from.
        observer: told of every batch.
    """

    def __init__(
        self,
        store: Persistence,
        dispatcher: Dispatcher,
        outlets: Mapping[SinkName, Outlet],
        ids: Ids,
        observer: Observer | None = None,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._outlets = outlets
        self._ids = ids
        self._observer = observer
        self._last: SinkName | None = None  #: served
        self._sizes: dict[SinkName, int] = {}  #: of each sink's next batch

    async def round(self, left: Callable[[], timedelta]) -> tuple[int, int]:
        """Publish what there is, while time is left; how many events were published, and how many given up on.

        A batch for each sink in turn, the first behind the one that was served last: one that hangs may use the round
        up, and the next round begins with the others. A sink's failure leaves the others their turn.
        """
        turns = deque(self._relays())
        held: dict[SinkName, Relay] = {}
        published = dead = 0
        try:
            while turns and (longest := left()) > timedelta(0):
                name, relay = turns.popleft()
                self._last = name
                held[name] = relay
                settled = await self._tick(name, relay, longest)
                if settled is not None:
                    published += settled.published
                    dead += settled.dead
                if settled is not None and settled.published:
                    turns.append((name, relay))
                else:
                    await self._close(name, held.pop(name))
        finally:
            for name, relay in held.items():
                await self._close(name, relay)
        return published, dead

    def _relays(self) -> list[tuple[SinkName, Relay]]:
        """One for each sink, with a lease of its own: rounds may overlap."""
        names = list(self._outlets)
        first = names.index(self._last) + 1 if self._last is not None else 0
        return [(name, self._relay(name, self._outlets[name])) for name in names[first:] + names[:first]]

    def _relay(self, name: SinkName, outlet: Outlet) -> Relay:
        relay = Relay(
            self._store,
            self._dispatcher,
            outlet.sink,
            self._ids.new_lease_id(),
            name=name,
            types=outlet.types,
            retry=outlet.retry,
            observer=self._observer,
        )
        relay.size = self._sizes.get(name, relay.size)
        return relay

    async def _tick(self, name: SinkName, relay: Relay, longest: timedelta) -> OutboxSettled | None:
        try:
            return await relay.tick(longest)
        except Exception as error:  # noqa: BLE001  whatever the store raises
            _tell(name, error)
            return None

    async def _close(self, name: SinkName, relay: Relay) -> None:
        self._sizes[name] = relay.size
        try:
            await relay.close()
        except Exception as error:  # noqa: BLE001  likewise
            _tell(name, error)


def _tell(name: SinkName, error: Exception) -> None:
    logger.warning("maintenance_failed", part="relay", sink=name, error=f"{type(error).__name__}: {error}")
