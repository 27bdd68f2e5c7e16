"""Every error users may meet, by who must act; see ``mainspring.ports.errors`` for the kinds."""

from mainspring.ports.errors import (
    BlobCorruptError,
    BlobNotFoundError,
    CommandError,
    ConflictError,
    ContendedError,
    DefinitionError,
    FinishedError,
    InvalidValueError,
    LeaseLostError,
    MainspringError,
    NotFoundError,
    PortError,
    Problem,
    ReadOnlyError,
    SchemaError,
    SettingsError,
    StoreFullError,
    UnavailableError,
    UnfinishedError,
    UnknownOutcomeError,
)
from mainspring.ports.records import Failure, Run


class RunFailedError(MainspringError):
    """The run whose result was asked for has failed; ``failure`` tells why."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.failure: Failure | None = run.failure
        super().__init__(run)

    def __str__(self) -> str:
        failure = self.failure
        if failure is None:
            return f"run {self.run.id} failed"
        where = f" in stage {failure.stage!r}" if failure.stage else ""
        kind = f"{failure.type}: " if failure.type else ""
        return f"run {self.run.id} failed{where} ({failure.code}): {kind}{failure.message}"


class RunCancelledError(MainspringError):
    """The run whose result was asked for was cancelled."""

    def __init__(self, run: Run) -> None:
        self.run = run
        super().__init__(run)

    def __str__(self) -> str:
        reason = f": {self.run.cancel_reason}" if self.run.cancel_reason else ""
        return f"run {self.run.id} was cancelled{reason}"


__all__ = [
    "BlobCorruptError",
    "BlobNotFoundError",
    "CommandError",
    "ConflictError",
    "ContendedError",
    "DefinitionError",
    "FinishedError",
    "InvalidValueError",
    "LeaseLostError",
    "MainspringError",
    "NotFoundError",
    "PortError",
    "Problem",
    "ReadOnlyError",
    "RunCancelledError",
    "RunFailedError",
    "SchemaError",
    "SettingsError",
    "StoreFullError",
    "UnavailableError",
    "UnfinishedError",
    "UnknownOutcomeError",
]
