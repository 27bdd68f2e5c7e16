"""The one path of every command, over memory persistence: refusals, unknown outcomes, keys and races.

A script names the point (``commit:before`` …) and its occurrence, and what happens there: an error, or another process.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from mainspring.adapters.memory.clock import ManualClock
from mainspring.adapters.memory.ids import SeededIds
from mainspring.adapters.memory.persistence import MemoryPersistence
from mainspring.kernel import dispatcher as dispatching
from mainspring.kernel.commands import HANDLERS
from mainspring.kernel.commands.attempt_start import StartAttempt
from mainspring.kernel.commands.job_release import ReleaseJob
from mainspring.kernel.commands.lease_reap import ReapLease
from mainspring.kernel.commands.outbox_settle import SettleOutbox
from mainspring.kernel.commands.run_cancel import CancelRun
from mainspring.kernel.commands.run_create import RunCreated
from mainspring.kernel.commands.run_expire import ExpireRun
from mainspring.kernel.commands.run_signal import SignalRun
from mainspring.kernel.dispatcher import MAX_TRIES, Dispatcher, content_hash
from mainspring.kernel.fold import Answer
from mainspring.kernel.outcomes import AttemptFinished, Cancelled, Completed, Failed, Outcome, Suspended
from mainspring.kernel.plan import Plan
from mainspring.kernel.retry import Retry
from mainspring.ports.errors import (
    ConflictError,
    ContendedError,
    FinishedError,
    LeaseLostError,
    NotFoundError,
    StaleChange,
    StoreFullError,
    UnavailableError,
    UnknownOutcomeError,
)
from mainspring.ports.names import Payload, RunId, SignalId, WorkerId
from mainspring.ports.records import Job, JobKey, RunFilter, RunState, RunStatus
from mainspring.ports.sinks import Sink
from tests.kernel_records import BOOM, LINE, ONE, SECOND, A, B, create, drive, finish, plan, stage

DONE = Completed(output=Payload("1"))
TWO = plan(stage("a"), stage("b"))
LEASE_LENGTH = timedelta(seconds=30)

Happening = BaseException | Callable[[], object]


class World:
    """A store, a dispatcher over it that a script steps between, and another process that nobody disturbs."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ids = SeededIds(self.clock)
        self.store = MemoryPersistence(self.clock, self.ids, point=self._point)
        self.calm = self.store.another()
        drive(self.calm.add_sink(Sink()))
        self.dispatcher = Dispatcher(self.store, self.clock, self.ids)
        self.others = Dispatcher(self.calm, self.clock, self.ids)
        self.script: dict[tuple[str, int], Happening] = {}
        self.always: dict[str, Happening] = {}
        self.passed: Counter[str] = Counter()

    async def _point(self, name: str) -> None:
        self.passed[name] += 1
        happening = self.script.pop((name, self.passed[name]), None) or self.always.get(name)
        if isinstance(happening, BaseException):
            raise happening
        if happening is not None:
            happening()

    def start(self, of: Plan = ONE, **fields: Any) -> RunCreated:
        return drive(self.others.dispatch(create(of, **fields)))

    def claim(self, of: Plan = ONE, limit: int = 1) -> list[Job]:
        leases = drive(self.calm.claim([of.route], limit=limit, length=LEASE_LENGTH, worker=WorkerId("w")))
        return [lease.job for lease in leases]

    def finish(
        self, of: Plan, outcome: Outcome, *jobs: Job, state: RunState | None = None
    ) -> tuple[list[Answer], RunState | None]:
        commands = [finish(of, job, outcome) for job in jobs]
        return drive(self.dispatcher.dispatch_all(jobs[0].run_id, commands, state))

    def cancel(self, run_id: RunId, key: str | None = None, reason: str | None = None) -> RunStatus:
        command = CancelRun(run_id=run_id, idempotency_key=key, reason=reason)
        return drive(self.dispatcher.dispatch(command)).status

    def status(self, run_id: RunId) -> RunStatus:
        run = drive(self.calm.run(run_id))
        assert run is not None
        return run.status

    def runs(self) -> int:
        return len(drive(self.calm.runs(RunFilter(), limit=100)))

    def events(self) -> list[str]:
        return [event.type for event in drive(self.calm.unpublished(100))]


