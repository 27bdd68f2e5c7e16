"""Campaigns: thousands of worlds, each made by its seed, run by as many processes as there are cores."""

import gc
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

import attrs
import structlog

from mainspring.hosts.simulation.faults import Plan
from mainspring.hosts.simulation.timeline import report
from mainspring.hosts.simulation.world import Seen
from tests.simulation.case import chaos_of, drawn_case, run, save
from tests.simulation.finding import shrunk
from tests.simulation.mistakes import heed_mistakes
from tests.simulation.totals import Totals

BATCH = 50
"""Worlds that a process runs before it tells of them."""

COLLECT_EVERY = 20
"""Worlds after which their garbage is collected: it is large, and cyclic."""


@contextmanager
def undisturbed() -> Generator[None]:
    """While worlds run: no logs, and garbage is collected when ``totals_of`` says so."""
    before, was_on = structlog.get_config(), gc.isenabled()
    with warnings.catch_warnings():
        try:
            settle_in()
            yield
        finally:
            structlog.configure(**before)
            gc.unfreeze()
            if was_on:
                gc.enable()


def settle_in() -> None:
    """The same, for a process that does nothing else."""
    heed_mistakes()
    warnings.simplefilter("ignore", RuntimeWarning)  # of bodies that a crash kept from being awaited
    gc.collect()
    gc.freeze()
    gc.disable()


def totals_of(seeds: Iterable[int], store: str) -> Totals:
    """Run the worlds of these seeds, up to the first that fails."""
    totals = Totals()
    began = time.process_time()
    for seed in seeds:
        _add_world(totals, seed, store)
        if totals.schedules % COLLECT_EVERY == 0:
            gc.collect()
            gc.freeze()  # what is left is no world's: modules that the first world of a store imported
        if totals.failed:
            break
    totals.machine = time.process_time() - began
    return totals


def _add_world(totals: Totals, seed: int, store: str) -> None:
    case = drawn_case(seed, store)
    trial = case.trial(chaos_of(seed))
    totals.add(run(trial), trial, case.store)


def campaign(
    *,
    first: int,
    jobs: int,
    store: str = "memory",
    seconds: float | None = None,
    schedules: int | None = None,
    progress: Callable[[Totals, float], None] = lambda _, __: None,
) -> Totals:
    """Run the worlds of ``first``, ``first + 1`` … until so many, or so many seconds, are over, or one fails.

    Args:
        first: the first seed.
        jobs: processes.
        store: of the worlds, or ``mixed``.
        seconds: of real time; None: as long as it takes.
        schedules: worlds; None: as many as the time allows.
        progress: told the totals so far and the seconds since the beginning, now and then.
    """
    began = time.monotonic()
    totals = Totals()
    starts = iter(count(first, BATCH) if schedules is None else range(first, first + schedules, BATCH))
    end = None if schedules is None else first + schedules
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=settle_in) as pool:
        going: set[Future[Totals]] = set()
        while True:
            late = seconds is not None and time.monotonic() - began > seconds
            while len(going) < jobs * 2 and not late and not totals.failed:
                start = next(starts, None)
                if start is None:
                    break
                stop = start + BATCH if end is None else min(start + BATCH, end)
                going.add(pool.submit(totals_of, range(start, stop), store))
            if not going:
                return totals
            done, going = wait(going, return_when=FIRST_COMPLETED)
            for one in done:
                totals.merge(one.result())
            progress(totals, time.monotonic() - began)


# What failed.


def explain(seed: int, store: str, folder: Path) -> str:
    """Replay the world of a seed that failed, shrink it, keep it in the folder; what a reader is told."""
    case = drawn_case(seed, store)
    outcome = case.run(chaos_of(seed))
    planned = attrs.evolve(case, faults=outcome.faults)
    told = [f"seed {seed}, store {case.store}: {_first(outcome.violations)}"]
    if not outcome.violations:
        return f"{told[0]}; run again in another process it holds: the world is not determined by its seed"
    if not planned.run().violations:
        return "\n".join([*told, "replayed from its plan it holds: the plan does not say all", report(outcome)])
    smallest = shrunk(planned)
    again = smallest.run(traced=True)
    smallest = attrs.evolve(smallest, violation=_first(again.violations))
    file = save(smallest, folder)
    return "\n".join(
        [
            *told,
            f"shrunk: {len(smallest.faults)} faults of {len(planned.faults)}, for these orders:",
            *(f"  {order}" for order in smallest.workload.orders),
            f"  on {', '.join(smallest.workload.hosts)}; {smallest.manners}",
            report(again),
            f"kept as {file}; once mended, move it to tests/simulation/plans/<what it was>.json: a regression test",
            f"the whole world again: python -m tests.simulation --schedules 1 --seed {seed} --store {case.store}",
        ]
    )


def _first(violations: Sequence[str]) -> str:
    return violations[0] if violations else "nothing was violated"


# Determinism.


def digest(seeds: Iterable[int], store: str = "memory", *, replayed: bool = False) -> int:
    """A number that differs if anything differs in what happens in these worlds, or when; or in their replays."""
    number = 0
    for seed in seeds:
        case = drawn_case(seed, store)
        outcome = case.run(chaos_of(seed), traced=True)
        if replayed:
            outcome = case.run(Plan(outcome.faults), traced=True)
        for seen in (*outcome.timeline, Seen(outcome.seconds, "end", str(outcome.violations))):
            number = crc32(f"{seen.at!r} {seen.who} {seen.what}".encode(), number)
    return number
