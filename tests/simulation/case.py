"""A case: everything that makes one world, as plain data. The same case is the same world, on any machine.

A campaign draws cases from seeds; a case that fails is shrunk, kept as JSON, and replayed by the suite ever after.
"""

import json
from pathlib import Path
from random import Random
from typing import cast, get_args

import attrs

from mainspring.adapters.msgspec import MsgspecCodec
from mainspring.hosts.simulation.faults import Chaos, Fault, Faults, Plan, Profile
from mainspring.hosts.simulation.loop import SimulationError
from mainspring.hosts.simulation.messages import Manners
from mainspring.hosts.simulation.trial import CHAOS, Outcome, Trial
from mainspring.ports.names import Payload
from mainspring.simulation import Store, make_trial
from tests.simulation.workload import LIMITS, REGISTRY, Workload, drawn, place

STORES: tuple[Store, ...] = get_args(Store)
MIXED = "mixed"
MIX: tuple[Store, ...] = ("memory", "server", "memory") * 6 + ("memory", "sqlite")
"""The stores of ``mixed``, by the seed: the slowest of them has the fewest worlds."""


@attrs.frozen(kw_only=True)
class Case:
    """One world."""

    seed: int  #: of all that is not told here: latencies, ids, the fate of each message
    store: str = "memory"
    workload: Workload
    manners: Manners = attrs.field(factory=Manners)
    faults: tuple[Fault, ...] = ()
    chaos: float = CHAOS  #: seconds until the world heals
    violation: str = ""  #: what was seen when it was kept

    def trial(self, faults: Faults | None = None, *, traced: bool = False) -> Trial:
        """The world, not yet run; ``faults`` instead of the planned ones."""
        trial = make_trial(
            self.seed,
            REGISTRY,
            Plan(self.faults) if faults is None else faults,
            store=cast("Store", self.store),
            manners=self.manners,
            limits=LIMITS,
            traced=traced,
        )
        place(trial, self.workload)
        return trial

    def run(self, faults: Faults | None = None, *, traced: bool = False) -> Outcome:
        """Run the world to its end."""
        return run(self.trial(faults, traced=traced), chaos=self.chaos)


def run(trial: Trial, *, chaos: float = CHAOS) -> Outcome:
    """Run a world; that it spins or leaves the simulation is a violation as well."""
    try:
        return trial.run(chaos=chaos)
    except SimulationError as error:
        world = trial.world
        return Outcome(
            seed=world.seed,
            violations=(*world.violations, str(error)),
            faults=tuple(world.met),
            counts=world.counts,
            checks=trial.audit.checks,
            steps=world.loop.steps,
            seconds=world.loop.time(),
            timeline=tuple(world.timeline or ()),
        )


def drawn_case(seed: int, store: str = "memory") -> Case:
    """The case of a seed; its faults come by chance, see ``chaos_of``."""
    return Case(
        seed=seed,
        store=MIX[seed % len(MIX)] if store == MIXED else store,
        workload=drawn(Random(f"{seed}/workload")),
        manners=Manners.of(Random(f"{seed}/manners")),
    )


def chaos_of(seed: int) -> Chaos:
    """The faults of a seed."""
    return Chaos(Profile.of(Random(f"{seed}/profile")))


def world(seed: int, store: str = "memory", *, traced: bool = False) -> Trial:
    """The world of a seed."""
    return drawn_case(seed, store).trial(chaos_of(seed), traced=traced)


def to_json(case: Case) -> str:
    """The case as text, to be kept with the tests."""
    return json.dumps(json.loads(_codec().encode(case)), indent=1) + "\n"


def from_json(text: str) -> Case:
    """The case that ``to_json`` wrote.

    Raises:
        InvalidValueError: a field is missing, unknown or of another type.
    """
    case: Case = _codec().decode(Payload(text), Case)
    return case


def save(case: Case, folder: Path, name: str | None = None) -> Path:
    """Keep a case in a file of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name or f'seed-{case.seed}-{case.store}'}.json"
    file.write_text(to_json(case), encoding="utf-8")
    return file


def _codec() -> MsgspecCodec:
    return MsgspecCodec()
