"""What must hold of jobs, leases and stages at every commit: who may claim what when, and who may end it."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from mainspring.hosts.simulation.books import EMPTY_MAP, Books, Net, ended_run, is_told
from mainspring.hosts.simulation.clocks import BEGINNING
from mainspring.hosts.simulation.lives import current_life
from mainspring.hosts.simulation.world import World
from mainspring.kernel.plan import Plan
from mainspring.ports.names import Fingerprint, LeaseId, RunId
from mainspring.ports.records import Job, JobKey, JobPhase, RunStatus, StageRecord, StageStatus


class Judges(Books):
    """Judges jobs and stages. It knows nothing of guards: only who was given which lease when."""

    def __init__(self, world: World, plans: Mapping[Fingerprint, Plan]) -> None:
        super().__init__(world, plans)
        self._tokens: dict[RunId, int] = defaultdict(int)
        self._holders: dict[LeaseId, str] = {}  #: lease -> the host's life it was given to

    # Jobs.

    def _job_written(self, key: JobKey, before: Job | None, after: Job | None, net: Net) -> None:
        jobs = self.jobs[key.run_id]
        if after is None:
            jobs.pop(key, None)
        else:
            jobs[key] = after
            plan = self._plan(key.run_id)
            if before is None:
                self._names(after.input, key)
                if after.input is not None and plan is not None:
                    self._given_its_element(key, after, plan)
            most = plan.stages[key.stage].retry.max_attempts if plan is not None else after.max_attempts
            self.expect(after.attempt <= most, "{} was tried more than {} times", key, most)
            if after.lease_id is not None and (before is None or before.lease_id != after.lease_id):
                self._leased(key, before, after, after.lease_id)
        if before is not None and before.lease_id is not None and (after is None or after.lease_id is None):
            self._lease_ended(key, before, net)
            self._attempt_kept(key, before, after, net)
        if before is not None and after is not None:
            self._woken(key, before, after)

    def _given_its_element(self, key: JobKey, job: Job, plan: Plan) -> None:
        """A mapped instance gets its own element of what the stage is mapped over."""
        stage = plan.stages[key.stage]
        if not stage.mapped:
            return
        source = self.stages[key.run_id].get(JobKey(key.run_id, stage.after[0])) if stage.after else None
        over = self.value(self.runs[key.run_id].input if source is None else source.output)
        mine = _element(over, key.index) == (self.value(job.input),)
        self.expect(mine, "{} was not given its element", key)

    def _leased(self, key: JobKey, before: Job | None, after: Job, lease: LeaseId) -> None:
        """A lease that is new was given out in time, to one process, under a newer token; or with the run itself."""
        if lease in self._holders:
            return
        life = current_life()
        self._holders[lease] = "" if life is None else life.name
        if before is None:
            self._world.counts["run begun where it was started"] += 1
        held = before is not None and before.lease_id is not None
        self.expect(not held, "{}: a lease was taken over while the row was leased", key)
        newest = self._tokens[key.run_id]
        self.expect(after.token > newest, "{}: token {} was given out, yet {} was before", key, after.token, newest)
        self._tokens[key.run_id] = max(newest, after.token)
        self._attempt_counted(key, before, after)
        now = self._world.time.newest
        row, moment = (before, now) if before is not None else (after, after.claimed_at or now)  # it may be made leased
        due = row.phase is JobPhase.READY and row.available_at is not None and row.available_at <= moment
        self.expect(due, "{} was claimed before it was due", key)
        run = self.runs.get(key.run_id)
        early = run is not None and run.start_at is not None and run.start_at > now
        told = run is not None and run.status is RunStatus.CANCELLING
        self.expect(told or not early, "{} was claimed before its run was to start", key)

    def _attempt_counted(self, key: JobKey, before: Job | None, after: Job) -> None:
        counted = after.attempt == (0 if before is None else before.attempt) + 1
        self.expect(counted, "{}: a claim did not count its attempt", key)

    def _lease_ended(self, key: JobKey, before: Job, net: Net) -> None:
        """A lease ends by its holder, by the store's time, or because its run fails or is out of time."""
        if before.lease_until is not None and before.lease_until < self._world.time.newest:
            self._recovered(key, before)
            return
        run = ended_run(net, key.run_id)
        if run is not None and run.status is RunStatus.FAILED:
            return
        if run is not None and run.deadline is not None and run.deadline <= self._world.time.newest:
            return
        self.expect(self._is_mine(before.lease_id), "{}: a live lease was ended by another process", key)

    def _recovered(self, key: JobKey, before: Job) -> None:
        """Nobody waits for long for what a dead process held."""
        world, until = self._world, before.lease_until
        if self.recovery is None or world.healed_at is None or until is None:
            return
        healed = BEGINNING + timedelta(seconds=world.healed_at + world.time.skew)
        stood = (world.time.now() - max(until, healed)).total_seconds()
        self.expect(stood <= self.recovery, "{}: an expired lease stood for {:.1f} s", key, stood)

    def _attempt_kept(self, key: JobKey, before: Job, after: Job | None, net: Net) -> None:
        """A try that failed or was reaped leaves a record; one that was given back or suspended counts no more."""
        if not self.tells_all or after is None or after.attempt != before.attempt:
            return
        kept = any(table == "attempts" and at == (key, before.lease_id) for table, at, _, _ in net)
        self.expect(kept, "{}: attempt {} ended without a record", key, before.attempt)

    def _attempt_written(self, _: Any, before: Any, after: Any, __: Net) -> None:
        self.expect(before is None and after is not None, "the record of an attempt changed")

    def _woken(self, key: JobKey, before: Job, after: Job) -> None:
        """A wake-up that nobody was awake to see makes the job due."""
        if after.wakes > before.wakes and before.lease_id is None:
            self.expect(after.available_at is not None, "{}: a wake-up left the job asleep", key)

    def _is_mine(self, lease: LeaseId | None) -> bool:
        """Whether the process that commits was given the lease."""
        life = current_life()
        return lease is not None and self._holders.get(lease) == ("" if life is None else life.name)

    # Stages.

    def _stage_written(self, key: JobKey, before: StageRecord | None, after: StageRecord | None, net: Net) -> None:
        self.expect(before is None, "{} was recorded, and its record changed", key)
        if after is None or before is not None:
            return
        self.stages[key.run_id][key] = after
        self._names(after.output, key)
        self._world.counts[f"stage {after.status}"] += 1
        if key.index == EMPTY_MAP:
            return
        self._end_told(key, after, net)
        if after.status is StageStatus.COMPLETED:
            run = self.runs.get(key.run_id)
            stopping = run is not None and run.status in {RunStatus.CANCELLING, RunStatus.CANCELLED}
            self.expect(not stopping, "{} completed though its run was being cancelled", key)
            held = _lease_before(key, net)
            self.expect(self._is_mine(held), "{} was completed by a process that did not hold its lease", key)

    def _end_told(self, key: JobKey, record: StageRecord, net: Net) -> None:
        """A stage that ends is told of in the same commit; not so what ends because its run does."""
        if record.status is StageStatus.CANCELLED and ended_run(net, key.run_id) is not None:
            return
        told = is_told(net, key.run_id, f"stage.{record.status}", f'"stage":"{key.stage}"', f'"index":{key.index},')
        self.expect(told, "{} {} without its event", key, record.status)


def _lease_before(key: JobKey, net: Net) -> LeaseId | None:
    for table, at, before, _ in net:
        if table == "jobs" and at == key and before is not None:
            lease: LeaseId | None = before.lease_id
            return lease
    return None


def _element(over: Any, index: int) -> tuple[Any] | None:
    """The element of a list, in a tuple; None if there is none."""
    try:
        return (over[index],)
    except (TypeError, LookupError):
        return None
