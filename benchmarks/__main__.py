"""``python -m benchmarks``: measure, all sides in one run, alternating. See README.md."""

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import cells, report
from benchmarks.cells import Cell
from benchmarks.growth import churn, scale
from benchmarks.million import claims
from benchmarks.processes import Side
from benchmarks.profiling import profile
from benchmarks.server import cluster
from benchmarks.sides import OURS, PEERS, USUAL, versions
from benchmarks.stores import Postgres, Sqlite, Store

CELLS = {
    "drain": Cell(
        title="W1, W7: runs of three no-op steps, one worker process; events and their relay on",
        measure=cells.drain,
        targets={"runs/s": "≥ 30 × DBOS", "statements/run": "≤ 0.05", "live bytes/run": "≤ 2,048"},
    ),
    "drain_quiet": Cell(title="W1 without events", measure=cells.drain_quiet, peers=False),
    "drain_long": Cell(title="W1, ten times as long", measure=cells.drain, count=20_000, peers=False),
    "drain_two": Cell(title="W4: W1 with two worker processes", measure=cells.drain_two),
    "starts": Cell(title="Starts one by one", measure=cells.starts, targets={"starts/s, one by one": "≥ 2,000"}),
    "starts_50": Cell(title="Fifty callers of one process start", measure=cells.starts_50),
    "starts_many": Cell(
        title="Starts in bulk",
        measure=cells.starts_many,
        count=20_000,
        peer_count=2_000,
        targets={"starts/s, many": "≥ 20,000"},
    ),
    "latency": Cell(
        title="W2: start to result at idle, one process",
        measure=cells.latency_local,
        peer_count=300,
        targets={"3 stages p50 ms": "≤ 2"},
    ),
    "latency_remote": Cell(
        title="W2: start to result at idle, worker in another process",
        measure=cells.latency_remote,
        peer_count=300,
        targets={"3 stages p50 ms": "≤ 8"},
    ),
    "join": Cell(
        title="W3: fan out and join",
        measure=cells.join,
        count=1_000,
        targets={"map of 1000 s": "≤ 0.5", "group of 480 s": "≤ 0.24"},
    ),
    "map": Cell(title="A map on two workers at once", measure=cells.map_on_two, count=10_000, peers=False),
    "claim": Cell(
        title="A claim of 100 beside so many rows",
        measure=claims,
        count=1_000_000,
        repeats=1,
        peers=False,
        targets={f"{name} ms": "≤ 3" for name in ("finished", "due", "sleeping", "5 priorities", "unserved")},
    ),
    "idle": Cell(
        title="W5: an idle worker, so many seconds",
        measure=cells.idle,
        patient=True,
        count=30,
        repeats=1,
        targets={"worker CPU ms/s": "≤ 2"},
    ),
    "memory": Cell(title="A worker's memory", measure=cells.memory, count=20_000, repeats=1, peers=False),
    "scale": Cell(
        title="What a run costs in an empty store, and beside so many that have ended",
        measure=scale,
        count=1_000_000,
        repeats=1,
        peers=False,
        on_request=True,
    ),
    "churn": Cell(
        title="Drained lap after lap, so many seconds",
        measure=churn,
        count=3_600,
        repeats=1,
        peers=False,
        on_request=True,
    ),
}

_USUAL = [name for name, cell in CELLS.items() if not cell.on_request]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwind: what was started is stopped
    if sys.argv[1:2] == ["profile"]:
        with _opened(_words("STORES", "sqlite")) as stores:
            for store in stores:
                profile(store, int(os.environ.get("N", "3000")))
        return
    names, peers = _words("BENCH", ",".join(_USUAL)), _words("PEERS", USUAL)
    for unknown in [name for name in names if name not in CELLS] + [peer for peer in peers if peer not in PEERS]:
        sys.exit(f"{unknown!r} is not known; cells: {', '.join(CELLS)}; peers: {', '.join(PEERS)}")
    with _opened(_words("STORES", "postgres,sqlite")) as stores, tempfile.TemporaryDirectory() as blobs:
        os.environ.setdefault("MAINSPRING_BLOBS", blobs)  # a map of 1,000 puts out more than a row holds
        settings = [*(store.versions() for store in stores), *versions(peers)]
        report.begin(settings, quick="N" in os.environ or "REPEATS" in os.environ)
        for name in names:
            for store in stores:
                _measure(name, CELLS[name], store, _sides(CELLS[name], store, peers))


def _words(variable: str, default: str) -> list[str]:
    """What a variable lists. Given and empty is an empty list for PEERS, and the default elsewhere."""
    given = os.environ.get(variable)
    if given is None or (not given.strip() and variable != "PEERS"):
        given = default
    return given.replace(",", " ").split()


@contextlib.contextmanager
def _opened(names: list[str]) -> Iterator[list[Store]]:
    with contextlib.ExitStack() as stack:
        known: dict[str, Callable[[], Store]] = {
            "sqlite": Sqlite,
            "postgres": lambda: Postgres(stack.enter_context(cluster())),
        }
        if unknown := [name for name in names if name not in known]:
            sys.exit(f"{unknown[0]!r} is no store; stores: {', '.join(known)}")
        yield [known[name]() for name in names]


def _sides(cell: Cell, store: Store, peers: list[str]) -> list[Side]:
    """Ours first, unless ``OURS=0``; then the peers that know this store."""
    ours = [] if os.environ.get("OURS") == "0" else [OURS]
    if cell.patient:
        peers = [f"{peer}-default" if f"{peer}-default" in PEERS else peer for peer in peers]
    return ours + [
        side for side in (PEERS[peer](store.name) for peer in dict.fromkeys(peers)) if store.name in side.stores
    ]


def _measure(name: str, cell: Cell, store: Store, sides: list[Side]) -> None:
    asked = os.environ.get("N")
    count = int(asked) if asked else cell.count
    taking = [side for side in sides if side.is_ours or (cell.peers and name not in side.cannot)]
    if not taking:
        return
    keep = partial(report.keep, name, store.name)
    failed: set[str] = set()
    for repeat in range(int(os.environ.get("REPEATS", cell.repeats))):
        for side in taking:  # alternating: whatever else the machine does, it does to all
            if side.name in failed:
                continue
            number = min(count, cell.peer_count) if cell.peer_count and not side.is_ours else count
            began = time.monotonic()
            try:
                numbers = cell.measure(side, store, number)
                seconds = time.monotonic() - began
                keep(side.name, repeat=repeat, count=number, numbers=numbers, seconds=seconds)
            except Exception as error:  # noqa: BLE001  the others are measured all the same
                failed.add(side.name)
                report.failed(name, store.name, side.name, error)
    report.show(name, cell, store.name, count)
    report.write(CELLS)


if __name__ == "__main__":
    main()
