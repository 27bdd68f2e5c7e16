"""What was measured: JSON lines for machines, tables on the terminal, and ``RESULTS.md`` of full measurements.

Rule: a quick look (``N`` or ``REPEATS`` given) is kept as a line, marked, and never reaches ``RESULTS.md``. A table of
``RESULTS.md`` comes from one run of the bench: the last that measured its cell on its store.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cells import Cell, Numbers
from benchmarks.stores import RUN

HERE = Path(__file__).parent
RESULTS, WRITTEN = HERE / "results.jsonl", HERE / "RESULTS.md"
MORE_IS_BETTER = ("runs/s", "starts/s")
NEITHER = ("workers", "smaller share")
Found = dict[str, list[Numbers]]
_run: dict[str, Any] = {}


def begin(settings: list[str], *, quick: bool) -> None:
    """A run of the bench begins."""
    asked = [shutil.which("git") or "git", "describe", "--always", "--dirty"]
    commit = subprocess.run(asked, cwd=HERE, capture_output=True, text=True, check=False)
    settings = [*settings, f"fdatasync {_sync_ms():.2g} ms"]
    _run.update(run=f"{time.time():.0f}", quick=quick, settings=settings, commit=commit.stdout.strip())
    _run["python"] = platform.python_version()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians [least … most]; bodies do nothing", flush=True
    )
    for line in settings:
        print(f"  {line}")


def _sync_ms() -> float:
    """Median milliseconds until 4 KB are on the disk of this folder, at the beginning: it moves most figures."""
    RUN.mkdir(exist_ok=True)
    taken: list[float] = []
    with tempfile.TemporaryFile(dir=RUN, buffering=0) as file:
        for _ in range(100):
            file.write(b"x" * 4096)
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken) * 1e3


def keep(cell: str, store: str, side: str, *, repeat: int, count: int, numbers: Numbers, seconds: float) -> None:
    """Append one measurement."""
    line = {"cell": cell, "store": store, "side": side, "repeat": repeat, "n": count, "at": time.time()}
    line |= {"took": seconds, "load": os.getloadavg()[0], **_run, "numbers": numbers}
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def failed(cell: str, store: str, side: str, error: Exception) -> None:
    """Tell that a side could not be measured; its column stays empty."""
    print(f"{cell} on {store}: {side} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def show(name: str, cell: Cell, store: str, count: int) -> None:
    """The table of what this run measured."""
    mine = [line for line in _lines() if (line["cell"], line["store"], line["run"]) == (name, store, _run["run"])]
    found = _by_side(mine)
    if not found:
        return
    header, rows = _table(cell, found)
    table = Table(
        title=f"{cell.title}; {store} (n = {count:,})", title_justify="left", title_style="bold", min_width=100
    )
    for column in header:
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=220 if len(header) > 6 else 150).print(table)
    print(f"took {sum(line['took'] for line in mine):.0f} s", flush=True)


def write(cells: Mapping[str, Cell]) -> None:
    """Make ``RESULTS.md`` of the last full measurement of each cell on each store."""
    full = [line for line in _lines() if not line["quick"]]
    if not full:
        return
    text = [
        "# Results",
        "",
        "Written by `make bench`; README.md beside this file tells what each cell asks and how.",
        "",
    ]
    text += ["Medians [least … most]; “×” is how many times better ours is, above 1 is in our favour.", ""]
    for name, cell in cells.items():
        for store in ("postgres", "sqlite"):
            lines = [line for line in full if (line["cell"], line["store"]) == (name, store)]
            lines = [line for line in lines if line["run"] == lines[-1]["run"]]
            if lines:
                text += _section(name, cell, store, lines)
    WRITTEN.write_text("\n".join(text))


def _section(name: str, cell: Cell, store: str, lines: list[dict[str, Any]]) -> list[str]:
    header, rows = _table(cell, _by_side(lines))
    last = lines[-1]
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(last["at"]))
    counts = " / ".join(f"{one:,}" for one in sorted({line["n"] for line in lines}, reverse=True))
    told = f"{when} UTC, n = {counts}, {1 + max(line['repeat'] for line in lines)} of each side"
    told += f", load {lines[0]['load']:.1f} to {max(line['load'] for line in lines):.1f}, commit {last['commit']}"
    return [
        f"## `{name}`, {store}",
        "",
        cell.title + ".",
        "",
        "| " + " | ".join(header) + " |",
        "| --- |" + " ---: |" * (len(header) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        f"{told}. Python {last['python']}; {'; '.join(last['settings'])}.",
        "",
    ]


def _lines() -> list[dict[str, Any]]:
    """The measurements kept; lines from before stores were told apart are left out."""
    if not RESULTS.exists():
        return []
    return [line for line in map(json.loads, RESULTS.read_text().splitlines()) if "store" in line]


def _by_side(lines: list[dict[str, Any]]) -> Found:
    found: Found = {}
    for line in lines:
        found.setdefault(line["side"], []).append(line["numbers"])
    return found


def _table(cell: Cell, found: Found) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each side, how many times better ours is, and the goal."""
    ours = found.get("mainspring", [])
    peers = [side for side in found if side != "mainspring"] if ours else []
    goals = [cell.targets] if cell.targets else []
    header = ["", *found, *(f"× {peer}" for peer in peers), *("goal" for _ in goals)]
    names = list(dict.fromkeys(name for runs in found.values() for one in runs for name in one))
    rows: list[list[str]] = []
    for name in names:
        columns = {side: [one[name] for one in runs if name in one] for side, runs in found.items()}
        ratios = [_ratio(name, columns["mainspring"], columns[peer]) for peer in peers]
        rows.append([name, *map(_spread, columns.values()), *ratios, *(goal.get(name, "") for goal in goals)])
    return header, rows


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle, low, high = statistics.median(values), min(values), max(values)
    return _figure(middle) if len(values) == 1 else f"{_figure(middle)} [{_figure(low)} … {_figure(high)}]"


def _ratio(name: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    if not ours or not theirs or name.startswith(NEITHER):
        return ""
    mine, other = statistics.median(ours), statistics.median(theirs)
    above, below = (mine, other) if name.startswith(MORE_IS_BETTER) else (other, mine)
    return f"{_figure(above / below)} ×" if below else ""


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