@pytest.fixture
def world() -> World:
    return World()


def finished(answer: Answer) -> AttemptFinished:
    assert isinstance(answer, AttemptFinished)
    return answer


# One command.


def test_a_command_is_decided_and_written(world: World) -> None:
    created = drive(world.dispatcher.dispatch(create()))
    assert created.created
    assert world.status(created.run.id) is RunStatus.PENDING


def test_a_start_reads_nothing_before_its_first_commit(world: World) -> None:
    drive(world.dispatcher.dispatch(create(key="k")))
    assert set(world.passed) == {"commit:before", "commit:after"}


def test_a_refused_command_is_loaded_and_decided_again(world: World) -> None:
    run_id = world.start().run.id
    world.script["commit:before", 1] = StaleChange("refused")
    assert world.cancel(run_id) is RunStatus.CANCELLED
    assert world.passed["run:before"] == 2


def test_a_race_lost_for_real_is_decided_on_what_won(world: World) -> None:
    run_id = world.start().run.id
    world.script["commit:before", 1] = world.claim
    assert world.cancel(run_id) is RunStatus.CANCELLING


@pytest.mark.promise(2)
@pytest.mark.fault(89)
def test_a_cancel_that_loses_to_the_completion_says_so(world: World) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    done = [finish(ONE, job, DONE)]
    world.script["commit:before", 1] = lambda: drive(world.others.dispatch_all(run_id, done, None))
    with pytest.raises(FinishedError, match="ended as completed"):
        world.cancel(run_id)


def test_a_command_that_loses_twenty_races_gives_up(world: World) -> None:
    run_id = world.start().run.id
    world.always["commit:before"] = StaleChange("refused")
    with pytest.raises(ContendedError, match="20 times"):
        world.cancel(run_id)
    assert world.passed["commit:before"] == MAX_TRIES


def test_a_cancel_that_keeps_losing_to_claims_tells_every_job_instead(world: World) -> None:
    run_id = world.start(plan(*(stage(f"s{number}") for number in range(9)))).run.id
    claims = [world.claim] * 5
    world.script |= {("commit:before", number + 1): claim for number, claim in enumerate(claims)}
    assert world.cancel(run_id) is RunStatus.CANCELLING
    assert world.passed["commit:before"] == 6


def test_facts_are_drawn_once_and_reused_on_every_repeat(world: World) -> None:
    world.script["commit:before", 1] = StaleChange("refused")
    world.script["commit:before", 2] = lambda: world.clock.advance(SECOND)
    created = drive(world.dispatcher.dispatch(create()))
    assert created.run.created_at == world.clock.now() - SECOND


@pytest.mark.parametrize("error", [UnavailableError("down"), StoreFullError("full")])
def test_a_store_that_fails_before_anything_was_unsure_has_written_nothing(world: World, error: Exception) -> None:
    world.script["commit:before", 1] = error
    with pytest.raises(type(error)):
        drive(world.dispatcher.dispatch(create()))
    assert world.runs() == 0


@pytest.mark.parametrize(
    "command",
    [
        CancelRun(run_id=RunId("x")),
        ExpireRun(run_id=RunId("x")),
        SignalRun(run_id=RunId("x"), signal="s", payload=DONE.output),
    ],
)
def test_a_command_to_a_run_that_is_not_there_says_so(world: World, command: Any) -> None:
    with pytest.raises(NotFoundError, match="no run x"):
        drive(world.dispatcher.dispatch(command))


def test_every_handler_is_bound_to_a_command_of_another_name() -> None:
    names = [command.name for command in HANDLERS]
    assert len(set(names)) == len(names)


# Unknown outcomes.


@pytest.mark.fault(5)
@pytest.mark.fault(14)
@pytest.mark.parametrize("point", ["commit:before", "commit:after"], ids=["not written", "written"])
@pytest.mark.parametrize("key", [None, "k"])
def test_a_start_of_unknown_outcome_is_one_run(world: World, point: str, key: str | None) -> None:
    world.script[point, 1] = UnknownOutcomeError("lost")
    created = drive(world.dispatcher.dispatch(create(key=key)))
    assert created.created
    assert world.runs() == 1
    assert world.events() == ["run.created"]


