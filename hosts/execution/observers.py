"""Several observers as one, told in their order; left in the opposite one."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager

from mainspring.ports.names import SinkName, WorkflowId
from mainspring.ports.observer import AttemptWatch, Observer
from mainspring.ports.records import Job, Lease, Run


def together(*observers: Observer | None) -> Observer | None:
    """One observer for all of these; None if there are none."""
    given = [observer for observer in observers if observer is not None]
    return given[0] if len(given) == 1 else Observers(given) if given else None


class Observers:
    """Tells each. The first trace that one of them gives is the run's."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    @contextmanager
    def starting(self, workflow: WorkflowId, count: int) -> Generator[str | None]:
        """All of their ``starting``."""
        with ExitStack() as stack:
            traces = [stack.enter_context(one.starting(workflow, count)) for one in self._observers]
            yield next((trace for trace in traces if trace is not None), None)

    def claimed(self, leases: Sequence[Lease], seconds: float) -> None:
        """Tell of a claim."""
        for one in self._observers:
            one.claimed(leases, seconds)

    def attempting(self, run: Run, job: Job) -> AttemptWatch:
        """All of their watches, as one."""
        return _Watches([one.attempting(run, job) for one in self._observers])

    def committed(self, finishes: int, seconds: float) -> None:
        """Tell of a Change."""
        for one in self._observers:
            one.committed(finishes, seconds)

    def relayed(self, sink: SinkName, published: int, postponed: int, dead: int) -> None:
        """Tell of a batch of events."""
        for one in self._observers:
            one.relayed(sink, published, postponed, dead)


class _Watches:
    def __init__(self, watches: Sequence[AttemptWatch]) -> None:
        self._watches = watches

    def committing(self) -> None:
        for watch in self._watches:
            watch.committing()

    def ended(self, outcome: str) -> None:
        for watch in reversed(self._watches):
            watch.ended(outcome)
