"""AttemptContext: the ``kernel.context.Context`` that bodies are called with."""

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import structlog

from mainspring.hosts.execution.artifacts import Shelf
from mainspring.hosts.execution.live import Seat
from mainspring.hosts.execution.payloads import Payloads
from mainspring.hosts.execution.registry import Served
from mainspring.kernel.stage import Stage
from mainspring.ports.errors import LeaseLostError, NotFoundError
from mainspring.ports.names import Payload, RunId, StageId, Version, WorkflowId
from mainspring.ports.records import Job, Run

logger = structlog.get_logger("mainspring.body")

_LEVELS = frozenset({"debug", "info", "warning", "error"})
_UNSET: Any = object()


class AttemptContext:
    """One attempt as its body sees it. Reads are plain memory; nothing but ``artifact`` waits."""

    def __init__(
        self,
        *,
        run: Run,
        job: Job,
        served: Served,
        seat: Seat,
        payloads: Payloads,
        upstream: Mapping[StageId, tuple[Payload, ...]],
        run_input: Payload,
        config: Payload | None,
        deadline: datetime | None,
        on_progress: Callable[[float, float | None, str], None],
        shelf: Shelf,
    ) -> None:
        self._run = run
        self._job = job
        self._served = served
        self._seat = seat
        self._payloads = payloads
        self._upstream = upstream
        self._input_text = run_input
        self._config_text = config
        self._deadline = deadline
        self._on_progress = on_progress
        self._shelf = shelf
        self._run_input: Any = _UNSET
        self._config: Any = _UNSET

    @property
    def run_id(self) -> RunId:
        """The run."""
        return self._run.id

    @property
    def workflow(self) -> WorkflowId:
        """The run's workflow."""
        return self._run.workflow

    @property
    def version(self) -> Version:
        """The version the run started with."""
        return self._run.version

    @property
    def stage(self) -> StageId:
        """The stage being executed."""
        return self._job.stage

    @property
    def index(self) -> int:
        """Which instance of a mapped stage; else 0."""
        return self._job.index

    @property
    def attempt(self) -> int:
        """1 at the first try."""
        return self._job.attempt

    @property
    def max_attempts(self) -> int:
        """Tries in all."""
        return self._job.max_attempts

    @property
    def config(self) -> Any:
        """The stage's config, decoded once."""
        if self._config is _UNSET:
            self._config = self._read_config()
        return self._config

    @property
    def run_input(self) -> Any:
        """The run's input, decoded once."""
        if self._run_input is _UNSET:
            kind = self._served.definition.input_type
            self._run_input = self._payloads.codec.decode(self._input_text, kind, "run input")
        return self._run_input

    @property
    def deadline(self) -> datetime | None:
        """When this attempt will be ended, by the store's time."""
        return self._deadline

    @property
    def cancelled(self) -> bool:
        """True once this attempt was told to end."""
        return self._seat.stop is not None

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this stage instance."""
        return f"{self._job.run_id}/{self._job.stage}/{self._job.index}"

    @property
    def fencing_token(self) -> int:
        """Grows with every claim of the run."""
        return self._job.token

    def output(self, stage: Stage[Any, Any] | str) -> Any:
        """The output of an upstream stage."""
        stage_id, texts = self._texts(stage)
        if self._served.plan.stages[stage_id].mapped:
            msg = f"stage {stage_id!r} is mapped and has a list of outputs; read it with ctx.outputs({stage_id!r})"
            raise NotFoundError(msg)
        return self._decode(texts[0], self._served.definition.stage(stage_id).output_type, stage_id)

    def outputs(self, stage: Stage[Any, Any] | str) -> list[Any]:
        """The outputs of a mapped upstream stage, by index."""
        stage_id, texts = self._texts(stage)
        kind = self._served.definition.stage(stage_id).output_type
        return [self._decode(text, kind, stage_id) for text in texts]

    @property
    def all_outputs(self) -> Mapping[StageId, Any]:
        """Every upstream output by stage id."""
        mapped = {stage.id for stage in self._served.plan.stages.values() if stage.mapped}
        outputs = {stage: self.outputs(stage) if stage in mapped else self.output(stage) for stage in self._upstream}
        return MappingProxyType(outputs)

    def artifact(
        self, name: str, content: bytes | bytearray | memoryview, *, media_type: str = "application/octet-stream"
    ) -> Awaitable[None]:
        """Leave a file beside the output."""
        return self._shelf.put(name, content, media_type)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell how far it is."""
        told = float(done), None if total is None else float(total)
        if all(math.isfinite(number) for number in told if number is not None):
            self._on_progress(*told, str(message))

    def log(self, message: str, /, *, level: str = "info", **fields: object) -> None:
        """A structured log line that carries run, stage and attempt. Never fails the stage."""
        where = {"run": self.run_id, "stage": self.stage, "index": self.index, "attempt": self.attempt}
        try:
            getattr(logger, level if level in _LEVELS else "info")(str(message), **{**fields, **where})
        except Exception:  # noqa: BLE001  a log line is never worth a stage
            return

    def heartbeat(self) -> None:
        """Tell that the body is alive.

        Raises:
            LeaseLostError: the attempt was told to end: stop working.
        """
        if self._seat.stop is not None:
            msg = f"attempt {self.attempt} of {self._job.key} was told to end: {self._seat.stop}"
            raise LeaseLostError(msg)

    def _texts(self, stage: Stage[Any, Any] | str) -> tuple[StageId, tuple[Payload, ...]]:
        stage_id = stage.id if isinstance(stage, Stage) else StageId(stage)
        texts = self._upstream.get(stage_id)
        if texts is None:
            there = ", ".join(sorted(self._upstream)) or "none"
            msg = f"stage {stage_id!r} is not upstream of {self.stage!r}; upstream: {there}"
            raise NotFoundError(msg)
        return stage_id, texts

    def _decode(self, text: Payload, kind: Any, stage: StageId) -> Any:
        return self._payloads.codec.decode(text, kind, f"output of stage {stage}")

    def _read_config(self) -> Any:
        stage = self._served.definition.stage(self.stage)
        if stage.config_type is None:
            return None
        codec = self._payloads.codec
        given: dict[str, Any] = {}
        if self._config_text is not None:
            given = codec.decode(self._config_text, dict[str, Any], "config")
        part = codec.encode(given.get(self.stage, {}), f"config of stage {self.stage}")
        return codec.decode(part, stage.config_type, f"config of stage {self.stage}")