@pytest.mark.promise(9)
@pytest.mark.fault(5)
@pytest.mark.fault(88)
@pytest.mark.parametrize("point", ["commit:before", "commit:after"], ids=["not written", "written"])
@pytest.mark.parametrize("id", [None, SignalId("s1")])
def test_a_message_of_unknown_outcome_is_in_the_inbox_once(world: World, point: str, id: SignalId | None) -> None:
    run_id = world.start().run.id
    world.script[point, 1] = UnknownOutcomeError("lost")
    drive(world.dispatcher.dispatch(SignalRun(run_id=run_id, signal="go", payload=Payload("1"), signal_id=id)))
    assert len(drive(world.calm.inbox(run_id))) == 1


@pytest.mark.fault(5)
@pytest.mark.parametrize("point", ["commit:before", "commit:after"], ids=["not written", "written"])
@pytest.mark.parametrize("key", [None, "k"])
def test_a_cancel_of_unknown_outcome_is_one_cancel(world: World, point: str, key: str | None) -> None:
    run_id = world.start().run.id
    world.script[point, 1] = UnknownOutcomeError("lost")
    assert world.cancel(run_id, key) is RunStatus.CANCELLED
    assert world.events().count("run.cancelled") == 1


@pytest.mark.fault(5)
@pytest.mark.parametrize(("point", "told"), [("commit:before", True), ("commit:after", False)])
def test_a_release_of_unknown_outcome_refunds_one_attempt(world: World, point: str, told: bool) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    world.script[point, 1] = UnknownOutcomeError("lost")
    assert drive(world.dispatcher.dispatch(ReleaseJob(job=job))).released is told
    (row,) = drive(world.calm.jobs(run_id))
    assert (row.attempt, row.lease_id) == (0, None)


@pytest.mark.fault(5)
@pytest.mark.parametrize("point", ["commit:before", "commit:after"])
def test_a_reap_of_unknown_outcome_counts_one_attempt(world: World, point: str) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    assert job.lease_id is not None
    world.clock.advance(LEASE_LENGTH + SECOND)
    world.script[point, 1] = UnknownOutcomeError("lost")
    drive(world.dispatcher.dispatch(ReapLease(key=job.key, lease_id=job.lease_id)))
    assert len(drive(world.calm.attempts(run_id))) == 1
    (row,) = drive(world.calm.jobs(run_id))
    assert (row.attempt, row.lease_id) == (1, None)


@pytest.mark.fault(5)
def test_a_store_that_fails_while_an_outcome_is_found_out_leaves_it_unknown(world: World) -> None:
    run_id = world.start().run.id
    world.script["commit:after", 1] = UnknownOutcomeError("lost")
    world.script["run:before", 2] = UnavailableError("down")
    with pytest.raises(UnknownOutcomeError, match=r"run\.cancel was written or not"):
        world.cancel(run_id)


@pytest.mark.fault(5)
def test_a_command_unsure_twice_says_that_it_is(world: World) -> None:
    world.always["commit:before"] = UnknownOutcomeError("lost")
    with pytest.raises(UnknownOutcomeError):
        drive(world.dispatcher.dispatch(create()))
    assert world.passed["commit:before"] == 2


# Leases.


@pytest.mark.fault(17)
def test_a_start_told_by_a_worker_whose_lease_is_gone_is_refused(world: World) -> None:
    world.start()
    (job,) = world.claim()
    drive(world.others.dispatch(ReleaseJob(job=job)))
    with pytest.raises(LeaseLostError):
        drive(world.dispatcher.dispatch(StartAttempt(job=job)))


def test_a_relay_whose_lease_is_taken_over_is_told(world: World) -> None:
    settle = SettleOutbox(lease_id=world.ids.new_lease_id(), events=(), answers=(), retry=Retry())
    with pytest.raises(LeaseLostError):
        drive(world.dispatcher.dispatch(settle))


