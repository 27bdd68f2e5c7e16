"""``python -m benchmarks``: measure, both sides in one run, alternating. See README.md."""

import os
import sys
import time

from benchmarks import report
from benchmarks.cells import (
    Cell,
    Numbers,
    drain,
    idle,
    join,
    latency_local,
    latency_remote,
    map_on_two,
    memory,
    starts,
    starts_many,
)
from benchmarks.million import claims
from benchmarks.processes import Side
from benchmarks.profiling import profile
from benchmarks.sides import OURS, PEERS

CELLS = {
    "drain": Cell(
        title="W1: runs of three no-op steps, one worker process",
        measure=drain,
        targets={"runs/s": "≥ 30 × DBOS"},
    ),
    "starts": Cell(title="Starts one by one", measure=starts, targets={"starts/s, one by one": "≥ 2,000"}),
    "starts_many": Cell(
        title="Starts in bulk",
        measure=starts_many,
        count=20_000,
        peer_count=2_000,
        targets={"starts/s, many": "≥ 20,000"},
    ),
    "latency": Cell(
        title="Start to result at idle, one process",
        measure=latency_local,
        peer_count=300,
        targets={"3 stages p50 ms": "≤ 2"},
    ),
    "latency_remote": Cell(
        title="Start to result at idle, worker in another process",
        measure=latency_remote,
        peer_count=300,
        targets={"3 stages p50 ms": "≤ 8"},
    ),
    "join": Cell(
        title="W3: fan out and join",
        measure=join,
        count=1_000,
        targets={"map of 1000 s": "≤ 0.5", "group of 480 s": "≤ 0.24"},
    ),
    "map": Cell(title="A map on two workers at once", measure=map_on_two, count=10_000, peers=False),
    "claim": Cell(
        title="A claim of 100 beside so many rows",
        measure=claims,
        count=1_000_000,
        repeats=1,
        peers=False,
        targets={f"{name} ms": "≤ 3" for name in ("finished", "due", "sleeping", "5 priorities", "unserved")},
    ),
    "idle": Cell(
        title="An idle worker, so many seconds", measure=idle, count=30, repeats=1, targets={"cpu ms/s": "≤ 2"}
    ),
    "memory": Cell(title="A worker's memory", measure=memory, count=20_000, repeats=1, peers=False),
}


def main() -> None:
    if sys.argv[1:2] == ["profile"]:
        profile(int(os.environ.get("N", "3000")))
        return
    names = os.environ.get("BENCH", "").replace(",", " ").split() or list(CELLS)
    peers = os.environ.get("PEERS", "dbos").replace(",", " ").split()
    for unknown in [name for name in names if name not in CELLS] + [peer for peer in peers if peer not in PEERS]:
        sys.exit(f"{unknown!r} is not known; cells: {', '.join(CELLS)}; peers: {', '.join(PEERS)}")
    sides = [OURS, *(PEERS[peer]() for peer in peers)]
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}; medians [least … most]; bodies do nothing", flush=True)
    for name in names:
        _measure(name, CELLS[name], sides)


def _measure(name: str, cell: Cell, sides: list[Side]) -> None:
    asked = os.environ.get("N")
    repeats = int(os.environ.get("REPEATS", cell.repeats))
    taking = [side for side in sides if side is OURS or cell.peers]
    found: dict[str, list[Numbers]] = {side.name: [] for side in taking}
    for repeat in range(repeats):
        for side in taking:  # alternating: whatever else the machine does, it does to both
            count = int(asked) if asked else cell.count
            if side is not OURS and cell.peer_count is not None:
                count = min(count, cell.peer_count)
            numbers = cell.measure(side, count)
            found[side.name].append(numbers)
            line = {"cell": name, "side": side.name, "repeat": repeat, "n": count, "at": time.time()}
            report.keep(line | {"load": os.getloadavg()[0], "numbers": numbers})
    report.show(cell, int(asked) if asked else cell.count, found)


if __name__ == "__main__":
    main()
