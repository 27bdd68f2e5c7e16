"""The state machine: clients, workers, upkeep and a relay over one store, any of which may die at any port call."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mainspring.kernel.commands.attempt_report import ReportProgress
from mainspring.kernel.commands.attempt_start import StartAttempt
from mainspring.kernel.commands.dead_letter_replay import ReplayDeadLetters
from mainspring.kernel.commands.job_release import ReleaseJob
from mainspring.kernel.commands.lease_reap import ReapLease
from mainspring.kernel.commands.outbox_settle import SettleOutbox
from mainspring.kernel.commands.run_cancel import CancelRun
from mainspring.kernel.commands.run_create import CreateRun
from mainspring.kernel.commands.run_expire import ExpireRun
from mainspring.kernel.commands.run_signal import SignalRun
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.fold import Answer
from mainspring.kernel.outcomes import AttemptFinished, Cancelled, Failed, FinishAttempt, Outcome, Suspended
from mainspring.kernel.plan import Plan
from mainspring.kernel.retry import Retry
from mainspring.ports.errors import CommandError, PortError
from mainspring.ports.names import LeaseId, Payload, RunId, SignalId, WorkerId
from mainspring.ports.records import TERMINAL_RUN_STATUSES, Failure, Job, Lease, RunFilter, RunState, RunStatus
from tests.kernel_records import drive
from tests.property.kernel_plans import SEEDS, shape_of
from tests.property.kernel_world import LEASE_LENGTH, Crash, Fault, Mutation, World

SECOND = timedelta(seconds=1)
PICKS = st.integers(0, 1000)
KINDS = ["crash", "unavailable", "stale", "unknown", "unknown_written", "meanwhile", "between"]


def fault_of(number: int) -> Fault | None:
    """No fault, or one of any kind; mostly another process between a decision and its commit."""
    pick, kind = divmod(number, 20)
    if kind < 5:
        return None
    if kind < 14:
        return Fault("between", 1, pick)
    if KINDS[kind - 14] == "stale":
        return Fault("stale", 1 if pick % 2 else 5)  # a cancel that is refused five times tells every job
    return Fault(KINDS[kind - 14], 1 + pick % 5, pick // 5)


FAULTS = st.integers(0, 19_999).map(fault_of)
OUTCOMES = st.sampled_from(
    ["completed", "completed", "completed", "failed", "final", "suspended", "suspended for a while", "cancelled"]
)
EVENT_RETRY = Retry(max_attempts=3, initial=SECOND, jitter=0.0)


@attrs.define
class Held:
    """An attempt as its worker knows it."""

    job: Job
    status: RunStatus  #: the run's, as the body last saw it


class Worker:
    """A process that holds leases; what it knows is gone when it dies."""

    def __init__(self, id: str) -> None:
        self.id = WorkerId(id)
        self.held: dict[LeaseId, Held] = {}
        self.states: dict[RunId, RunState | None] = {}

    def take(self, leases: list[Lease]) -> None:
        """Remember what was claimed."""
        self.held |= {lease.lease_id: Held(lease.job, lease.run.status) for lease in leases}

    def die(self) -> None:
        """Another process of the same name comes up; it knows nothing."""
        self.held.clear()
        self.states.clear()


class KernelMachine(RuleBasedStateMachine):
    """Anything may happen, in any order, and anybody may die at any point of it."""

    mutation: Mutation | None = None

    def __init__(self) -> None:
        super().__init__()
        self.world = World(type(self).mutation)
        self.world.meanwhile = self.meanwhile
        self.workers = [Worker(f"worker-{number}") for number in range(2)]
        self.signals = 0
        self.focus: RunId | None = None  #: the run that the rule is about: others are drawn to it

    # What the others do, too.

    def meanwhile(self, pick: int) -> None:
        """Another process does something in between, undisturbed."""
        deeds: list[Callable[[int], None]] = [
            self._claim_all,
            self._claim_and_release,
            *[self._claim_and_fail] * 2,
            *[self._finish_any] * 3,
            self._cancel_any,
            self._signal_any,
            self._extend_all,
            self._reap_all,
        ]
        dispatcher, self.world.dispatcher = (
            self.world.dispatcher,
            Dispatcher(self.world.calm, self.world.clock, self.world.ids),
        )
        try:
            deeds[pick % len(deeds)](pick // len(deeds))
        except (CommandError, PortError):
            pass
        finally:
            self.world.dispatcher = dispatcher

    def _claim_all(self, pick: int) -> None:
        self._worker(pick).take(self._claimed(self._worker(pick), 2))

    def _claimed(self, worker: Worker, limit: int) -> list[Lease]:
        return drive(self.world.calm.claim(self._routes(), limit=limit, length=LEASE_LENGTH, worker=worker.id))

    def _claim_and_release(self, pick: int) -> None:
        for lease in self._claimed(self._worker(pick), 3):
            drive(self.world.dispatcher.dispatch(ReleaseJob(job=lease.job)))

    def _claim_and_fail(self, pick: int) -> None:
        for lease in self._claimed(self._worker(pick), 3):
            outcome = self._outcome("failed", Held(lease.job, lease.run.status))
            drive(self.world.dispatcher.dispatch_all(lease.run.id, [self._finish(lease.job, outcome)], None))

    def _cancel_any(self, pick: int) -> None:
        if self.runs:
            run_id = self.focus or self._run(pick)
            self.world.cancels.add(run_id)
            drive(self.world.dispatcher.dispatch(CancelRun(run_id=run_id)))

    def _signal_any(self, pick: int) -> None:
        if self.runs:
            drive(self.world.dispatcher.dispatch(self._signal(pick, self.focus)))

    def _finish_any(self, pick: int) -> None:
        near = [
            (worker, mine)
            for worker in self.workers
            for lease_id, mine in worker.held.items()
            if mine.job.run_id == self.focus and lease_id not in self.world.interrupted
        ]
        held = near[pick % len(near)] if near else self._held(pick)
        if held is not None:
            worker, mine = held
            command = self._finish(mine.job, self._outcome("completed", mine))
            answers, _ = drive(self.world.dispatcher.dispatch_all(mine.job.run_id, [command], None))
            self._learn(worker, [mine], answers)

    def _extend_all(self, pick: int) -> None:
        leases = [(job.key, job.lease_id) for job in self.world.tables.jobs.rows() if job.lease_id is not None]
        drive(self.world.calm.extend(leases, LEASE_LENGTH))

    def _reap_all(self, pick: int) -> None:
        for lost in drive(self.world.calm.expired_leases(100)):
            if lost.job.lease_id is not None:
                drive(self.world.dispatcher.dispatch(ReapLease(key=lost.job.key, lease_id=lost.job.lease_id)))

    # Picking.

    @property
    def open_runs(self) -> list[RunId]:
        """Runs that have not ended."""
        return [run.id for run in self.world.tables.runs.rows() if run.status not in TERMINAL_RUN_STATUSES]

    @property
    def runs(self) -> list[RunId]:
        """Every run there is."""
        return list(self.world.shapes)

    def _run(self, pick: int) -> RunId:
        runs = self.open_runs if pick % 8 and self.open_runs else self.runs
        return runs[pick % len(runs)]

    def _worker(self, pick: int) -> Worker:
        return self.workers[pick % len(self.workers)]

    def _held(self, pick: int) -> tuple[Worker, Held] | None:
        held = [(worker, mine) for worker in self.workers for mine in worker.held.values()]
        return held[pick % len(held)] if held else None

    def _plan(self, run_id: RunId) -> Plan:
        return self.world.shapes[run_id].plan

    def _routes(self) -> set[Any]:
        return {shape.plan.route for shape in self.world.shapes.values()}

    def _signal(self, pick: int, run_id: RunId | None = None) -> SignalRun:
        self.signals += 1
        sent = SignalId(f"s{self.signals - pick % 2}")  # every other one comes twice
        return SignalRun(run_id=run_id or self._run(pick), signal="go", payload=Payload("1"), signal_id=sent)

    def _finish(self, job: Job, outcome: Outcome, *, keep: bool = True) -> FinishAttempt:
        return FinishAttempt(job=job, plan=self._plan(job.run_id), outcome=outcome, keep=keep)

    def _outcome(self, kind: str, mine: Held) -> Outcome:
        job = mine.job
        match kind:
            case "completed":
                shape = self.world.shapes[job.run_id]
                rows = drive(self.world.calm.stages(job.run_id))
                outputs = {(row.stage, row.index): row.output for row in rows if row.output is not None}
                node = shape.plan.stages[job.stage]
                return shape.body(job.stage, job.index, shape.inputs(node, job.index, outputs, job.input))
            case "failed" | "final" if kind == "final" or mine.status is not RunStatus.CANCELLING:
                return Failed(failure=Failure(code=kind, message="boom"), retryable=kind == "failed")
            case "suspended" | "suspended for a while" if mine.status is not RunStatus.CANCELLING:
                return Suspended(until=None if kind == "suspended" else self.world.clock.now() + 5 * SECOND)
            case _:
                return Cancelled()

    def _do(self, command: Any, fault: Fault | None, *mine: Job) -> Any:
        """Dispatch a command that may meet its fault, an error that says why not, or the end of its process."""
        with self.world.acting(*mine):
            try:
                return self.world.run(self.world.dispatcher.dispatch(command), fault)
            except (CommandError, PortError, Crash) as error:
                return error

    @initialize(seeds=st.lists(SEEDS, min_size=1, max_size=2))
    def begin(self, seeds: list[int]) -> None:
        """Two workers are busy with a run or two."""
        for seed in seeds:
            self.create(seed, None, None, None, None)
        for pick, worker in enumerate(self.workers):
            self.claim(pick, 2, None)
            assert len(worker.held) <= 2

    # Clients.

    @rule(
        seed=SEEDS,
        key=st.sampled_from([None, "k1", "k2", "k3"]),
        delay=st.sampled_from([None, None, 20]),
        timeout=st.sampled_from([None, None, None, 60]),
        fault=FAULTS,
    )
    @precondition(lambda self: len(self.open_runs) < 2)
    def create(self, seed: int, key: str | None, delay: int | None, timeout: int | None, fault: Fault | None) -> None:
        """Start a run; its client may never hear of it."""
        shape = shape_of(seed)
        known = set(self.world.snapshot().runs)
        command = CreateRun(
            plan=shape.plan,
            input=Payload(f"[{','.join(shape.elements('', 'input'))}]"),
            elements=shape.elements("", "input"),
            key=key,
            start_at=None if delay is None else self.world.clock.now() + delay * SECOND,
            timeout=None if timeout is None else timeout * SECOND,
        )
        answer = self._do(command, fault)
        there = set(self.world.snapshot().runs)
        created = there - known
        assert len(created) <= 1, "one start made two runs"
        for run_id in created:
            self.world.shapes[run_id] = shape
        if not isinstance(answer, BaseException):
            assert answer.run.id in there, "a start was answered without a run"
            assert answer.created == (answer.run.id in created)
            if key is not None:
                assert self.world.keys.setdefault(key, answer.run.id) == answer.run.id, "one key gave two runs"

    @rule(pick=PICKS, fault=FAULTS)
    @precondition(lambda self: self.runs)
    def signal(self, pick: int, fault: Fault | None) -> None:
        """Send a message."""
        command = self._signal(pick)
        before = self.world.snapshot().signals[command.run_id]
        self._do(command, fault)
        assert self.world.snapshot().signals[command.run_id] >= before

    @rule(pick=PICKS, key=st.sampled_from([None, None, "c1", "c2"]), fault=FAULTS)
    @precondition(lambda self: len(self.runs) > 1)
    def cancel(self, pick: int, key: str | None, fault: Fault | None) -> None:
        """Ask a run to stop."""
        self.focus = run_id = self._run(pick)
        self.world.cancels.add(run_id)
        self._do(CancelRun(run_id=run_id, idempotency_key=key), fault)

    # Workers.

    @rule(pick=PICKS, limit=st.integers(1, 3), fault=FAULTS)
    @precondition(lambda self: self.open_runs)
    def claim(self, pick: int, limit: int, fault: Fault | None) -> None:
        """Take what is due."""
        worker = self._worker(pick)
        claimed = self.world.store.claim(self._routes(), limit=limit, length=LEASE_LENGTH, worker=worker.id)
        try:
            worker.take(self.world.run(claimed, fault))
        except Crash:
            worker.die()
        except PortError:
            pass

    @rule(pick=PICKS, kind=OUTCOMES, keep=st.booleans(), kept_state=st.booleans(), fault=FAULTS)
    @precondition(lambda self: any(worker.held for worker in self.workers))
    def finish(self, pick: int, kind: str, keep: bool, kept_state: bool, fault: Fault | None) -> None:
        """End an attempt, on the state its process kept or on one that is read."""
        held = self._held(pick)
        if held is not None:
            worker, mine = held
            command = self._finish(mine.job, self._outcome(kind, mine), keep=keep)
            self._fold(worker, [mine], [command], fault, kept_state=kept_state)

    @rule(pick=PICKS, kinds=st.lists(OUTCOMES, min_size=2, max_size=4), kept_state=st.booleans(), fault=FAULTS)
    @precondition(lambda self: any(len(worker.held) > 1 for worker in self.workers))
    def finish_together(self, pick: int, kinds: list[str], kept_state: bool, fault: Fault | None) -> None:
        """End attempts of one run in one fold."""
        held = self._held(pick)
        if held is None:
            return
        worker, one = held
        together = [mine for mine in worker.held.values() if mine.job.run_id == one.job.run_id][: len(kinds)]
        commands = [
            self._finish(mine.job, self._outcome(kind, mine)) for mine, kind in zip(together, kinds, strict=False)
        ]
        self._fold(worker, together, commands, fault, kept_state=kept_state)

    def _fold(
        self, worker: Worker, held: list[Held], commands: list[FinishAttempt], fault: Fault | None, *, kept_state: bool
    ) -> None:
        self.focus = run_id = commands[0].job.run_id
        state = worker.states.get(run_id) if kept_state else None
        folded = self.world.dispatcher.dispatch_all(run_id, commands, state)
        with self.world.acting(*(mine.job for mine in held)):
            try:
                answers, worker.states[run_id] = self.world.run(folded, fault)
            except Crash:
                worker.die()
            except PortError:
                worker.states.pop(run_id, None)
            else:
                self._learn(worker, held, answers)

    def _learn(self, worker: Worker, held: list[Held], answers: list[Answer]) -> None:
        for mine, answer in zip(held, answers, strict=True):
            lease_id = mine.job.lease_id
            if lease_id is None or lease_id not in worker.held:
                continue
            if not isinstance(answer, AttemptFinished) or answer.job is None:
                del worker.held[lease_id]
                continue
            worker.held[lease_id] = Held(answer.job, mine.status)
            if answer.stays:
                self._see(worker.held[lease_id])

    def _see(self, mine: Held) -> None:
        """The body sees the wake count first, and then the run."""
        row, run = drive(self.world.calm.job(mine.job.key)), drive(self.world.calm.run(mine.job.run_id))
        if row is not None and run is not None and row.lease_id == mine.job.lease_id:
            mine.job, mine.status = row, run.status

    @rule(pick=PICKS, deed=st.sampled_from(["start", "report", "release"]), fault=FAULTS)
    @precondition(lambda self: any(worker.held for worker in self.workers))
    def tell(self, pick: int, deed: str, fault: Fault | None) -> None:
        """Tell of a start or of progress, or give the job back."""
        held = self._held(pick)
        if held is None:
            return
        worker, mine = held
        job = mine.job
        commands: dict[str, Callable[..., Any]] = {
            "start": StartAttempt,
            "report": partial(ReportProgress, done=1),
            "release": ReleaseJob,
        }
        answer = self._do(commands[deed](job=job), fault, job)
        if isinstance(answer, Crash):
            worker.die()
        elif deed == "release" and job.lease_id is not None and not isinstance(answer, PortError):
            worker.held.pop(job.lease_id, None)

    @rule(pick=PICKS, deed=st.sampled_from(["look", "look", "extend", "die"]))
    @precondition(lambda self: any(worker.held for worker in self.workers))
    def live(self, pick: int, deed: str) -> None:
        """A heartbeat, which tells a body of wake-ups or not; or a process is killed between two commands."""
        held = self._held(pick)
        if held is None:
            return
        worker, mine = held
        if deed == "die":
            worker.die()
        elif deed == "look":
            self._see(mine)
        else:
            leases = [(other.job.key, lease_id) for lease_id, other in worker.held.items()]
            drive(self.world.calm.extend(leases, LEASE_LENGTH))

    # Upkeep and time.

    @rule(seconds=st.sampled_from([1, 5, 31, 120]), fault=FAULTS)
    @precondition(lambda self: self.open_runs)
    def wait(self, seconds: int, fault: Fault | None) -> None:
        """Time passes, and upkeep follows."""
        self.world.clock.advance(seconds * SECOND)
        self._reap(fault)
        self._expire(fault)

    def _reap(self, fault: Fault | None) -> None:
        for lost in drive(self.world.calm.expired_leases(3)):
            if lost.job.lease_id is not None:
                self._do(ReapLease(key=lost.job.key, lease_id=lost.job.lease_id), fault)

    def _expire(self, fault: Fault | None) -> None:
        for run_id in drive(self.world.calm.overdue_runs(3)):
            self._do(ExpireRun(run_id=run_id), fault)

    @rule(limit=st.integers(1, 5), refused=st.sets(st.integers(0, 4)), fault=FAULTS)
    @precondition(lambda self: self.runs)
    def publish(self, limit: int, refused: set[int], fault: Fault | None) -> None:
        """The relay publishes; the sink takes some, and dies or not before that is written down."""
        lease_id = self.world.ids.new_lease_id()
        if not drive(self.world.calm.lease_relay(lease_id, SECOND)):
            return
        events = drive(self.world.calm.unpublished(limit))
        behind: set[RunId] = set()
        answers: list[str | None] = []
        for number, event in enumerate(events):
            if number in refused or event.run_id in behind:
                behind.add(event.run_id)
                answers.append("down")
            else:
                self.world.deliver(event)
                answers.append(None)
        settle = SettleOutbox(lease_id=lease_id, events=tuple(events), answers=tuple(answers), retry=EVENT_RETRY)
        self._do(settle, fault)
        drive(self.world.calm.release_relay(lease_id))

    @rule(limit=st.integers(1, 3), fault=FAULTS)
    @precondition(lambda self: self.world.tables.dead_letters.rows())
    def replay(self, limit: int, fault: Fault | None) -> None:
        """Somebody has events published again that were given up on."""
        self._do(ReplayDeadLetters(limit=limit), fault)

    @invariant()
    def everything_holds(self) -> None:
        """After every rule."""
        self.world.check()

    # The end: heal and drain.

    def teardown(self) -> None:
        """With working processes every run reaches its end, and every event is published."""
        for worker in self.workers:
            worker.die()
        for _ in range(100):
            if not self._drain():
                break
        self.world.check()
        open_runs = [run.id for run in self._all_runs() if run.status not in TERMINAL_RUN_STATUSES]
        assert not open_runs, "a run never ended"
        for _ in range(200):
            if not self.world.tables.outbox.rows():
                break
            self.world.clock.advance(5 * SECOND)
            self.publish(100, set(), None)
        assert not self.world.tables.outbox.rows(), "an event was never published"
        self.world.check()

    def _all_runs(self) -> list[Any]:
        return drive(self.world.calm.runs(RunFilter(), limit=1000))

    def _drain(self) -> bool:
        self.world.clock.advance(61 * SECOND)
        self._reap(None)
        self._expire(None)
        for run in self._all_runs():
            jobs = drive(self.world.calm.jobs(run.id))
            if any(job.available_at is None for job in jobs):
                self._do(SignalRun(run_id=run.id, signal="go", payload=Payload("1")), None)
        worker = self.workers[0]
        worker.take(drive(self.world.store.claim(self._routes(), limit=100, length=LEASE_LENGTH, worker=worker.id)))
        for _ in range(200):
            if not worker.held:
                break
            mine = next(iter(worker.held.values()))
            run = drive(self.world.calm.run(mine.job.run_id))
            assert run is not None
            kind = "cancelled" if run.status is RunStatus.CANCELLING else "completed"
            self._fold(worker, [mine], [self._finish(mine.job, self._outcome(kind, mine))], None, kept_state=False)
            self.world.check()
        assert not worker.held, "a finish was refused for ever"
        return any(run.status not in TERMINAL_RUN_STATUSES for run in self._all_runs())
