"""How a worker and its store stand, told when somebody asks: for probes and metrics. Runs on the worker's loop."""

import asyncio
from datetime import timedelta

from mainspring.hosts.execution.registry import WorkflowRegistry
from mainspring.hosts.node_worker.heartbeat import HELLO_EVERY
from mainspring.hosts.node_worker.worker import Worker
from mainspring.ports.errors import PortError
from mainspring.ports.names import Route
from mainspring.ports.observer import Standing
from mainspring.ports.persistence import Persistence
from mainspring.ports.records import Backlog

PATIENCE = 2.0
"""Seconds that the store may take to answer."""

COUNTED = 1_000
"""How far jobs of one route and state are counted: some milliseconds of the store's time for each route."""

ALIVE = timedelta(seconds=3 * HELLO_EVERY)
"""A worker that has not said a word for so long counts as gone."""


class Health:
    """Asks one worker and its store."""

    def __init__(self, worker: Worker, registry: WorkflowRegistry, store: Persistence) -> None:
        self._worker = worker
        self._registry = registry
        self._store = store

    async def trouble(self) -> str | None:
        """Why the worker takes no new work, or could not; None: it does. Names no place and no value."""
        told = self._worker.trouble
        if told is not None:
            return told
        try:
            async with asyncio.timeout(PATIENCE):
                await self._store.next_upkeep()
        except (PortError, TimeoutError) as error:
            return f"the store fails: {type(error).__name__}"
        return None

    async def standing(self) -> Standing:
        """All of it; without the store's part when the store does not answer."""
        backlog: Backlog | None = None
        unserved: tuple[Route, ...] = ()
        try:
            async with asyncio.timeout(PATIENCE):
                backlog = await self._store.backlog(COUNTED)
                unserved = await self._unserved(backlog)
        except (PortError, TimeoutError):
            backlog = None
        executor = self._worker.executor
        return Standing(
            ready=backlog is not None and self._worker.trouble is None,
            bodies=len(executor.live),
            slots=self._worker.settings.concurrency,
            stuck=executor.stuck,
            backlog=backlog,
            unserved=unserved,
        )

    async def _unserved(self, backlog: Backlog) -> tuple[Route, ...]:
        """Routes with due jobs that neither this worker serves nor one that was heard of lately."""
        served = set[Route]() if self._worker.trouble == "draining" else set(self._registry.routes())
        for worker in await self._store.workers():
            if worker.id != self._worker.id and worker.seen_at >= backlog.at - ALIVE:
                served.update(worker.routes)
        return tuple(one.route for one in backlog.routes if one.ready_due and one.route not in served)
