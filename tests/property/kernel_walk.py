"""Seeded walks of the state machine: the same rules, drawn by plain weights.

Hypothesis shrinks what it finds, yet most of its time goes into drawing, and its swarms leave rules out. A walk is a
seed: it takes many more attempts to their ends in the same time, and its failures replay alone.
"""

from random import Random

from tests.property.kernel_machine import KernelMachine, fault_of

ENDS = ["completed"] * 4 + ["failed"] * 2 + ["suspended"] * 2 + ["suspended for a while", "final", "cancelled"]
DEEDS = {"claim": 6, "finish": 8, "finish_together": 2, "live": 2, "tell": 2, "signal": 3, "cancel": 1, "wait": 2}


def walk(machine: KernelMachine, seed: int, steps: int = 40) -> None:
    """Take so many steps, check after each, then heal and drain.

    Raises:
        AssertionError: an invariant does not hold.
    """
    random = Random(seed)
    create(machine, random)
    for _ in range(steps):
        step(machine, random)
        machine.world.check()
    machine.teardown()


def create(machine: KernelMachine, random: Random) -> None:
    """Start a run."""
    machine.create(
        random.randrange(100_000),
        random.choice([None, None, "k1", "k2", "k3"]),
        random.choice([None, None, None, 20]),
        random.choice([None, None, None, 60]),
        fault_of(random.randrange(20_000)),
    )


def step(machine: KernelMachine, random: Random) -> None:
    """One of the machine's rules."""
    if len(machine.open_runs) < 2:
        create(machine, random)
        return
    pick, fault = random.randrange(1001), fault_of(random.randrange(20_000))
    match random.choices(list(DEEDS), weights=list(DEEDS.values()))[0]:
        case "claim":
            machine.claim(pick, random.randint(1, 3), fault)
        case "finish":
            machine.finish(pick, random.choice(ENDS), random.random() < 0.5, random.random() < 0.5, fault)
        case "finish_together":
            machine.finish_together(pick, random.choices(ENDS, k=3), random.random() < 0.5, fault)
        case "live":
            machine.live(pick, random.choice(["look", "look", "extend", "extend", "die"]))
        case "tell":
            machine.tell(pick, random.choice(["start", "start", "report", "release", "release"]), fault)
        case "signal":
            machine.signal(pick, fault)
        case "cancel":
            machine.cancel(pick, random.choice([None, None, "c1", "c2"]), fault)
        case _:
            machine.wait(random.choice([1, 5, 31]), fault)
            machine.publish(random.randint(1, 5), {number for number in range(5) if random.random() < 0.2}, fault)
