"""The hosts of simulated worlds: how their processes end and follow one another, and what they meet at their points."""

import asyncio

import attrs
import pytest

from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.simulation.faults import MOST_NAMES, UNKNOWN, Chaos, Fault, Kind, Plan, Profile, weight
from mainspring.hosts.simulation.lives import Host
from mainspring.hosts.simulation.trial import Trial
from mainspring.ports.change import Change
from mainspring.ports.errors import PortError, UnavailableError, UnknownOutcomeError
from mainspring.ports.records import RunStatus
from mainspring.simulation import Store, make_trial
from tests.simulation.case import STORES, Case
from tests.simulation.workload import REGISTRY, Order, Work, Workload

BRIEF = Work(naps=[0.5, 0.5, 0.5], fails=[0, 0, 0])
LASTING = Work(naps=[5.0, 5.0, 5.0], fails=[0, 0, 0])


@attrs.define
class Once:
    """One fault, where the host first passes a point of this name."""

    host: str
    name: str
    kind: Kind
    seconds: float
    struck: bool = False

    def at(self, host: Host, name: str) -> Fault | None:
        """The fault, if it is there."""
        if self.struck or (host.name, name) != (self.host, self.name):
            return None
        self.struck = True
        return Fault(host.name, host.passed, self.kind, self.seconds)


# What a caller meets.


def met_at_commit(store: Store, point: str, seconds: float) -> list[type[PortError]]:
    """What a client meets that commits while there is an error."""
    met: list[type[PortError]] = []

    async def commit(parts: Parts) -> None:
        try:
            await parts.store.commit(Change())
        except PortError as error:
            met.append(type(error))

    trial = make_trial(1, REGISTRY, Once("client", point, Kind.ERROR, seconds), store=store)
    trial.client("client", commit)
    assert trial.run().violations == ()
    return met


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(("seconds", "told"), [(0.0, UnavailableError), (UNKNOWN, UnknownOutcomeError)])
def test_a_commit_that_was_not_written_is_refused_or_of_unknown_outcome(
    store: Store, seconds: float, told: type[PortError]
) -> None:
    assert met_at_commit(store, "commit:before", seconds) == [told]


def test_a_batch_that_was_rolled_back_is_refused_or_of_unknown_outcome() -> None:
    assert met_at_commit("server", "commit:locked", 0.0) == [UnavailableError]
    assert met_at_commit("server", "commit:locked", UNKNOWN) == [UnknownOutcomeError]


def outage_at(point: str) -> tuple[Trial, list[float]]:
    """A world in which a client pays, again and again until it is answered; when it was refused."""
    refused: list[float] = []
    trial = make_trial(1, REGISTRY, Once("client", point, Kind.OUTAGE, 2.5))
    outside, loop = trial.world.outside, trial.world.loop

    async def pay(_: Parts) -> None:
        while True:
            try:
                await outside.call("pay", key="1")
            except UnavailableError:
                refused.append(loop.time())
                await asyncio.sleep(1.0)
            else:
                return

    trial.client("client", pay)
    assert trial.run().violations == ()
    return trial, refused


def test_nothing_is_done_by_calls_into_the_dark() -> None:
    trial, refused = outage_at("effect pay:before")
    assert trial.world.outside.calls["pay", "1"] == 1
    assert len(refused) == 3
    assert trial.world.counts["calls into the dark"] == 3


def test_what_was_done_as_darkness_fell_is_not_answered() -> None:
    trial, refused = outage_at("effect pay:after")
    assert trial.world.outside.calls["pay", "1"] == 2
    assert len(refused) == 3
    assert trial.world.counts["answers lost in the dark"] == 1


def test_points_are_not_remembered_for_ever() -> None:
    async def pay_often(_: Parts) -> None:
        for number in range(MOST_NAMES * 2):
            await trial.world.outside.call(f"pay {number}", key="1")

    trial = make_trial(1, REGISTRY, Chaos(Profile({})))
    trial.client("client", pay_often)
    assert trial.run().violations == ()
    assert weight.cache_info().currsize <= MOST_NAMES


# Processes that end in order.


def test_workers_that_are_stopped_in_order_are_followed_by_others_until_all_is_done() -> None:
    orders = (Order("line", LASTING), Order("fan", LASTING))
    trial = Case(seed=3, workload=Workload(orders, stops=True)).trial()
    outcome = trial.run()
    assert outcome.violations == ()
    assert outcome.counts["worker stopped in order"] > 2
    assert trial.world.hosts["worker-1"].lives > 2
    assert [run.status for run in trial.audit.runs.values()] == [RunStatus.COMPLETED] * 2


def test_workers_are_left_alone_once_the_world_has_healed() -> None:
    orders = (Order("line", LASTING, delay=30.0),)
    trial = Case(seed=3, workload=Workload(orders, stops=True), chaos=0.0).trial()
    outcome = trial.run(chaos=0.0)
    assert outcome.violations == ()
    assert outcome.counts.get("worker stopped in order", 0) == 0


# Clients in the processes of workers.


@pytest.mark.parametrize("store", STORES)
def test_clients_may_act_from_within_the_processes_of_workers(store: Store) -> None:
    orders = (Order("line", BRIEF, repeat=1.0), Order("fork", LASTING, cancel=1.0), Order("wait", BRIEF))
    trial = Case(seed=1, store=store, workload=Workload(orders, hosts=("engine", "worker", "engine"))).trial()
    outcome = trial.run()
    assert outcome.violations == ()
    assert outcome.counts["act of an engine"] == 3
    assert set(trial.world.hosts) == {"engine-1", "worker-2", "engine-3", "sleeper-1", "sleeper-2"}
    assert len(trial.audit.runs) == 3


def test_what_an_engine_had_not_done_when_it_died_is_done_by_the_next() -> None:
    case = Case(seed=1, workload=Workload((Order("line", BRIEF), Order("fan", BRIEF, at=4.0)), hosts=("engine",)))
    trial = case.trial(Once("engine-1", "effect first:after", Kind.CRASH, 0.5))
    outcome = trial.run()
    assert outcome.violations == ()
    assert trial.world.hosts["engine-1"].lives == 2
    assert outcome.counts["act of an engine"] == 2
    assert len(trial.audit.runs) == 2


def test_an_act_that_fails_ends_its_process_and_is_tried_again_by_the_next() -> None:
    tries: list[int] = []

    async def fails_once(_: Parts, __: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("at first")

    trial = make_trial(1, REGISTRY, Plan())
    trial.engine("engine", [fails_once])
    outcome = trial.run()
    assert outcome.violations == ()
    assert len(tries) == 2
    assert outcome.counts["process ended by an error"] == 1


def test_a_finally_runs_only_when_the_world_is_closed() -> None:
    unwound: list[str] = []

    async def waits(_: Parts) -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            unwound.append("finally")

    trial = make_trial(1, REGISTRY, Plan())
    trial.client("client", waits)
    assert trial.play(chaos=0.0, patience=10.0).violations == ("a client never got through",)
    assert unwound == []
    trial.close()
    assert unwound == ["finally"]
