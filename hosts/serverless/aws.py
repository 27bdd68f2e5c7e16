"""The functions that AWS Lambda calls: batches of SQS messages, scheduled ticks, direct calls.

Rule: a sandbox opens its parts once, at first use, and keeps them; an invocation refreshes the clock, works within the
time that is left, and leaves nothing running behind. Nothing here knows AWS but for the shapes of its events.

An SQS batch is answered as ``{"batchItemFailures": […]}``, for an event source mapping with
``ReportBatchItemFailures``. What is returned there comes again, and after ``maxReceiveCount`` times goes to the dead
letter queue:

* a message that is no pointer: nobody will ever understand it, and the dead letter queue is where it is looked at;
* a job of a route that this function does not serve: another function may;
* a job that the store could not tell about, or that there was no time left to begin.

Everything else is done with: the job's row carries it, and upkeep tells again of a job that still waits. A FIFO queue's
messages are also returned from the first of a group on that is, so that the group keeps its order.
"""

import asyncio
from asyncio import Runner, Task
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

import attrs
import structlog

from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.serverless import direct
from mainspring.hosts.serverless.batches import read_batch
from mainspring.hosts.serverless.direct import Desk
from mainspring.hosts.serverless.host import ServerlessHost
from mainspring.hosts.serverless.pointed import AGAIN
from mainspring.hosts.serverless.working import Budget
from mainspring.ports.errors import UnavailableError

T = TypeVar("T")

logger = structlog.get_logger("mainspring.serverless")

LAST = timedelta(milliseconds=250)
"""With so little time left an invocation ends by itself: one that the environment ends takes the sandbox with it."""

MOST_JOBS = 1000
"""Jobs that a tick works off at most, where no queue tells of them."""

_REST = 0.5  # seconds for what is left behind to end by itself
_END = 0.1  # seconds for what is told to
_AFTER = timedelta(milliseconds=150)  # for that, and for the answer


@attrs.frozen(kw_only=True)
class Opened:
    """What a sandbox works with."""

    parts: Parts
    host: ServerlessHost
    desk: Desk
    close: Callable[[], Awaitable[None]]


class LambdaContext(Protocol):
    """What is asked of the context that Lambda gives."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended."""
        ...


class LambdaHandlers:
    """Three entry points, to be named as a function's handler: ``sqs``, ``tick``, ``direct``.

    ``opening`` makes what they work with, at the first invocation (or when ``open`` is called), in the sandbox's own
    event loop. If it fails, the next invocation tries again. Each takes None for a context, outside Lambda.
    """

    def __init__(self, opening: Callable[[], Awaitable[Opened]]) -> None:
        self._opening = opening
        self._opened: Opened | None = None
        self._runner: Runner | None = None
        self._left: WeakSet[Task[Any]] = WeakSet()  #: tasks that would not end

    def sqs(self, event: Any, context: LambdaContext | None = None) -> dict[str, Any]:
        """Work on the jobs that a batch of messages points at; which messages must come again.

        Raises:
            InvalidMessageError: the event is no batch of SQS; the whole of it comes again.
            PortError: the store does not answer; likewise, and Lambda slows down.
        """
        batch = read_batch(event)

        async def work(opened: Opened, budget: Budget | None) -> dict[str, Any]:
            words = await opened.host.handle_jobs(batch.pointers, budget)
            return batch.answer({key for key, word in words.items() if word in AGAIN})

        return self._invoke(work, context)

    def tick(self, event: Any = None, context: LambdaContext | None = None) -> dict[str, Any]:  # noqa: ARG002  any
        """One round of upkeep; what it did. Where no queue tells of jobs, also works off those that are due.

        Raises:
            PortError: the store does not answer.
        """

        async def work(opened: Opened, budget: Budget | None) -> dict[str, Any]:
            told: dict[str, Any] = attrs.asdict(await opened.host.run_maintenance_tick(budget))
            if not opened.parts.transport.carries_pointers:
                told["worked"] = attrs.asdict(await opened.host.process_available_jobs(MOST_JOBS, budget))
            return told

        return self._invoke(work, context)

    def direct(self, event: Any, context: LambdaContext | None = None) -> dict[str, Any]:
        """Start, signal, cancel or look at a run; see :mod:`direct`. Errors are answers, too."""

        async def work(opened: Opened, _: Budget | None) -> dict[str, Any]:
            await opened.host.refresh_clock()
            return await direct.answer(opened.desk, event)

        try:
            return self._invoke(work, context)
        except Exception as error:  # noqa: BLE001  told as data
            return direct.refusal(error)

    def open(self) -> None:
        """Open now what the first invocation would: at the end of a module, in the time that Lambda gives for imports.

        Not for a function with SnapStart: its sandboxes would share what is open.

        Raises:
            CommandError, PortError: it cannot be opened.
        """
        self._loop().run(self._ready())

    def close(self) -> None:
        """Let go of everything. For programs that end; a sandbox just disappears."""
        opened, self._opened = self._opened, None
        runner, self._runner = self._runner, None
        if runner is None:
            return
        try:
            if opened is not None:
                runner.run(_closed(opened))
        finally:
            runner.close()

    def _invoke(
        self,
        act: Callable[[Opened, Budget | None], Coroutine[Any, Any, T]],
        context: LambdaContext | None,
    ) -> T:
        return self._loop().run(self._within(act, None if context is None else _budget(context)))

    def _loop(self) -> Runner:
        if self._runner is None:
            self._runner = Runner()
        return self._runner

    async def _ready(self) -> Opened:
        if self._opened is None:
            self._opened = await self._opening()
        return self._opened

    async def _within(self, act: Callable[[Opened, Budget | None], Coroutine[Any, Any, T]], budget: Budget | None) -> T:
        seconds = None if budget is None else max(0.0, (budget() - LAST).total_seconds())
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await act(await self._ready(), budget)
        except TimeoutError as error:
            if not limit.expired():
                raise
            msg = "the invocation's time was over before the store had answered; give the function more, or look at it"
            raise UnavailableError(msg) from error
        finally:
            await self._come_to_rest(_REST if budget is None else min(_REST, (budget() - _AFTER).total_seconds()))

    async def _come_to_rest(self, seconds: float) -> None:
        """Wait so long for what is still under way, then end it: once the answer is given nothing may run on."""
        left = asyncio.all_tasks() - {asyncio.current_task()} - set(self._left)
        if left:
            _, left = await asyncio.wait(left, timeout=max(0.0, seconds))
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=_END)
        if left:
            self._left.update(left)
            logger.warning("tasks_left_running", tasks=len(left))


def _budget(context: LambdaContext) -> Budget:
    return lambda: timedelta(milliseconds=context.get_remaining_time_in_millis())


async def _closed(opened: Opened) -> None:
    await opened.close()
