"""Where the time of W1 goes: CPU per run of the loop's thread and the store's, and the functions it is spent in."""

import cProfile
import os
import pstats
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.processes import Side, interpreter, scratch, url_of

ROOT, SHOWN = str(Path(__file__).parent.parent) + "/", int(os.environ.get("LINES", "30"))


def profile(count: int) -> None:
    """Drain ``count`` runs twice in a process of its own: for the clock, and under cProfile in both threads."""
    for mode in ("clock", "functions"):
        side = Side("profile", interpreter(("-m", "benchmarks.profiling")))
        with scratch() as path:
            print(side.call(mode, url_of(path), count)["text"])


def _work(url: str, count: int, wrap: "Callable[[Callable[[], Any]], Any] | None") -> dict[str, float]:
    """Enqueue, then drain in this process; seconds of the loop's thread, the store's, and the wall while draining."""
    import asyncio
    import time

    from benchmarks.ours import engine, quiet
    from benchmarks.workloads import NOOP3, document

    quiet()

    async def fill() -> None:
        async with engine(url, worker=False) as client:
            for low in range(0, count, 2_000):
                await client.start_many(NOOP3, [document(one) for one in range(low, min(low + 2_000, count))])

    async def work() -> dict[str, float]:
        async with engine(url, worker=True) as client:
            before, begin, loop_before = _threads(), time.perf_counter(), time.thread_time()
            worker: Any = client.worker
            while worker.executor.finished < 3 * count:  # noqa: ASYNC110  to be woken would be measured too
                await asyncio.sleep(0.01)
            wall, after = time.perf_counter() - begin, _threads()
            main = time.thread_time() - loop_before
        spent = {name: after[name] - before.get(name, 0.0) for name in after}
        return {"wall": wall, "loop": main, "store": spent.get("mainspring-sqlite", 0.0)}

    asyncio.run(fill())
    if wrap is None:
        return asyncio.run(work())
    found: dict[str, float] = wrap(lambda: asyncio.run(work()))
    return found


def _threads() -> dict[str, float]:
    spent: dict[str, float] = {}
    for thread in threading.enumerate():
        stat = Path(f"/proc/{os.getpid()}/task/{thread.native_id}/schedstat")
        spent[thread.name] = int(stat.read_text().split()[0]) / 1e9
    return spent


def _clock(url: str, count: int) -> str:
    found = _work(url, count, None)
    per_run = {name: seconds / count * 1e6 for name, seconds in found.items()}
    rate = count / found["wall"]
    return (
        f"W1 in one process, {count:,} runs: {rate:,.0f} runs/s; µs per run: wall {per_run['wall']:.0f}, "
        f"loop thread {per_run['loop']:.0f}, store thread {per_run['store']:.0f}"
    )


def _functions(url: str, count: int) -> str:
    """The functions of both threads by their own time. cProfile makes calls dearer than they are: read shares."""
    from mainspring.adapters.sql.sqlite_thread import SqliteThread

    profiles = {"loop": cProfile.Profile(), "store": cProfile.Profile()}
    threads: Any = SqliteThread
    serve = threads._serve  # noqa: SLF001
    opened: list[cProfile.Profile] = []

    def profiled(self: Any) -> None:
        mine = cProfile.Profile()
        opened.append(mine)
        mine.runcall(serve, self)

    threads._serve = profiled  # noqa: SLF001
    _work(url, count, profiles["loop"].runcall)
    profiles["store"] = opened[-1]  # the first one served the filling
    console = Console(width=150, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    for name, one in profiles.items():
        console.print(_table(name, one, count))
    return console.export_text()


def _table(name: str, one: cProfile.Profile, count: int) -> Table:
    table = Table(title=f"{name} thread, µs per run (under cProfile)", title_justify="left")
    for column in ("own", "with callees", "calls", "function"):
        table.add_column(column, justify="left" if column == "function" else "right")
    stats: dict[tuple[str, int, str], Any] = pstats.Stats(one).stats  # type: ignore[attr-defined]
    rows = sorted(stats.items(), key=lambda row: -row[1][2])
    for (file, line, function), (_, calls, own, whole, _) in rows[:SHOWN]:
        place = file.replace(ROOT, "").rpartition("site-packages/")[2].rpartition("lib/python3.11/")[2]
        per = [f"{own / count * 1e6:.1f}", f"{whole / count * 1e6:.1f}", f"{calls / count:.2f}"]
        table.add_row(*per, f"{place}:{line} {function}" if line else function)
    total = sum(row[2] for row in stats.values()) / count * 1e6
    table.add_row(f"{total:.0f}", "", "", "all")
    return table


if __name__ == "__main__":
    import sys

    from benchmarks.ours import answer

    mode, url, number = sys.argv[1:]
    answer(text=(_clock if mode == "clock" else _functions)(url, int(number)))
