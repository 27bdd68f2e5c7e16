"""What is measured against peers: each cell measures one side once and answers named numbers."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import attrs

from benchmarks.processes import Side, scratch, url_of, wait_until

Numbers = dict[str, float]


@attrs.frozen(kw_only=True)
class Cell:
    """One question. ``measure(side, n)`` answers it for one side, once."""

    title: str
    measure: Callable[[Side, int], Numbers]
    count: int = 2_000  #: of runs, or whatever the cell counts
    repeats: int = 3
    peers: bool = True  #: whether peers know how to do this
    peer_count: int | None = None  #: where a peer would take minutes
    targets: dict[str, str] = attrs.Factory(dict)


def ask(path: Path, statement: str) -> list[tuple[object, ...]]:
    """One read, as another process; an engine's locks are waited for."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return list(connection.execute(statement))


def prepared(side: Side, path: Path) -> str:
    """The URL of a new database; set up where the side needs it."""
    if side.needs_setup:
        side.call("setup", url_of(path))
    return url_of(path)


def drained(side: Side, path: Path, count: int) -> float:
    """Wait until every run has ended; when that was. All of them completed."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        end = wait_until(lambda: connection.execute(side.open_runs).fetchone() is None)
        assert connection.execute(side.completed).fetchone()[0] == count
    return end


def drain(side: Side, count: int) -> Numbers:
    """W1: runs of three steps, enqueued first, drained by one worker process; from ready to the last one's end."""
    with scratch() as path:
        url = prepared(side, path)
        enqueued = side.call("start_many", url, "noop3", count)["seconds"]
        with side.workers(url) as (worker,):
            before = worker.cpu()
            seconds = drained(side, path, count) - worker.ready
            cpu = worker.cpu() - before
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        size = path.stat().st_size
    return {
        "runs/s": count / seconds,
        "cpu µs/run": cpu / count * 1e6,
        "starts/s, many": count / enqueued,
        "bytes/run": size / count,
    }


def starts(side: Side, count: int) -> Numbers:
    """Starts one after the other, each durable when it returns."""
    with scratch() as path:
        return {"starts/s, one by one": count / side.call("start", prepared(side, path), "noop3", count)["seconds"]}


def starts_many(side: Side, count: int) -> Numbers:
    """Starts in bulk."""
    with scratch() as path:
        return {"starts/s, many": count / side.call("start_many", prepared(side, path), "noop3", count)["seconds"]}


def latency_local(side: Side, count: int) -> Numbers:
    """Start to result at idle, one process."""
    return _latency(side, "local", count)


def latency_remote(side: Side, count: int) -> Numbers:
    """Start to result at idle, the worker in another process."""
    return _latency(side, "remote", count)


def _latency(side: Side, mode: str, count: int) -> Numbers:
    found: Numbers = {}
    for flow, name in (("noop3", "3 stages"), ("noop1", "1 stage")):
        with scratch() as path:
            url = prepared(side, path)
            if mode == "local":
                answer = side.call(mode, url, flow, count)
            else:
                with side.workers(url):
                    time.sleep(1)
                    answer = side.call(mode, url, flow, count)
        found |= {f"{name} {key.removesuffix('_ms')} ms": value for key, value in answer.items()}
    return found


def join(side: Side, count: int) -> Numbers:
    """W3: one run fans out to ``count`` parallel no-ops and joins them."""
    found: Numbers = {}
    flows = [("mapped", f"map of {count} s", count)]
    if side.name == "mainspring":
        flows.append(("group", "group of 480 s", 480))
    for flow, name, width in flows:
        with scratch() as path:
            url = prepared(side, path)
            with side.workers(url):
                time.sleep(1)
                answer = side.call("fan", url, flow, width)
                assert answer["joined"] == width
                found[name] = answer["seconds"]
    return found


def idle(side: Side, count: int) -> Numbers:
    """A worker with nothing to do, for ``count`` seconds."""
    with scratch() as path:
        url = prepared(side, path)
        with side.workers(url) as (worker,):
            time.sleep(3)
            before, began = worker.cpu(), time.monotonic()
            time.sleep(count)
            spent, seconds = worker.cpu() - before, time.monotonic() - began
            memory = worker.memory()
        with side.workers(url, 1, "count") as (worker,):
            time.sleep(3)
            asked = worker.statements()
            time.sleep(min(count, 20))
            asked = worker.statements() - asked
    return {"cpu ms/s": spent / seconds * 1e3, "statements/s": asked / min(count, 20), "memory MB": memory}


def map_on_two(side: Side, count: int) -> Numbers:
    """A map on two worker processes at once: instances of one run on both, in bounded memory."""
    with scratch() as path:
        url = prepared(side, path)
        with side.workers(url, 2) as workers:
            time.sleep(1)
            answer = side.call("fan", url, "mapped", count)
            assert answer["joined"] == count
            peaks = [worker.memory("VmHWM") for worker in workers]
        shares = ask(path, "select count(*) from stages where stage = 'first' group by worker order by 1")
    found = {"seconds": float(answer["seconds"]), "peak MB, larger": max(peaks), "workers": float(len(shares))}
    return found | {"smaller share %": float(str(shares[0][0])) / count * 100}


def memory(side: Side, count: int) -> Numbers:
    """A worker's memory after a tenth, half and all of the runs."""
    found: Numbers = {}
    with scratch() as path:
        url = prepared(side, path)
        with side.workers(url) as (worker,):
            done, before = 0, time.monotonic()
            for mark in (count // 10, count // 2, count):
                side.call("start_many", url, "noop3", mark - done)
                done = mark
                drained(side, path, done)
                found[f"MB after {mark:,}"] = worker.memory()
            found["runs/s, started beside"] = count / (time.monotonic() - before)
    return found
