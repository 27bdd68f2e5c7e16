"""The figures of the last big campaign of simulations, kept in ``figures.json`` and shown in the document."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

FIGURES = Path(__file__).with_name("figures.json")


class Mutant(TypedDict):
    """How a kernel without one protection was found out."""

    seeds: int
    """Seeds until the first that failed."""
    faults: int
    """Faults in the shortest plan that fails."""


class Figures(TypedDict):
    """What a campaign did, in whole numbers; a mutant or counter stands under its name."""

    date: str
    processor: str
    seeds: int
    schedules: int
    virtual_seconds: int
    machine_seconds: int
    crashes: int
    freezes: int
    invariants: int
    violations: int
    sometimes: dict[str, int]
    mutants: dict[str, Mutant]


def record(figures: Mapping[str, Any], file: Path = FIGURES) -> None:
    """Keep the figures of a campaign instead of those before; ``make proof`` shows them.

    Raises:
        ValueError: a figure is missing or unknown.
    """
    wrong = sorted(set(figures) ^ set(Figures.__annotations__))
    if wrong:
        known = ", ".join(Figures.__annotations__)
        raise ValueError(f"missing or unknown figures: {', '.join(wrong)}; a campaign has {known}")
    file.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def recorded(file: Path = FIGURES) -> Figures | None:
    """The figures of the last campaign, if there was one."""
    if not file.exists():
        return None
    return cast("Figures", json.loads(file.read_text(encoding="utf-8")))
