"""RunHandle: one run in a caller's hands."""

from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from mainspring.ports.names import RunId
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
