"""RunHandle: one run in a caller's hands."""

from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

import attrs

from mainspring.kernel.stage import Stage
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Run, RunStatus

O_co = TypeVar("O_co", covariant=True)


class RunAccess(Protocol):
    """What a handle asks of the client that gave it."""

    async def run(self, run_id: RunId) -> Run:
        """The run's record."""
        ...

    async def result(self, run_id: RunId, timeout: timedelta | float | None) -> Any:
        """Wait for the run's end and give its output."""
        ...

    async def cancel(self, run_id: RunId, reason: str | None, *, idempotency_key: str | None = None) -> RunStatus:
        """Stop the run."""
        ...

    async def signal(self, run_id: RunId, name: str, payload: Any, *, id: str | None = None) -> bool:
        """Send the run a message; whether it is a new one."""
        ...

    async def rerun(self, run_id: RunId, from_stage: StageId | None, key: str | None) -> "RunHandle[Any]":
        """Begin a run that has ended anew, as a new run."""
        ...

    async def artifacts(self, run_id: RunId) -> "list[StageArtifact]":
        """What the run's stages left beside their outputs."""
        ...

    async def artifact(self, run_id: RunId, stage: StageId, name: str, index: int) -> bytes:
        """The content of one of them."""
        ...


@attrs.frozen(kw_only=True)
class StageArtifact:
    """A file that a stage left beside its output."""

    stage: StageId
    index: int  #: of a mapped stage's instance; else 0
    name: str
    size: int  #: bytes
    media_type: str


class RunHandle(Generic[O_co]):
    """A run: ask for its result, its status; cancel it, signal it."""

    __slots__ = ("_client", "created", "id")

    def __init__(self, client: RunAccess, run_id: RunId, *, created: bool = True) -> None:
        self._client = client
        self.id = run_id
        #: False if a start with a key met the run that was there already
        self.created = created

    def __repr__(self) -> str:
        return f"<RunHandle {self.id}>"

    async def result(self, timeout: timedelta | float | None = None) -> O_co:
        """Wait for the run's end; its output, decoded and validated.

        ``timeout`` in seconds or as a timedelta; the run goes on when it passes.

        Raises:
            RunFailedError: the run failed.
            RunCancelledError: it was cancelled.
            TimeoutError: it had not ended in that time.
            NotFoundError: there is no such run.
        """
        output: O_co = await self._client.result(self.id, timeout)
        return output

    async def status(self) -> RunStatus:
        """The run's stored status now."""
        return (await self.describe()).status

    async def describe(self) -> Run:
        """The run's record as it stands."""
        return await self._client.run(self.id)

    async def cancel(self, reason: str | None = None, *, idempotency_key: str | None = None) -> RunStatus:
        """Stop the run; ``cancelled``, or ``cancelling`` while attempts under way are being told.

        Raises:
            FinishedError: it has completed or failed already.
        """
        return await self._client.cancel(self.id, reason, idempotency_key=idempotency_key)

    async def signal(self, name: str, payload: Any = None, *, id: str | None = None) -> bool:
        """Send the run a message; False if one of this id was sent before.

        Raises:
            FinishedError: the run has ended.
            InvalidValueError: the payload cannot be encoded.
        """
        return await self._client.signal(self.id, name, payload, id=id)

    async def artifacts(self) -> list[StageArtifact]:
        """What the stages that have completed left beside their outputs, by stage, index and name.

        Raises:
            NotFoundError: there is no such run.
        """
        return await self._client.artifacts(self.id)

    async def artifact(self, stage: Stage[Any, Any] | str, name: str, *, index: int = 0) -> bytes:
        """The content of an artifact; ``index``: of a mapped stage's instance.

        Raises:
            NotFoundError: there is no such run or artifact; names those there are.
            BlobNotFoundError, BlobCorruptError: its content is gone, or is not what was put.
        """
        stage_id = stage.id if isinstance(stage, Stage) else StageId(stage)
        return await self._client.artifact(self.id, stage_id, name, index)

    async def rerun(
        self, from_stage: Stage[Any, Any] | str | None = None, *, key: str | None = None
    ) -> "RunHandle[O_co]":
        """Begin the run anew from this stage (None: the first that did not complete), as a new run linked to this one.

        The new run has this one's input, config, tags, metadata and priority, and takes over what completed and does
        not follow the stage; a time-out counts anew. This run stays as it ended, and is kept as long as the new one.
        ``key``: the new run's; the same call with the same key gives the same run.

        Raises:
            NotFoundError: there is no such run or stage, or the engine does not know its workflow.
            UnfinishedError: the run has not ended, or a stage before the chosen one never completed.
            ConflictError: the key belongs to another run.
        """
        if isinstance(from_stage, Stage):
            return await self._client.rerun(self.id, from_stage.id, key)
        return await self._client.rerun(self.id, None if from_stage is None else StageId(from_stage), key)
