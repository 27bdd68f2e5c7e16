"""Mailboxes: finishes of one run that arrive while a Change of it is in flight wait, and are folded into the next.

A box lives while this process works on its run; it keeps the run's state as its last fold left it, so that a linear run
is read once, and what upstream stages put out. Other commands about the run take their turn between two folds: decided
beside them they would meet a newer revision again and again.
"""

from asyncio import Future, Lock, Task, get_running_loop
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mainspring.hosts.execution.payloads import is_reference
from mainspring.kernel.commands.attempt_finish import AttemptFinished, FinishAttempt
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import LeaseLostError, PortError
from mainspring.ports.names import Payload, RunId, StageId
from mainspring.ports.observer import Observer
from mainspring.ports.records import RunState

T = TypeVar("T")

_Waiting = tuple[FinishAttempt, "Future[AttemptFinished]"]
_Answers = list[AttemptFinished | LeaseLostError]


class Box:
    """One run's mailbox in this process."""

    def __init__(
        self, run_id: RunId, dispatcher: Dispatcher, state: RunState | None, observer: Observer | None = None
    ) -> None:
        self.run_id = run_id
        self.state = state
        self.holders = 0
        #: outputs of ended upstream stages, by stage, in order of index
        self.outputs: dict[StageId, tuple[Payload, ...]] = {}
        self.reading = Lock()  #: held while outputs are read into it
        self._dispatcher = dispatcher
        self._observer = observer
        self._turn = Lock()  #: held while a command about the run is decided and committed
        self._waiting: list[_Waiting] = []
        self._driver: Task[None] | None = None

    def keep_output(self, stage: StageId, output: Payload) -> None:
        """Remember a recorded output for the stages that follow here; a large one is read again where it is needed."""
        if not is_reference(output):
            self.outputs[stage] = (output,)

    async def finish(self, command: FinishAttempt) -> AttemptFinished:
        """Decide and commit this finish, with whatever else of the run is waiting.

        Raises:
            LeaseLostError: nothing of the attempt was written.
            PortError: the store failed.
        """
        if not self._turn.locked() and not self._waiting:  # the usual case: nothing to fold, no driver needed
            async with self._turn:
                (answer,) = await self._commit([command])
            if isinstance(answer, LeaseLostError):
                raise answer
            return answer
        loop = get_running_loop()
        future: Future[AttemptFinished] = loop.create_future()
        self._waiting.append((command, future))
        if self._driver is None:
            self._driver = loop.create_task(self._drive(), name=f"mailbox {self.run_id}")
        return await future

    async def between_folds(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do something about the run that is no finish; what it wrote is read before the next fold."""
        async with self._turn:
            try:
                return await act()
            finally:
                self.state = None

    async def _drive(self) -> None:
        try:
            while self._waiting:
                async with self._turn:
                    batch, self._waiting = self._waiting, []
                    await self._settle(batch)
        finally:
            self._driver = None

    async def _settle(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self._commit([command for command, _ in batch])
        except PortError as error:
            for _, future in batch:
                _fail(future, error)
        except Exception as error:  # noqa: BLE001  a mistake about one of them: the others must not suffer for it
            if len(batch) == 1:
                _fail(batch[0][1], error)
            else:
                for one in batch:
                    await self._settle([one])
        except BaseException as error:
            for _, future in batch:
                _fail(future, error)
            raise
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if isinstance(answer, LeaseLostError):
                    _fail(future, answer)
                elif not future.done():
                    future.set_result(answer)

    async def _commit(self, commands: list[FinishAttempt]) -> _Answers:
        began = 0.0 if self._observer is None else get_running_loop().time()
        try:
            answers, self.state = await self._dispatcher.dispatch_all(self.run_id, commands, self.state)
        except BaseException:
            self.state = None  # what was written is unknown here: the next fold reads
            raise
        if self._observer is not None:
            self._observer.committed(len(commands), get_running_loop().time() - began)
        return answers


def _fail(future: "Future[AttemptFinished]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


class Mailboxes:
    """The boxes of the runs this process works on."""

    def __init__(self, dispatcher: Dispatcher, observer: Observer | None = None) -> None:
        self._dispatcher = dispatcher
        self._observer = observer
        self._boxes: dict[RunId, Box] = {}

    def __len__(self) -> int:
        return len(self._boxes)

    def open(self, run_id: RunId, revision: int, state: RunState | None = None) -> Box:
        """The run's box; close it as often as it was opened.

        ``revision``: where the run stood when the opener last saw it; what the box kept from before is dropped.
        ``state`` serves a box that is new.
        """
        box = self._boxes.get(run_id)
        if box is None:
            box = self._boxes[run_id] = Box(run_id, self._dispatcher, state, self._observer)
        elif box.state is not None and box.state.run.revision < revision:
            box.state = None
        box.holders += 1
        return box

    def close(self, box: Box) -> None:
        """One holder fewer; the last one takes the box away."""
        box.holders -= 1
        if box.holders == 0:
            del self._boxes[box.run_id]

    async def between_folds(self, run_id: RunId, act: Callable[[], Awaitable[T]]) -> T:
        """Do something about a run, in its turn if this process works on it."""
        box = self._boxes.get(run_id)
        return await act() if box is None else await box.between_folds(act)
