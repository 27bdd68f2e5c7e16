"""Mailboxes: finishes of one run that arrive while a Change of it is in flight wait, and are folded into the next.

A box lives while this process works on its run; it keeps the run's state as its last fold left it, so that a linear run
is read once, and what upstream stages put out.
"""

from asyncio import Future, Task, get_running_loop

from mainspring.kernel.commands.attempt_finish import AttemptFinished, FinishAttempt
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import LeaseLostError
from mainspring.ports.names import Payload, RunId, StageId
from mainspring.ports.records import RunState

_Waiting = tuple[FinishAttempt, "Future[AttemptFinished]"]


class Box:
    """One run's mailbox in this process."""

    def __init__(self, run_id: RunId, dispatcher: Dispatcher, state: RunState | None) -> None:
        self.run_id = run_id
        self.state = state
        self.holders = 0
        #: outputs of ended upstream stages, by stage, in order of index
        self.outputs: dict[StageId, tuple[Payload, ...]] = {}
        self._dispatcher = dispatcher
        self._waiting: list[_Waiting] = []
        self._alone = False  #: a finish is being committed without a driver
        self._driver: Task[None] | None = None

    async def finish(self, command: FinishAttempt) -> AttemptFinished:
        """Decide and commit this finish, with whatever else of the run is waiting.

        Raises:
            LeaseLostError: nothing of the attempt was written.
            PortError: the store failed.
        """
        if self.holders == 1 and self._driver is None and not self._alone:
            return await self._finish_alone(command)
        future: Future[AttemptFinished] = get_running_loop().create_future()
        self._waiting.append((command, future))
        if not self._alone:
            self._start_driver()
        return await future

    async def _finish_alone(self, command: FinishAttempt) -> AttemptFinished:
        """The usual case: nobody else here works on the run, so there is nothing to fold and no driver is needed."""
        self._alone = True
        try:
            (answer,), self.state = await self._dispatcher.dispatch_all(self.run_id, [command], self.state)
        except BaseException:
            self.state = None  # what was written is unknown here: the next fold reads
            raise
        finally:
            self._alone = False
            if self._waiting:  # somebody joined meanwhile
                self._start_driver()
        if isinstance(answer, LeaseLostError):
            raise answer
        return answer

    def _start_driver(self) -> None:
        if self._driver is None:
            self._driver = get_running_loop().create_task(self._drive(), name=f"mailbox {self.run_id}")

    async def _drive(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._commit(batch)
        finally:
            self._driver = None

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            answers, self.state = await self._dispatcher.dispatch_all(
                self.run_id, [command for command, _ in batch], self.state
            )
        except BaseException as error:
            self.state = None  # what was written is unknown here: the next fold reads
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, LeaseLostError):
                future.set_exception(answer)
            else:
                future.set_result(answer)


class Mailboxes:
    """The boxes of the runs this process works on."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._boxes: dict[RunId, Box] = {}

    def __len__(self) -> int:
        return len(self._boxes)

    def open(self, run_id: RunId, state: RunState | None = None) -> Box:
        """The run's box; close it as often as it was opened. ``state`` serves a box that is new."""
        box = self._boxes.get(run_id)
        if box is None:
            box = self._boxes[run_id] = Box(run_id, self._dispatcher, state)
        box.holders += 1
        return box

    def close(self, box: Box) -> None:
        """One holder fewer; the last one takes the box away."""
        box.holders -= 1
        if box.holders == 0:
            del self._boxes[box.run_id]
