"""Context: what a stage's body may ask of its host. The executing host gives it; bodies only see this.

Users annotate ``ctx: Context`` (no config) or ``ctx: Context[KeywordsConfig]``.
"""

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, Protocol, overload

from typing_extensions import TypeVar

from mainspring.kernel.stage import Stage
from mainspring.ports.names import RunId, StageId, Version, WorkflowId

C_co = TypeVar("C_co", covariant=True, default=Any)
T = TypeVar("T")


class Context(Protocol[C_co]):
    """A body's view of its attempt. Safe to use from the body's thread when the body is a plain function."""

    @property
    def run_id(self) -> RunId:
        """The run."""
        ...

    @property
    def workflow(self) -> WorkflowId:
        """The run's workflow."""
        ...

    @property
    def version(self) -> Version:
        """The version the run started with."""
        ...

    @property
    def stage(self) -> StageId:
        """The stage being executed."""
        ...

    @property
    def index(self) -> int:
        """Which instance of a mapped stage; else 0."""
        ...

    @property
    def attempt(self) -> int:
        """1 at the first try."""
        ...

    @property
    def max_attempts(self) -> int:
        """Tries in all."""
        ...

    @property
    def config(self) -> C_co:
        """The stage's config, of the type in ``Context[…]``."""
        ...

    @property
    def run_input(self) -> Any:
        """The run's input, of the workflow's input type."""
        ...

    @property
    def deadline(self) -> datetime | None:
        """When this attempt will be ended, by the store's time; None: the worker's hard maximum."""
        ...

    @property
    def cancelled(self) -> bool:
        """True once the run is being cancelled or the attempt's time is over: finish soon."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this stage instance: give it to the outside world."""
        ...

    @property
    def fencing_token(self) -> int:
        """Grows with every claim of the run: a store that remembers the greatest can refuse a paused predecessor."""
        ...

    @overload
    def output(self, stage: Stage[Any, T]) -> T: ...
    @overload
    def output(self, stage: str) -> Any: ...
    def output(self, stage: Stage[Any, Any] | str) -> Any:
        """The output of an upstream stage (any ancestor).

        Raises:
            NotFoundError: no such stage upstream; names those there are.
        """
        ...

    @overload
    def outputs(self, stage: Stage[Any, T]) -> list[T]: ...
    @overload
    def outputs(self, stage: str) -> list[Any]: ...
    def outputs(self, stage: Stage[Any, Any] | str) -> list[Any]:
        """The outputs of a mapped upstream stage, by index."""
        ...

    def artifact(
        self, name: str, content: bytes | bytearray | memoryview, *, media_type: str = "application/octet-stream"
    ) -> Awaitable[None]:
        """Leave a file beside the output: ``await`` it in an async body; in a plain one it is stored on return.

        Kept with the end of the stage by the attempt that completes it, not by one that fails or returns ``Pending``;
        the latest of a name counts. Read it by ``handle.artifact(stage, name)`` or ``mainspring runs artifact``.

        Raises:
            InvalidValueError: the name is no plain file name of up to 200 characters, or the content is too large.
            PortError: it could not be stored.
        """
        ...

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell how far it is; shown by ``runs show`` and told as an event. Kept at most 4 times a second."""
        ...

    def log(self, message: str, /, *, level: str = "info", **fields: object) -> None:
        """A structured log line that carries run, stage and attempt. Never fails the stage."""
        ...

    def heartbeat(self) -> None:
        """Tell that the body is alive; ends it at once with the host's own exception if the lease is lost."""
        ...

    @property
    def all_outputs(self) -> Mapping[StageId, Any]:
        """Every upstream output by stage id (a mapped stage's as a list)."""
        ...
