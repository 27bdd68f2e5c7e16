"""What several commands ask of a run before they decide."""

from typing import TypeVar

from mainspring.ports.errors import FinishedError, NotFoundError
from mainspring.ports.names import RunId
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Run, RunState

R = TypeVar("R", Run, RunState)


def require_run(run: R | None, run_id: RunId) -> R:
    """The run, or its state.

    Raises:
        NotFoundError: there is none of that id.
    """
    if run is None:
        msg = f"no run {run_id}; list the runs there are with `mainspring runs list`"
        raise NotFoundError(msg)
    return run


def require_active(run: Run) -> Run:
    """The run, if it may still change.

    Raises:
        FinishedError: its status is final.
    """
    if run.status in TERMINAL_RUN_STATUSES:
        msg = f"run {run.id} has ended as {run.status}; nothing can change it any more"
        raise FinishedError(msg)
    return run
