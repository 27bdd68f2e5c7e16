"""The committer: Changes that are wanted at the same time are written together.

Rule: it knows neither a database nor a clock. ``commit(change)`` joins the open batch and returns when that batch is
durable; while one batch is written the next one fills. There is no timer: a lone Change is written at once, and under
load the batches grow by themselves to what arrives during one write.

A writer that checks all Changes of a batch before it writes any gives ``uses``: then a batch holds only Changes that go
together (:mod:`mainspring.ports.batches`).

The writer is a coroutine function that takes a batch and answers one verdict per Change, in order: None if it was
written, or the error that its waiter shall get. If it raises, every waiter of the batch gets that error.

Each event loop has a lane of its own, so that one store may be used from any loop, and from several in turn. A waiter
that is cancelled hurts nobody: its Change is in the batch and is written with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import TypeAlias

import attrs

from mainspring.ports.batches import Uses, next_batch
from mainspring.ports.change import Change

Verdict: TypeAlias = Exception | None
Writer: TypeAlias = Callable[[Sequence[Change]], Awaitable[Sequence[Verdict]]]
_NO_USES: Uses = {}


@attrs.frozen(eq=False, slots=False)
class _Entry:
    """A Change that was handed in, and who waits for its verdict."""

    change: Change
    future: asyncio.Future[None]
    uses: Uses


@attrs.define
class _Lane:
    """The batches of one event loop."""

    loop: asyncio.AbstractEventLoop
    waiting: list[_Entry] = attrs.field(factory=list[_Entry])
    writing: asyncio.Task[None] | None = None


class Committer:
    """Gathers Changes into batches.

    Args:
        write: writes one batch; see the module.
        max_batch: how many Changes are written together at most.
        context: in which they are written; an empty one, if not given.
        uses: what a Change uses of a batch; nothing, if not given.
    """

    def __init__(
        self,
        write: Writer,
        *,
        max_batch: int = 500,
        context: Context | None = None,
        uses: Callable[[Change], Uses] | None = None,
    ) -> None:
        self._write = write
        self._uses = uses
        self._max_batch = max_batch
        self._lanes: dict[int, _Lane] = {}
        self._context = Context() if context is None else context

    async def commit(self, change: Change) -> None:
        """Join the open batch; return when it is durable.

        Raises:
            Exception: the verdict on this Change, or what the writer raised.
        """
        loop = asyncio.get_running_loop()
        lane = self._lane(loop)
        future: asyncio.Future[None] = loop.create_future()
        lane.waiting.append(_Entry(change, future, _NO_USES if self._uses is None else self._uses(change)))
        if lane.writing is None:
            # A context of its own: the task belongs to all who wait, not to the one who happened to come first.
            lane.writing = self._context.copy().run(loop.create_task, self._drain(lane))
        await future

    async def drained(self) -> None:
        """Return when every Change that this loop handed in has its verdict."""
        lane = self._lanes.get(id(asyncio.get_running_loop()))
        while lane is not None and lane.writing is not None:
            await asyncio.wait([lane.writing])

    def _lane(self, loop: asyncio.AbstractEventLoop) -> _Lane:
        lane = self._lanes.get(id(loop))
        if lane is None or lane.loop is not loop:
            # A loop that was closed in the middle of a batch leaves its lane behind.
            for key, other in list(self._lanes.items()):
                if other.loop.is_closed():
                    self._lanes.pop(key, None)
            lane = self._lanes[id(loop)] = _Lane(loop)
        return lane

    async def _drain(self, lane: _Lane) -> None:
        batch: list[_Entry] = []
        try:
            while lane.waiting:
                await asyncio.sleep(0)  # everybody who is ready in this pass of the loop joins
                batch, lane.waiting = self._next(lane.waiting)
                await self._write_batch(batch)
        except asyncio.CancelledError:
            # Only a loop that is being torn down cancels this task; nobody may wait for it for ever.
            for entry in (*batch, *lane.waiting):
                entry.future.cancel()
            lane.waiting.clear()
            raise
        finally:
            lane.writing = None

    def _next(self, waiting: list[_Entry]) -> tuple[list[_Entry], list[_Entry]]:
        if self._uses is None:
            return waiting[: self._max_batch], waiting[self._max_batch :]
        return next_batch(waiting, self._max_batch)

    async def _write_batch(self, batch: list[_Entry]) -> None:
        try:
            verdicts = await self._write([entry.change for entry in batch])
        except Exception as error:  # noqa: BLE001  whoever waits for the batch gets it
            for entry in batch:
                _settle(entry.future, error)
            return
        for entry, verdict in zip(batch, verdicts, strict=True):
            _settle(entry.future, verdict)


def _settle(future: asyncio.Future[None], verdict: Verdict) -> None:
    if future.done():
        return
    if verdict is None:
        future.set_result(None)
    else:
        future.set_exception(verdict)
