"""Observer: who watches what hosts do, for metrics and traces. None is watching unless the composition root says so.

Rules: an observer never raises, waits or blocks, and decides nothing. Hosts ask ``is None`` before they tell, so that
nobody watching costs nothing.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import attrs

from mainspring.ports.names import Route, SinkName, WorkflowId
from mainspring.ports.records import Backlog, Job, Lease, Run


class AttemptWatch(Protocol):
    """Watches one attempt. ``ended`` is called exactly once, in the task that the attempt began in."""

    def committing(self) -> None:
        """The body has ended; its outcome is about to be recorded."""
        ...

    def ended(self, outcome: str) -> None:
        """The attempt is over.

        ``outcome``: ``completed``, ``failed``, ``retrying``, ``suspended``, ``cancelled``, ``lease_lost`` (nothing was
        recorded), ``shutdown`` (given back), ``out_of_time``, or ``crashed`` (the host is being torn down).
        """
        ...


class Observer(Protocol):
    """Watches one process."""

    def starting(self, workflow: WorkflowId, count: int) -> AbstractContextManager[str | None]:
        """Stands around a start of so many runs; gives the trace they shall carry (``ports.trace``), or None."""
        ...

    def claimed(self, leases: Sequence[Lease], seconds: float) -> None:
        """A claim was answered after so many seconds, perhaps with nothing."""
        ...

    def attempting(self, run: Run, job: Job) -> AttemptWatch:
        """An attempt begins. What it sets in the task's context lasts until its end, for the body to see."""
        ...

    def committed(self, finishes: int, seconds: float) -> None:
        """So many finishes of one run were decided and written together, which took so many seconds."""
        ...

    def relayed(self, sink: SinkName, published: int, postponed: int, dead: int) -> None:
        """The relay of a sink settled a batch of events."""
        ...


@attrs.frozen(kw_only=True)
class Standing:
    """How a worker and its store stand at one moment."""

    ready: bool
    bodies: int  #: attempts under way
    slots: int  #: how many there may be
    stuck: int  #: bodies that were given up on and still live
    backlog: Backlog | None = None  #: None: the store did not tell
    unserved: tuple[Route, ...] = ()  #: routes with due jobs that no live worker serves


class Exposition(Observer, Protocol):
    """An observer that keeps figures, and can write them down. Its methods may be called from any thread."""

    content_type: str

    def page(self, standing: Standing) -> bytes:
        """All figures, in the form that ``content_type`` names."""
        ...
