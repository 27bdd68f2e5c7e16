"""The words of ``attempt.finish``: how an attempt may end, what is asked, and what is answered."""

from datetime import datetime, timedelta
from typing import ClassVar

import attrs

from mainspring.kernel.decision import Command
from mainspring.kernel.plan import Plan
from mainspring.ports.change import Change
from mainspring.ports.names import Payload
from mainspring.ports.records import Artifact, Failure, Job, JobKey, RunState, RunStatus


@attrs.frozen(kw_only=True, slots=False)
class Completed:
    """The body returned."""

    output: Payload
    #: the output taken apart, given where a mapped stage follows
    elements: tuple[Payload, ...] | None = None
    artifacts: tuple[Artifact, ...] = ()  #: what the attempt left beside it


@attrs.frozen(kw_only=True)
class Failed:
    """The body raised, timed out, or its output cannot be encoded. One that was told of a cancel is ``Cancelled``."""

    failure: Failure
    retryable: bool = True


@attrs.frozen(kw_only=True)
class Suspended:
    """The body waits, for a moment or for a wake-up. ``job.wakes`` is the count it last saw.

    Whoever saw a count also saw the run as it was then: a body that was told of a cancel ends as ``Cancelled``.
    """

    until: datetime | None


@attrs.frozen(kw_only=True)
class NotReady:
    """The body, or its check, returned ``Pending``."""

    state: Payload
    every: timedelta | None = None
    until: datetime | timedelta | None = None


@attrs.frozen(kw_only=True)
class Cancelled:
    """The body was told of the run's cancel and has ended, or was never called."""


Outcome = Completed | Failed | Suspended | NotReady | Cancelled


@attrs.frozen(kw_only=True, slots=False)
class AttemptFinished:
    """What became of the attempt."""

    #: the job as it stands now if the attempt's worker still holds it: at the next stage, or staying (``stays``)
    job: Job | None = None
    stays: bool = False  #: a wake-up came before the suspension: the body goes on with the newer inbox
    due: tuple[JobKey, ...] = ()  #: job rows that became claimable for anybody
    later: datetime | None = None  #: the attempt's own job will, at this moment: a retry, a suspension
    run_status: RunStatus  #: the run's status after it
    will_retry: bool = False
    suspended: bool = False  #: the job waits, for a moment or for a wake-up


@attrs.frozen(kw_only=True, slots=False)
class FinishAttempt(Command[AttemptFinished]):
    """End the attempt that holds ``job``."""

    name: ClassVar[str] = "attempt.finish"

    job: Job  #: as claimed or handed over, with the wake count the body last saw
    plan: Plan
    outcome: Outcome
    keep: bool = True  #: go on with the run's next stage under the same lease, where one stage follows in line
    started_told: bool = False  #: ``attempt.start`` was committed apart


@attrs.frozen(slots=False)
class Finish:
    """A finish decided: the result, what to write, and the state afterwards."""

    result: AttemptFinished
    change: Change
    state: RunState
