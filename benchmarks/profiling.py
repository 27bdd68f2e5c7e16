"""Where the time of W1 goes: CPU per run of each part, the functions it is spent in, and the server's statements."""

import cProfile
import os
import pstats
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cells import set_up
from benchmarks.processes import Side, interpreter
from benchmarks.stores import Place, PostgresPlace, Store

ROOT, SHOWN = str(Path(__file__).parent.parent) + "/", int(os.environ.get("LINES", "30"))
EVENTS = os.environ.get("BENCH_EVENTS", "1")
#: Parts by the beginning of a function's path, the first that fits.
PARTS = (
    ("kernel", ("kernel/",)),
    ("hosts", ("hosts/",)),
    ("codec", ("adapters/msgspec/", "msgspec/")),
    ("store adapter", ("adapters/", "ports/")),
    ("the bench", ("benchmarks/",)),
    ("driver", ("psycopg/", "psycopg_binary/", "psycopg_pool/", "sqlite3/")),
    ("loop", ("asyncio/", "uvloop/", "selectors.py")),
)


def profile(store: Store, count: int) -> None:
    """Drain ``count`` runs twice in a process of its own: for the clock, and under cProfile in both threads.

    Events and their relay are on, unless ``BENCH_EVENTS=`` is given.
    """
    side = Side("mainspring", interpreter(("-m", "benchmarks.profiling")), environment={"BENCH_EVENTS": EVENTS})
    print(store.versions())
    for mode in ("clock", "functions"):
        with store.place() as place:
            set_up(side, place)
            side.call("fill", place.url, count)
            if isinstance(place, PostgresPlace):
                place.forget()
            before = place.mark()
            print(side.call(mode, place.url, count)["text"])
            if mode == "clock":
                after = place.mark()
                if before.cpu is not None and after.cpu is not None:
                    print(f"server: {(after.cpu - before.cpu) / count * 1e6:.0f} CPU µs per run")
                _show_statements(place, count)


def _show_statements(place: Place, count: int) -> None:
    """The server's dearest statements of the drain."""
    rows = place.top(15) if isinstance(place, PostgresPlace) else []
    if not rows:
        return
    table = Table(title="statements of the drain by execution time", title_justify="left")
    for column in ("µs/run", "ms/call", "calls", "rows", "statement"):
        table.add_column(column, justify="left" if column == "statement" else "right")
    for calls, spent, found, text in rows:
        figures = (f"{spent / count * 1e3:.1f}", f"{spent / calls:.3f}", f"{calls:,}", f"{found:,}")
        table.add_row(*figures, _plain(text[:160]))
    Console(width=150).print(table)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


async def _fill(url: str, count: int) -> None:
    from benchmarks.ours import engine
    from benchmarks.workloads import NOOP3, document

    async with engine(url, worker=False) as client:
        for low in range(0, count, 2_000):
            await client.start_many(NOOP3, [document(one) for one in range(low, min(low + 2_000, count))])


async def _drain(url: str, count: int) -> dict[str, float]:
    """Drain in this process; seconds of the loop's thread, all others together, and the wall while draining."""
    import asyncio
    import time

    from benchmarks.ours import engine

    async with engine(url, worker=True) as client:
        before, begin, loop_before = _threads(), time.perf_counter(), time.thread_time()
        worker: Any = client.worker
        while worker.executor.finished < 3 * count:  # noqa: ASYNC110  to be woken would be measured too
            await asyncio.sleep(0.01)
        wall, after = time.perf_counter() - begin, _threads()
        main = time.thread_time() - loop_before
    names = [name for name in after if name != "MainThread"]
    return {"wall": wall, "loop": main, "others": sum(after[name] - before.get(name, 0.0) for name in names)}


def _threads() -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)
    for thread in threading.enumerate():
        stat = Path(f"/proc/{os.getpid()}/task/{thread.native_id}/schedstat")
        spent[thread.name] += int(stat.read_text().split()[0]) / 1e9
    return spent


def _run(main: Any) -> Any:
    """On the loop a worker's process has: uvloop where it is installed."""
    import asyncio

    from mainspring.hosts.node_worker.process import new_loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


