"""Starting runs: one beside a worker that may begin it at once, many in batches; and telling of what is due.

Imported by the client; knows no adapter.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs
import structlog

from mainspring.errors import InvalidValueError, Problem
from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.execution.registry import Served
from mainspring.hosts.node_worker.worker import Worker
from mainspring.kernel.commands.run_create import CreateRun, RunCreated, Taker
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import MainspringError
from mainspring.ports.records import Pointer
from mainspring.ports.trace import with_trace
from mainspring.requests import Checked, Requests, StartOptions, check_options
from mainspring.results import Results

logger = structlog.get_logger("mainspring.client")

BATCH = 500
"""Starts of ``start_many`` that are handed in together."""

_Starting = asyncio.Future[list[RunCreated | BaseException]]


class Starter:
    """Has runs created. ``worker``: in this process, if there is one; ``results``: told of the runs it begins."""

    def __init__(
        self, parts: Parts, dispatcher: Dispatcher, requests: Requests, worker: Worker | None, results: Results
    ) -> None:
        self._parts = parts
        self._dispatcher = dispatcher
        self._requests = requests
        self._worker = worker
        self._results = results

    async def start(self, served: Served, value: Any, options: StartOptions) -> RunCreated:
        """Start one run; see ``Mainspring.start``."""
        observer = self._parts.observer
        if observer is None:
            return await self._start(served, value, options, None)
        with observer.starting(served.plan.workflow, 1) as trace:
            return await self._start(served, value, options, trace)

    async def start_many(
        self, served: Served, values: Iterable[Any], keys: Sequence[str | None] | None, options: StartOptions
    ) -> list[RunCreated]:
        """Start many runs; see ``Mainspring.start_many``."""
        inputs = list(values)
        if keys is not None and len(keys) != len(inputs):
            subject = "keys of a start of many"
            raise InvalidValueError(subject, (Problem("$", f"expected {len(inputs)}, found {len(keys)}"),))
        check_options(options)
        checked = self._requests.checked(served, inputs, keys, options)
        observer = self._parts.observer
        if observer is None:
            return await self._start_all(checked, None)
        with observer.starting(served.plan.workflow, len(inputs)) as trace:
            return await self._start_all(checked, trace)

    async def announce(self, created: Iterable[RunCreated]) -> None:
        """Tell of the jobs that are due, or when they will be."""
        now: list[Pointer] = []
        later: dict[datetime, list[Pointer]] = {}
        for one in created:
            if one.created:
                pointers = now if one.due_at is None else later.setdefault(one.due_at, [])
                pointers += map(Pointer.to, one.due)
        if now:
            await hint(self._parts.transport.send(now))
        for moment, pointers in later.items():
            await hint(self._parts.transport.send(pointers, moment - self._parts.clock.now()))
        if later and self._worker is not None:
            self._worker.replan()

    async def _start(self, served: Served, value: Any, options: StartOptions, trace: str | None) -> RunCreated:
        command = _traced(await self._requests.create(served, value, options), trace)
        if self._worker is None:
            created = await self._dispatcher.dispatch(command)
        else:

            async def create(taker: Taker | None) -> RunCreated:
                made = await self._dispatcher.dispatch(attrs.evolve(command, taker=taker))
                if made.lease is not None:
                    self._results.begun(made.run.id)  # before it can end
                return made

            created = await self._worker.start(served.plan.route, create)
        await self.announce([created])
        return created

    async def _start_all(self, checked: Checked, trace: str | None) -> list[RunCreated]:
        """One batch is decided while the one before is being written: two are under way at most."""
        begun: list[RunCreated] = []
        total = len(checked.texts)
        under_way: _Starting | None = None
        try:
            for begin in range(0, total, BATCH):
                asked = await self._requests.commands(checked, range(begin, min(begin + BATCH, total)))
                commands = [_traced(command, trace) for command in asked]
                starting = asyncio.gather(*map(self._dispatcher.dispatch, commands), return_exceptions=True)
                earlier, under_way = under_way, starting
                await asyncio.sleep(0)  # all are decided now, and handed in
                if earlier is not None:
                    begun += await self._begun(earlier)
        except asyncio.CancelledError:
            if under_way is not None:
                under_way.cancel()
                with suppress(asyncio.CancelledError):
                    await under_way
            raise
        except Exception:
            if under_way is not None:  # what is on its way is not left alone; the first failure is told
                with suppress(Exception):
                    await self._begun(under_way)
            raise
        return begun if under_way is None else begun + await self._begun(under_way)

    async def _begun(self, starting: _Starting) -> list[RunCreated]:
        """What a batch created. It is told of, also if others were not created."""
        answers = await starting
        created = [answer for answer in answers if isinstance(answer, RunCreated)]
        await self.announce(created)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return created


async def hint(told: Awaitable[None]) -> None:
    """Await what tells somebody; that it cannot be told costs latency only: what it tells of is on record."""
    try:
        await told
    except MainspringError as error:
        logger.warning("hint_not_sent", error=str(error))


def _traced(command: CreateRun, trace: str | None) -> CreateRun:
    return command if trace is None else attrs.evolve(command, config=with_trace(command.config, trace))
