"""The executor: works a claimed lease off, and on with the run's next stages while the lease is kept.

Shared by every host. It keeps no timers of its own but those of the attempts under way.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from structlog.typing import FilteringBoundLogger

from mainspring.hosts.execution.attempts import Attempts, Released, Work
from mainspring.hosts.execution.bodies import Bodies
from mainspring.hosts.execution.failures import failure_of
from mainspring.hosts.execution.live import LiveList, Seat, Stop
from mainspring.hosts.execution.mailboxes import Box, Mailboxes
from mainspring.hosts.execution.parts import Parts, Timing
from mainspring.hosts.execution.payloads import Payloads
from mainspring.hosts.execution.registry import Served, WorkflowRegistry
from mainspring.hosts.execution.reports import Reports
from mainspring.kernel.commands.attempt_finish import (
    AttemptFinished,
    Cancelled,
    Completed,
    Failed,
    FinishAttempt,
    NotReady,
    Outcome,
)
from mainspring.kernel.commands.job_release import ReleaseJob
from mainspring.kernel.decision import Command
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.ports.errors import (
    ContendedError,
    LeaseLostError,
    MainspringError,
    PortError,
    ReadOnlyError,
    StoreFullError,
    UnavailableError,
    UnknownOutcomeError,
)
from mainspring.ports.names import RunId
from mainspring.ports.observer import AttemptWatch
from mainspring.ports.records import (
    TERMINAL_RUN_STATUSES,
    Job,
    JobKey,
    Lease,
    Pointer,
    Run,
    RunState,
    RunStatus,
)

R = TypeVar("R")

logger = structlog.get_logger("mainspring.executor")

_PASSING = (ContendedError, ReadOnlyError, StoreFullError, UnavailableError, UnknownOutcomeError)

MOST_REFUSALS = 5
"""How often a store may refuse an outcome for no reason that passes, before the attempt is left to be reaped."""

OnEnded = Callable[[RunId, Run | None], None]
"""Hears of a run that has ended, and gets its record where that is known without reading."""


class Executor:
    """Works leases off. ``on_ended`` hears of every run whose final status this executor recorded."""

    def __init__(
        self,
        parts: Parts,
        registry: WorkflowRegistry,
        timing: Timing,
        on_ended: OnEnded | None = None,
        *,
        mailboxes: Mailboxes | None = None,
    ) -> None:
        self.dispatcher = Dispatcher(parts.store, parts.clock, parts.ids)
        self.live = LiveList()
        self.finished = 0  #: attempts that ended with a recorded outcome
        #: told that a job of this process waits for a later moment: who sleeps until the next due one must look again
        self.on_postponed: Callable[[], None] | None = None
        self._parts = parts
        self._registry = registry
        self._timing = timing
        self._on_ended = on_ended
        self._log: FilteringBoundLogger = logger.bind()  # bound once: a line that is filtered out costs next to nothing
        self._observer = parts.observer
        self._mailboxes = mailboxes or Mailboxes(self.dispatcher, parts.observer)
        self._threads = parts.threads()
        self._bodies = Bodies(self._threads, timing.cancel_grace.total_seconds())
        payloads = Payloads(parts.codec, parts.blobs, parts.limits)
        self._attempts = Attempts(parts, payloads, self._bodies, timing.attempt_maximum)
        self._reports = Reports(self.dispatcher, timing)

    @property
    def stuck(self) -> int:
        """Bodies that were given up on and still live."""
        return self._bodies.stuck

    async def dispatch(self, run_id: RunId, command: Command[R]) -> R:
        """Dispatch a command about a run: between two folds, if this process works on it.

        Raises:
            CommandError, PortError: as the dispatcher does.
        """
        return await self._mailboxes.between_folds(run_id, lambda: self.dispatcher.dispatch(command))

    def close(self) -> None:
        """Let idle threads end."""
        self._threads.close()

    async def execute(self, lease: Lease, until: float, keep: Callable[[], bool] = lambda: True) -> str:
        """Work the lease off; how its last attempt ended, in a word.

        ``until``: when the lease runs out, on the loop's clock. ``keep`` is asked before each hand-over: whether to
        go on with the run's next stage under the same lease.
        """
        run, loop = lease.run, asyncio.get_running_loop()  # once: to find it costs a system call
        served = self._registry.by_fingerprint(run.workflow, run.version, run.fingerprint)
        if served is None:
            await self.release(lease.job)
            return "released"
        box = self._mailboxes.open(run.id, run.revision, _fresh_state(run, served))
        word = "released"
        try:
            with self.live.join(lease.job, lease.lease_id, until) as seat:
                job: Job | None = lease.job
                while job is not None:
                    seat.turn_to(job, loop.time())
                    report = self._reports.open(job, loop)
                    work = Work(run=run, job=job, served=served, seat=seat, box=box, report=report, loop=loop)
                    job, word = await (self._attempt if self._observer is None else self._watched)(work, keep)
        finally:
            self._mailboxes.close(box)
        return word

    async def _watched(self, work: Work, keep: Callable[[], bool]) -> tuple[Job | None, str]:
        """An attempt that is watched."""
        if self._observer is None:
            return await self._attempt(work, keep)
        watch = self._observer.attempting(work.run, work.job)
        word = "crashed"
        try:
            job, word = await self._attempt(work, keep, watch)
            return job, word
        finally:
            watch.ended(word)

    async def _attempt(
        self, work: Work, keep: Callable[[], bool], watch: AttemptWatch | None = None
    ) -> tuple[Job | None, str]:
        """One attempt and its record; the job if this worker goes on with it, and a word for its outcome."""
        job, box, plan = work.job, work.box, work.served.plan
        try:
            outcome = await self._made(work)
        finally:
            started_told = await work.report.close()
        if isinstance(outcome, Released):
            if outcome.reason is Stop.SHUTDOWN or not outcome.called:  # the store may think the lease is still ours
                await self.release(job)
            return None, str(outcome.reason)
        goes_on = keep() and work.seat.until > work.loop.time()
        command = FinishAttempt(job=job, plan=plan, outcome=outcome, keep=goes_on, started_told=started_told)
        work.seat.recording = True
        if watch is not None:
            watch.committing()
        finished = await self._finish(command, work.seat, box)
        if finished is None:
            return None, "lease_lost"
        if isinstance(outcome, Completed) and not plan.stages[job.stage].mapped:
            box.keep_output(job.stage, outcome.output)  # only what is on record may reach the stages that follow
        self.finished += 1
        word = _word(outcome, finished)
        await self._tell(job, finished, box, word)
        return finished.job, word

    async def _made(self, work: Work) -> Outcome | Released:
        if work.run.status is RunStatus.CANCELLING or work.seat.stop is Stop.CANCELLED:
            return Cancelled()
        try:
            return await self._attempts.make(work)
        except Exception as error:  # a mistake of ours, or a value that broke our code: never a stuck run
            logger.exception("attempt_crashed", run=work.run.id, stage=work.job.stage, index=work.job.index)
            return Failed(failure=failure_of(error, code="internal"))

    async def _finish(self, command: FinishAttempt, seat: Seat, box: Box) -> AttemptFinished | None:
        """Record the outcome, for as long as the lease lasts; None when the lease is gone."""
        delay = 0.05
        refusals = 0
        where = {"run": command.job.run_id, "stage": command.job.stage, "index": command.job.index}
        while True:
            try:
                return await box.finish(command)
            except LeaseLostError:
                return None
            except PortError as error:
                left = seat.until - asyncio.get_running_loop().time()
                refusals += not isinstance(error, _PASSING)
                if seat.stop is Stop.LEASE_LOST or left <= 0 or refusals >= MOST_REFUSALS:
                    logger.warning("outcome_not_recorded", **where, error=str(error))
                    return None
                if not isinstance(error, UnknownOutcomeError):
                    logger.warning("store_failed", **where, error=str(error))
            delay = min(delay * 2 * (0.5 + self._parts.ids.random()), 2.0)
            await asyncio.sleep(delay)

    async def _tell(self, job: Job, finished: AttemptFinished, box: Box, word: str) -> None:
        over = finished.run_status in TERMINAL_RUN_STATUSES
        log = self._log.info if over else self._log.debug
        log(
            "attempt_ended",
            run=job.run_id,
            stage=job.stage,
            index=job.index,
            attempt=job.attempt,
            outcome=word,
            run_status=finished.run_status.value,
        )
        if finished.due:
            await self.send(finished.due)
        if finished.later is not None:
            await self.send_later(job.key, finished.later)
            if self.on_postponed is not None:
                self.on_postponed()
        if over:
            if box.holders > 1:
                for seat in self.live.of_run(job.run_id):
                    if seat.job is not job:
                        seat.tell(Stop.LEASE_LOST)
            if self._on_ended is not None:
                self._on_ended(job.run_id, None if box.state is None else box.state.run)
            await self._tell_ended(job.run_id)

    async def _tell_ended(self, run_id: RunId) -> None:
        """Hint to those who wait for the run in other processes."""
        try:
            await self._parts.feed.ended([run_id])
        except PortError as error:
            logger.warning("end_not_told", run=run_id, error=str(error))

    async def send(self, due: Sequence[JobKey], after: timedelta = timedelta(0)) -> None:
        """Hint that jobs are due, or will be after some time. A hint that cannot be sent costs latency only."""
        try:
            await self._parts.transport.send([Pointer.to(key) for key in due], max(after, timedelta(0)))
        except MainspringError as error:  # of any kind: what it tells of is on record
            logger.warning("hint_not_sent", error=str(error))

    async def send_later(self, key: JobKey, due: datetime) -> None:
        """Hint that the job is due at a moment; as ``send``."""
        await self.send([key], due - self._parts.clock.now())

    async def release(self, job: Job) -> None:
        """Give the job back, its attempt refunded."""
        try:
            released = await self.dispatcher.dispatch(ReleaseJob(job=job))
        except PortError as error:  # the lease runs out by itself
            logger.warning("job_not_released", run=job.run_id, stage=job.stage, error=str(error))
            return
        if released.released:
            await self.send([job.key])


def _word(outcome: Outcome, finished: AttemptFinished) -> str:
    """How the attempt ended, in a word."""
    if finished.will_retry:
        return "retrying"
    if finished.suspended:
        return "suspended"
    return "failed" if isinstance(outcome, NotReady) else type(outcome).__name__.lower()


def _fresh_state(run: Run, served: Served) -> RunState | None:
    """The state of a run that has not moved since its creation is known without reading; else None."""
    if run.revision > 0 or run.rerun_of is not None or served.first_tallies is None:
        return None
    return RunState(run=run, stages=served.first_tallies)


def cancel_seats(executor: Executor, run_id: RunId) -> int:
    """Tell this process' attempts of a run that it is being cancelled; how many there are."""
    seats = executor.live.of_run(run_id)
    for seat in seats:
        seat.tell(Stop.CANCELLED)
    return len(seats)