def _clock(url: str, count: int) -> str:
    found = _run(_drain(url, count))
    per_run = {name: seconds / count * 1e6 for name, seconds in found.items()}
    rate = count / found["wall"]
    return (
        f"W1 in one process, {count:,} runs: {rate:,.0f} runs/s; µs per run: wall {per_run['wall']:.0f}, "
        f"loop thread {per_run['loop']:.0f}, other threads {per_run['others']:.0f}"
    )


def _functions(url: str, count: int) -> str:
    """The functions of the loop's thread and SQLite's by their own time. cProfile makes calls dearer: read shares."""
    from mainspring.adapters.sql.sqlite_thread import SqliteThread

    loop, opened = cProfile.Profile(), list[cProfile.Profile]()
    threads: Any = SqliteThread
    serve = threads._serve  # noqa: SLF001

    def profiled(self: Any) -> None:
        mine = cProfile.Profile()
        opened.append(mine)
        mine.runcall(serve, self)

    threads._serve = profiled  # noqa: SLF001
    loop.runcall(lambda: _run(_drain(url, count)))
    console = Console(width=150, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    for name, one in [("loop", loop), *(("store", one) for one in opened[-1:])]:
        console.print(_by_part(name, one, count))
        console.print(_table(name, one, count))
    return console.export_text()


def _stats(one: cProfile.Profile) -> dict[tuple[str, int, str], Any]:
    stats: dict[tuple[str, int, str], Any] = pstats.Stats(one).stats  # type: ignore[attr-defined]
    return stats


def _place(file: str) -> str:
    return file.replace(ROOT, "").rpartition("site-packages/")[2].rpartition("lib/python3.11/")[2]


def _part(file: str, function: str) -> str:
    if file == "~":  # built in: its name tells
        known = {"msgspec": "codec", "sqlite3": "driver", "psycopg": "driver", "uvloop": "loop", "select": "loop"}
        return next((part for word, part in known.items() if word in function), "built in")
    place = _place(file).removeprefix("src/mainspring/")  # where links lead to the folders
    found = (part for part, beginnings in PARTS if place.startswith(beginnings))
    return next(found, "the face" if "src/mainspring/" in file else "the rest")


def _by_part(name: str, one: cProfile.Profile, count: int) -> Table:
    spent: dict[str, float] = defaultdict(float)
    for (file, _, function), row in _stats(one).items():
        spent[_part(file, function)] += row[2]
    whole = sum(spent.values())
    table = Table(title=f"{name} thread by part (under cProfile)", title_justify="left")
    for column in ("part", "µs per run", "share"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part, seconds in sorted(spent.items(), key=lambda row: -row[1]):
        table.add_row(part, f"{seconds / count * 1e6:.1f}", f"{seconds / whole:.0%}")
    return table


def _table(name: str, one: cProfile.Profile, count: int) -> Table:
    table = Table(title=f"{name} thread, µs per run (under cProfile)", title_justify="left")
    for column in ("own", "with callees", "calls", "function"):
        table.add_column(column, justify="left" if column == "function" else "right")
    stats = _stats(one)
    for (file, line, function), (_, calls, own, whole, _) in sorted(stats.items(), key=lambda row: -row[1][2])[:SHOWN]:
        per = [f"{own / count * 1e6:.1f}", f"{whole / count * 1e6:.1f}", f"{calls / count:.2f}"]
        table.add_row(*per, _plain(f"{_place(file)}:{line} {function}" if line else function))
    total = sum(row[2] for row in stats.values()) / count * 1e6
    table.add_row(f"{total:.0f}", "", "", "all")
    return table


def main() -> None:
    from benchmarks import ours

    mode, url, *rest = sys.argv[1:]
    ours.quiet()
    if mode == "setup":
        _run(ours.setup(url))
    elif mode == "fill":
        _run(_fill(url, int(rest[0])))
        ours.answer()
    else:
        modes: dict[str, Callable[[str, int], str]] = {"clock": _clock, "functions": _functions}
        ours.answer(text=modes[mode](url, int(rest[0])))


if __name__ == "__main__":
    main()
