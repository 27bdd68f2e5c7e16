"""Direct calls of a function: start, signal, cancel, status; as data in, as data out.

Rule: a request is exactly of the form told here, or refused; whatever happens is answered, with a code that callers may
rely on. ``{"ok": true, "run": …}`` or ``{"ok": false, "error": {"code", "message", "retry", "problems"}}``; ``retry``
tells whether the same request may succeed later.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import attrs
import structlog

from mainspring.ports import errors
from mainspring.ports.errors import CommandError, InvalidValueError, PortError, Problem
from mainspring.ports.names import Payload, RunId
from mainspring.ports.records import Run, RunStatus

logger = structlog.get_logger("mainspring.serverless")

MOST_OUTPUT = 5 * 2**20
"""Bytes of an output that fits into an answer; Lambda takes 6 MB in all."""

SUBJECT = "request"

FIELDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "start": {
        "workflow": (str,),
        "input": (object,),
        "key": (str,),
        "config": (dict,),
        "priority": (int,),
        "tags": (list,),
        "metadata": (object,),
        "start_at": (str,),
        "timeout_seconds": (int, float),
    },
    "signal": {"run": (str,), "name": (str,), "payload": (object,), "id": (str,)},
    "cancel": {"run": (str,), "reason": (str,), "key": (str,)},
    "status": {"run": (str,), "output": (bool,)},
}
"""What each action takes. A field that may be left out may also be null."""

NEEDED: Mapping[str, tuple[str, ...]] = {
    "start": ("workflow",),
    "signal": ("run", "name"),
    "cancel": ("run",),
    "status": ("run",),
}

CODES: Mapping[type[Exception], str] = {
    InvalidValueError: "invalid",
    errors.NotFoundError: "not_found",
    errors.ConflictError: "conflict",
    errors.FinishedError: "finished",
    errors.DefinitionError: "definition",
    errors.SettingsError: "settings",
    errors.ContendedError: "contended",
    errors.UnknownOutcomeError: "unknown_outcome",
    errors.UnavailableError: "unavailable",
    errors.ReadOnlyError: "read_only",
    errors.StoreFullError: "store_full",
    errors.SchemaError: "schema",
    errors.BlobNotFoundError: "blob",
    errors.BlobCorruptError: "blob",
}
"""The codes of errors, which stay; others of a kind are ``refused`` or ``unavailable``, and mistakes ``internal``."""


class Desk(Protocol):
    """What direct calls ask for; each method raises ``CommandError`` or ``PortError``."""

    async def start(self, workflow: str, value: Any, options: Mapping[str, Any]) -> tuple[RunId, bool]:
        """Start a run, with options as a start takes them; its id, and whether it is a new one."""
        ...

    async def signal(self, run_id: RunId, name: str, payload: Any, *, id: str | None = None) -> bool:
        """Send the run a message; whether it is a new one."""
        ...

    async def cancel(self, run_id: RunId, reason: str | None, *, idempotency_key: str | None = None) -> RunStatus:
        """Stop the run; its status."""
        ...

    async def run(self, run_id: RunId) -> Run:
        """The run's record."""
        ...

    async def output_text(self, run: Run) -> Payload:
        """A completed run's output, as JSON."""
        ...


async def answer(desk: Desk, event: Any) -> dict[str, Any]:
    """What the request asks for, done; or why not. Raises nothing but what ends the process."""
    try:
        action, fields = read(event)
        return {"ok": True, "run": await _done(desk, action, fields)}
    except Exception as error:  # noqa: BLE001  told as data
        return refusal(error)


def refusal(error: Exception) -> dict[str, Any]:
    """The error as an answer. A mistake of ours is logged, and not told in words that may hold anything."""
    code = next((code for kind, code in CODES.items() if isinstance(error, kind)), None)
    message = str(error)
    if code is None and isinstance(error, PortError):
        code = "unavailable"
    elif code is None and isinstance(error, CommandError):
        code = "refused"
    elif code is None:
        logger.error("direct_call_failed", exc_info=error)
        code, message = "internal", f"{type(error).__name__}; the function's log tells more"
    told: dict[str, Any] = {"code": code, "message": message, "retry": isinstance(error, PortError), "problems": []}
    if isinstance(error, InvalidValueError):
        told["problems"] = [{"path": one.path, "message": one.message} for one in error.problems]
    return {"ok": False, "error": told}