# Idempotency keys.


@pytest.mark.fault(14)
@pytest.mark.fault(92)
def test_the_same_start_under_the_same_key_is_the_same_run(world: World) -> None:
    first = drive(world.dispatcher.dispatch(create(key="k")))
    again = drive(world.dispatcher.dispatch(create(key="k")))
    assert (first.created, again.created) == (True, False)
    assert again.run.id == first.run.id
    assert world.runs() == 1


@pytest.mark.promise(8)
@pytest.mark.fault(93)
def test_other_content_under_the_same_key_is_refused_and_the_run_untouched(world: World) -> None:
    drive(world.dispatcher.dispatch(create(key="k")))
    with pytest.raises(ConflictError):
        drive(world.dispatcher.dispatch(create(key="k", input=Payload("2"))))
    assert world.runs() == 1


@pytest.mark.promise(8)
@pytest.mark.fault(94)
def test_a_key_holds_for_the_life_of_the_run(world: World) -> None:
    first = drive(world.dispatcher.dispatch(create(key="k")))
    world.cancel(first.run.id)
    again = drive(world.dispatcher.dispatch(create(key="k")))
    assert (again.run.id, again.run.status) == (first.run.id, RunStatus.CANCELLED)


@pytest.mark.promise(8)
@pytest.mark.fault(92)
def test_of_two_racing_starts_one_creates_and_the_other_answers_the_winner(world: World) -> None:
    winner: list[RunCreated] = []
    world.script["commit:before", 1] = lambda: winner.append(world.start(key="k"))
    loser = drive(world.dispatcher.dispatch(create(key="k")))
    assert (winner[0].created, loser.created) == (True, False)
    assert loser.run.id == winner[0].run.id
    assert world.runs() == 1


@pytest.mark.fault(93)
def test_the_loser_of_a_race_with_other_content_meets_the_conflict(world: World) -> None:
    world.script["commit:before", 1] = lambda: world.start(key="k", input=Payload("2"))
    with pytest.raises(ConflictError):
        drive(world.dispatcher.dispatch(create(key="k")))


def test_the_same_key_of_another_workflow_is_another_run(world: World) -> None:
    drive(world.dispatcher.dispatch(create(key="k")))
    assert drive(world.dispatcher.dispatch(create(plan(stage("a"), workflow="other"), key="k"))).created


@pytest.mark.fault(92)
def test_a_remembered_answer_is_given_again_though_the_world_moved_on(world: World) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    assert world.cancel(run_id, "k") is RunStatus.CANCELLING
    world.finish(ONE, Cancelled(), job)
    assert world.status(run_id) is RunStatus.CANCELLED
    assert world.cancel(run_id, "k") is RunStatus.CANCELLING


@pytest.mark.fault(92)
def test_an_answer_that_needed_no_other_change_is_remembered_too(world: World) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    world.cancel(run_id)
    assert world.cancel(run_id, "k") is RunStatus.CANCELLING
    world.finish(ONE, Cancelled(), job)
    assert world.cancel(run_id, "k") is RunStatus.CANCELLING


@pytest.mark.fault(93)
def test_a_key_used_for_another_command_of_the_same_name_is_a_conflict_that_names_both(world: World) -> None:
    first, second = world.start().run.id, world.start().run.id
    world.cancel(first, "k")
    with pytest.raises(ConflictError) as error:
        world.cancel(second, "k")
    assert content_hash(CancelRun(run_id=first)) in str(error.value)
    assert content_hash(CancelRun(run_id=second)) in str(error.value)
    assert world.status(second) is RunStatus.PENDING


@pytest.mark.fault(92)
def test_of_two_racing_commands_under_one_key_the_loser_answers_as_the_winner(world: World) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    command = CancelRun(run_id=run_id, idempotency_key="k")

    def other_process() -> None:
        drive(world.others.dispatch(command))
        drive(world.others.dispatch_all(run_id, [finish(ONE, job, Cancelled())], None))

    world.script["commit:before", 1] = other_process
    assert drive(world.dispatcher.dispatch(command)).status is RunStatus.CANCELLING
    assert world.events().count("run.cancelling") == 1


