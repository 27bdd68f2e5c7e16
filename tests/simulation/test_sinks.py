"""Several sinks in simulated worlds: each gets every event, in order, whatever fails; and replays lose none."""

import asyncio
from collections import Counter
from random import Random

import pytest

from mainspring.hosts.execution.parts import Parts
from mainspring.hosts.simulation.messages import Manners
from mainspring.hosts.simulation.trial import Trial
from mainspring.hosts.upkeep.replayer import replay
from mainspring.kernel import outlets
from mainspring.kernel.commands.outbox_settle import SettleOutbox
from mainspring.kernel.dispatcher import Dispatcher
from mainspring.kernel.retry import NO_RETRY
from mainspring.ports.errors import ContendedError, PortError
from mainspring.ports.names import SinkName
from mainspring.ports.sinks import EventFilter
from mainspring.simulation import Store, make_trial
from tests.simulation.case import STORES, chaos_of, run
from tests.simulation.workload import LIMITS, REGISTRY, drawn, place

FURTHER = (SinkName("audit"), SinkName("mail"))
WORLDS = 12


async def replay_often(parts: Parts) -> None:
    """Replay whatever is dead, again and again, beside another who does the same."""
    dispatcher = Dispatcher(parts.store, parts.clock, parts.ids)
    quiet, moved = 0, Counter[SinkName]()
    while quiet < 20:
        try:
            moved = await replay(parts.store, dispatcher, EventFilter(), limit=3)
        except (PortError, ContendedError):
            moved.clear()
        quiet = 0 if moved else quiet + 1
        await asyncio.sleep(3.0)


def world(seed: int, store: Store, *, replays: bool) -> Trial:
    manners = Manners.of(Random(f"{seed}/manners"))
    trial = make_trial(seed, REGISTRY, chaos_of(seed), store=store, manners=manners, limits=LIMITS, further=FURTHER)
    place(trial, drawn(Random(f"{seed}/workload")))
    if replays:
        for number in (1, 2):
            trial.client(f"replayer-{number}", replay_often)
    return trial


@pytest.mark.fault(9, 36, 38, 62)
@pytest.mark.parametrize("store", STORES)
def test_every_sink_gets_every_event_in_order(store: Store) -> None:
    for seed in range(WORLDS):
        trial = world(seed, store, replays=False)
        assert run(trial).violations == (), seed
        events = {run_id: len(told) for run_id, told in trial.audit.events.items() if told}
        for sink in FURTHER:
            got = {run_id: len(trial.audit.published[sink, run_id]) for run_id in events}
            assert got == events, (seed, sink)


@pytest.mark.fault(47)
@pytest.mark.parametrize("store", STORES)
def test_what_is_replayed_in_the_midst_of_it_is_published_and_nothing_is_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every event that is refused once is given up on, so that there is something to replay."""
    replayed = 0
    hasty = SettleOutbox.__init__

    def impatient(self: SettleOutbox, **fields: object) -> None:
        hasty(self, **{**fields, "retry": NO_RETRY})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(SettleOutbox, "__init__", impatient)
    assert outlets.PUBLISHING.max_attempts > 1
    for seed in range(WORLDS):
        trial = world(seed, store, replays=True)
        assert run(trial).violations == (), seed
        replayed += len(trial.audit.buried) - len(trial.audit.dead)
        published = {(sink, run_id, seq) for (sink, run_id), got in trial.audit.published.items() for seq in got}
        assert trial.audit.given - published <= trial.audit.dead, seed
    assert replayed > 10
