"""What was measured, as a table for people and as JSON lines for machines."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.cells import Cell, Numbers

RESULTS = Path(__file__).parent / "results.jsonl"
MORE_IS_BETTER = ("/s", "%")


def keep(line: dict[str, object]) -> None:
    """Append one measurement."""
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def show(cell: Cell, count: int, found: dict[str, list[Numbers]]) -> None:
    """Medians, spread and ratios of one cell; the first side is ours."""
    ours, *peers = found
    table = Table(title=f"{cell.title} (n = {count:,})", title_justify="left", title_style="bold", min_width=100)
    table.add_column("")
    for side in found:
        table.add_column(side, justify="right")
    for peer in peers:
        table.add_column(f"better than {peer}", justify="right")
    table.add_column("goal", justify="right")
    for name in found[ours][0]:
        columns = {side: [one[name] for one in runs if name in one] for side, runs in found.items()}
        ratios = [_ratio(name, columns[ours], columns[peer]) for peer in peers]
        table.add_row(name, *map(_spread, columns.values()), *ratios, cell.targets.get(name, ""))
    Console(width=150).print(table)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle, low, high = statistics.median(values), min(values), max(values)
    return _figure(middle) if len(values) == 1 else f"{_figure(middle)} [{_figure(low)} … {_figure(high)}]"


def _ratio(name: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    if not theirs:
        return ""
    mine, other = statistics.median(ours), statistics.median(theirs)
    more = name.split(",", maxsplit=1)[0].endswith("runs/s") or name.startswith("starts/s")
    ratio = mine / other if more else other / mine
    return f"{_figure(ratio)} ×"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
