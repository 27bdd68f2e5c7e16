"""Runs a campaign of simulated worlds: ``python -m tests.simulation --seconds 60``.

Exits with 1 if a world violated a promise, or if the campaign was long and yet saw too little to prove anything.
"""

import argparse
import os
import platform
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from random import SystemRandom

from tests.proof.figures import record, recorded
from tests.simulation.campaign import campaign, explain, undisturbed
from tests.simulation.case import MIXED, STORES
from tests.simulation.catching import figures
from tests.simulation.totals import ENOUGH, YEAR, Totals


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign, print what it did; the exit code."""
    options = _parser().parse_args(arguments)
    if options.mutants:
        return _record_mutants()
    seed = int(options.seed) if options.seed else SystemRandom().randrange(10**9)
    seconds = 60.0 if options.schedules is None and options.seconds is None else options.seconds
    limits = [f"{options.schedules:,} schedules"] if options.schedules else []
    limit = " or ".join(limits + ([f"{seconds:g} s"] if seconds else []))
    _say(f"seed {seed}, {limit}, {options.jobs} processes, store {options.store}")
    totals = campaign(
        first=seed,
        jobs=options.jobs,
        store=options.store,
        seconds=seconds,
        schedules=options.schedules,
        progress=_progress if sys.stderr.isatty() else _no_progress,
    )
    _say(_told(totals))
    for failed in sorted(totals.failed)[:3]:
        with undisturbed():
            _say(f"\n{explain(failed, options.store, options.plans)}")
    never = totals.never() if totals.schedules >= ENOUGH else []
    if never:
        _say(f"\nIt proved nothing of what never came to pass: {', '.join(never)}")
    if options.record:
        _say(_recorded(totals, options.jobs) if totals.schedules >= ENOUGH and not never else "\nToo little to record.")
    return 1 if totals.failed or never else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, help="how long (default: 60, or as long as the schedules take)")
    parser.add_argument("--schedules", type=int, help="how many worlds, if the seconds allow")
    parser.add_argument("--seed", default="", help="the first seed; empty: a fresh one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    parser.add_argument("--store", choices=(*STORES, MIXED), default=MIXED, help="of the worlds (default: mixed)")
    parser.add_argument("--plans", type=Path, default=Path("build/plans"), help="where failing worlds are kept")
    parser.add_argument("--record", action="store_true", help="keep the figures for docs/proof.md")
    parser.add_argument("--mutants", action="store_true", help="catch every mutant instead, and keep those figures")
    return parser


def _no_progress(totals: Totals, seconds: float) -> None:
    """Nobody looks on."""


def _progress(totals: Totals, seconds: float) -> None:
    rate = totals.schedules / seconds
    sys.stderr.write(f"\r{totals.schedules:,} schedules, {rate:.0f}/s, {len(totals.failed)} failed ")
    sys.stderr.flush()


def _told(totals: Totals) -> str:
    rate = totals.schedules / totals.machine if totals.machine else 0.0
    lines = [
        "",
        f"{totals.schedules:,} schedules ({', '.join(f'{n:,} {name}' for name, n in sorted(totals.stores.items()))})",
        f"{rate:.0f} schedules per second of a core, {totals.machine:,.0f} s of cores",
        f"{totals.seconds / YEAR:.3f} years of virtual time, {totals.steps:,} steps",
        f"{totals.checks:,} invariants evaluated, {len(totals.failed)} violated",
        f"faults at {totals.sites()} points: " + ", ".join(f"{n:,} {name}" for name, n in totals.faults().items()),
        *(f"  {number:>12,}  {name}" for name, number in totals.sometimes().items()),
    ]
    return "\n".join(lines)


def _recorded(totals: Totals, jobs: int) -> str:
    record(_figures(totals, jobs))
    return "\nRecorded; `make proof` shows it."


def _record_mutants() -> int:
    before = recorded()
    if before is None:
        _say("Record a campaign first: --record.")
        return 1
    with undisturbed():
        found = figures()
    for name, figure in found.items():
        _say(f"{name}: {figure['seeds']} worlds until it showed, {figure['faults']} faults")
    record({**before, "mutants": found})
    return 0


def _figures(totals: Totals, jobs: int) -> dict[str, object]:
    before = recorded()
    faults = totals.faults()
    return {
        "date": _today().isoformat(),
        "processor": f"{jobs} cores ({platform.machine()})",
        "seeds": totals.schedules,
        "schedules": totals.schedules,
        "virtual_seconds": round(totals.seconds),
        "machine_seconds": round(totals.machine),
        "crashes": faults["crash"],
        "freezes": faults["freeze"],
        "invariants": totals.checks,
        "violations": len(totals.failed),
        "sometimes": totals.sometimes(),
        "mutants": {} if before is None else before["mutants"],
    }


def _today() -> date:
    return datetime.now(UTC).date()  # noqa: TID251  a campaign happens on a day of the real world


if __name__ == "__main__":
    sys.exit(main())