def read(event: Any) -> tuple[str, dict[str, Any]]:
    """The action and the fields that are given.

    Raises:
        InvalidValueError: every problem of the request, with its path.
    """
    if not isinstance(event, dict):
        raise _invalid("$", f"expected an object, found {type(event).__name__}")
    request: dict[str, Any] = {str(name): value for name, value in event.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    action = request.pop("action", None)
    if not isinstance(action, str) or action not in FIELDS:
        raise _invalid("$.action", f"expected one of {', '.join(FIELDS)}")
    known = FIELDS[action]
    given = {name: value for name, value in request.items() if value is not None}
    problems = [Problem(f"$.{name[:50]}", f"{action} knows no such field") for name in request if name not in known]
    problems += [Problem(f"$.{name}", f"{action} needs it") for name in NEEDED[action] if name not in given]
    for name, value in given.items():
        kinds = known.get(name, (object,))
        if not isinstance(value, kinds) or (isinstance(value, bool) and int in kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            problems.append(Problem(f"$.{name}", f"expected {wanted}, found {type(value).__name__}"))
    if problems:
        raise InvalidValueError(SUBJECT, tuple(problems[:50]))
    return action, given


async def _done(desk: Desk, action: str, fields: dict[str, Any]) -> dict[str, Any]:
    if action == "start":
        run_id, created = await desk.start(fields.pop("workflow"), fields.pop("input", None), _options(fields))
        return {"id": run_id, "created": created}
    run_id = RunId(fields["run"])
    if action == "signal":
        new = await desk.signal(run_id, fields["name"], fields.get("payload"), id=fields.get("id"))
        return {"id": run_id, "new": new}
    if action == "cancel":
        status = await desk.cancel(run_id, fields.get("reason"), idempotency_key=fields.get("key"))
        return {"id": run_id, "status": status.value}
    return await _status(desk, run_id, with_output=fields.get("output", False))


def _options(fields: dict[str, Any]) -> dict[str, Any]:
    """A start's options, as the engine takes them."""
    if "start_at" in fields:
        try:
            fields["start_at"] = datetime.fromisoformat(fields["start_at"])
        except ValueError:
            raise _invalid("$.start_at", "expected a moment like 2030-01-31T12:00:00+00:00") from None
    if "timeout_seconds" in fields:
        try:
            fields["timeout"] = timedelta(seconds=fields.pop("timeout_seconds"))
        except (OverflowError, ValueError):
            raise _invalid("$.timeout_seconds", "expected a number of seconds, at most 100 years") from None
    return fields


async def _status(desk: Desk, run_id: RunId, *, with_output: bool) -> dict[str, Any]:
    run = await desk.run(run_id)
    told: dict[str, Any] = {
        "id": run.id,
        "workflow": run.workflow,
        "version": run.version,
        "status": run.status.value,
        "key": run.key,
        "tags": list(run.tags),
        "created_at": _moment(run.created_at),
        "started_at": _moment(run.started_at),
        "finished_at": _moment(run.finished_at),
        "cancel_reason": run.cancel_reason,
        "failure": None,
    }
    if run.failure is not None:
        told["failure"] = attrs.asdict(run.failure, filter=attrs.filters.include("code", "message", "type", "stage"))
    if with_output and run.status is RunStatus.COMPLETED:
        text = await desk.output_text(run)
        if len(text.encode()) > MOST_OUTPUT:
            raise _invalid("$.output", f"the output is larger than an answer may be ({MOST_OUTPUT:,} bytes)")
        told["output"] = json.loads(text)
    return told


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _invalid(path: str, message: str) -> InvalidValueError:
    return InvalidValueError(SUBJECT, (Problem(path, message),))