def test_a_refused_command_leaves_its_key_free(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.cancel(RunId("x"), "k")
    assert world.cancel(world.start().run.id, "k") is RunStatus.CANCELLED


def test_the_hash_of_a_command_is_of_its_content_not_of_its_key() -> None:
    plain = CancelRun(run_id=RunId("x"), reason="a")
    assert content_hash(plain) == content_hash(attrs.evolve(plain, idempotency_key="k"))
    assert content_hash(plain) != content_hash(attrs.evolve(plain, reason="b"))
    assert content_hash(plain) != content_hash(attrs.evolve(plain, run_id=RunId("y")))
    assert content_hash(plain) != content_hash(attrs.evolve(plain, reason=None))


# Folds.


def test_finishes_of_one_run_are_one_commit(world: World) -> None:
    run_id = world.start(TWO).run.id
    answers, state = world.finish(TWO, DONE, *world.claim(TWO, 2))
    assert [finished(answer).run_status for answer in answers] == [RunStatus.RUNNING, RunStatus.COMPLETED]
    assert world.passed["commit:before"] == 1
    assert state is not None
    assert state.run.status is world.status(run_id) is RunStatus.COMPLETED


def test_a_kept_state_is_not_read_again(world: World) -> None:
    world.start(LINE)
    (job,) = world.claim(LINE)
    answers, state = world.finish(LINE, DONE, job)
    kept = finished(answers[0]).job
    assert kept is not None
    world.passed.clear()
    world.finish(LINE, DONE, kept, state=state)
    assert set(world.passed) == {"commit:before", "commit:after"}


def test_a_stale_kept_state_is_found_out_by_the_guards(world: World) -> None:
    run_id = world.start(TWO).run.id
    mine, other = world.claim(TWO, 2)
    kept = drive(world.calm.run_state(run_id))
    drive(world.others.dispatch_all(run_id, [finish(TWO, other, DONE)], None))
    answers, _ = world.finish(TWO, DONE, mine, state=kept)
    assert finished(answers[0]).run_status is RunStatus.COMPLETED


@pytest.mark.fault(90)
def test_a_kept_state_that_missed_the_cancel_still_ends_the_attempt_as_cancelled(world: World) -> None:
    run_id = world.start(TWO).run.id
    first, second = world.claim(TWO, 2)
    drive(world.others.dispatch(StartAttempt(job=first)))
    kept = drive(world.calm.run_state(run_id))
    drive(world.others.dispatch(CancelRun(run_id=run_id)))
    answers, state = world.finish(TWO, Cancelled(), first, second, state=kept)
    assert finished(answers[1]).run_status is RunStatus.CANCELLED
    assert state is not None
    assert state.run.status is RunStatus.CANCELLED


@pytest.mark.promise(13)
@pytest.mark.fault(17)
def test_a_worker_whose_lease_was_reaped_writes_nothing(world: World) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    assert job.lease_id is not None
    world.clock.advance(LEASE_LENGTH + SECOND)
    drive(world.others.dispatch(ReapLease(key=job.key, lease_id=job.lease_id)))
    answers, _ = world.finish(ONE, DONE, job)
    assert isinstance(answers[0], LeaseLostError)
    assert drive(world.calm.stages(run_id)) == []


def test_in_a_fold_the_lost_are_told_and_the_rest_is_written(world: World) -> None:
    run_id = world.start(TWO).run.id
    lost, held = world.claim(TWO, 2)
    drive(world.others.dispatch(ReleaseJob(job=lost)))
    answers, _ = world.finish(TWO, DONE, lost, held)
    assert isinstance(answers[0], LeaseLostError)
    assert finished(answers[1]).run_status is RunStatus.RUNNING
    assert [row.stage for row in drive(world.calm.stages(run_id))] == [held.stage]


@pytest.mark.promise(4)
@pytest.mark.fault(5)
@pytest.mark.parametrize("point", ["commit:before", "commit:after"], ids=["not written", "written"])
def test_a_hand_over_of_unknown_outcome_goes_on_at_the_next_stage(world: World, point: str) -> None:
    run_id = world.start(LINE).run.id
    (job,) = world.claim(LINE)
    world.script[point, 1] = UnknownOutcomeError("lost")
    answers, _ = world.finish(LINE, DONE, job)
    kept = finished(answers[0]).job
    assert kept is not None
    assert (kept.key, kept.lease_id, kept.attempt) == (JobKey(run_id, B), job.lease_id, 1)
    assert [row.stage for row in drive(world.calm.stages(run_id))] == [A]


@pytest.mark.fault(5)
@pytest.mark.parametrize("outcome", [DONE, Failed(failure=BOOM), Suspended(until=None)])
def test_a_finish_of_unknown_outcome_that_was_written_drops_the_attempt(world: World, outcome: Outcome) -> None:
    world.start()
    (job,) = world.claim()
    world.script["commit:after", 1] = UnknownOutcomeError("lost")
    answers, _ = world.finish(ONE, outcome, job)
    assert isinstance(answers[0], LeaseLostError)
    assert world.passed["commit:before"] == 1


@pytest.mark.promise(9)
@pytest.mark.fault(87)
@pytest.mark.fault(88)
def test_a_message_that_comes_while_the_body_suspends_makes_it_stay(world: World) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    message = SignalRun(run_id=run_id, signal="go", payload=Payload("1"))
    world.script["commit:before", 1] = lambda: drive(world.others.dispatch(message))
    answers, _ = world.finish(ONE, Suspended(until=None), job)
    stayed = finished(answers[0])
    assert stayed.stays
    assert stayed.job is not None
    assert (stayed.job.lease_id, stayed.job.wakes) == (job.lease_id, 1)


@pytest.mark.promise(2)
@pytest.mark.fault(90)
def test_a_cancel_that_comes_while_the_body_completes_wins(world: World) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    world.script["commit:before", 1] = lambda: drive(world.others.dispatch(CancelRun(run_id=run_id)))
    answers, _ = world.finish(ONE, DONE, job)
    assert finished(answers[0]).run_status is RunStatus.CANCELLED
    assert world.events().count("run.cancelled") == 1
    assert "run.completed" not in world.events()


def test_a_fold_that_a_bug_refuses_for_ever_gives_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "MAX_FOLDS", 7)
    world.start()
    (job,) = world.claim()
    world.always["commit:before"] = StaleChange("refused")
    with pytest.raises(ContendedError, match="7 times"):
        world.finish(ONE, DONE, job)
    world.always["commit:before"] = UnknownOutcomeError("lost")
    with pytest.raises(UnknownOutcomeError, match="written or not"):
        world.finish(ONE, DONE, job)


@pytest.mark.fault(5)
@pytest.mark.parametrize("point", [("jobs:before", 1), ("run_state:before", 2), ("commit:before", 2)])
def test_a_store_that_fails_while_a_fold_is_unsure_leaves_it_unknown(world: World, point: tuple[str, int]) -> None:
    world.start()
    (job,) = world.claim()
    world.script["commit:before", 1] = UnknownOutcomeError("lost")
    world.script[point] = UnavailableError("down")
    with pytest.raises(UnknownOutcomeError, match="written or not"):
        world.finish(ONE, DONE, job)


@pytest.mark.parametrize("point", ["commit:before", "run_state:before"])
def test_a_store_that_fails_before_a_fold_was_unsure_has_written_nothing(world: World, point: str) -> None:
    run_id = world.start().run.id
    (job,) = world.claim()
    world.script[point, 1] = UnavailableError("down")
    with pytest.raises(UnavailableError):
        world.finish(ONE, DONE, job)
    assert world.status(run_id) is RunStatus.PENDING


def test_a_store_that_fails_while_a_refused_fold_reloads_has_written_nothing(world: World) -> None:
    world.start()
    (job,) = world.claim()
    world.script["commit:before", 1] = StaleChange("refused")
    world.script["jobs:before", 1] = UnavailableError("down")
    with pytest.raises(UnavailableError):
        world.finish(ONE, DONE, job)
